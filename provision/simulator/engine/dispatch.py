"""The one way from both doors into the world."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any, TypeVar

from pyVmomi import VmomiSupport, vim, vmodl

from provision.simulator.engine.call import Call
from provision.simulator.engine.faultplan import make_fault
from provision.simulator.engine.objects import NO_LOGIN_NEEDED
from provision.simulator.engine.schema import Kind, conform, declared_type, property_privilege

if TYPE_CHECKING:
    from provision.simulator.engine.faultplan import Effects
    from provision.simulator.engine.objects import MethodEntry, SimObject
    from provision.simulator.engine.world import World

T = TypeVar("T")

FETCH = "Fetch"


@dataclass(slots=True)
class Caller:
    """A client as its door knows it. A login changes the cookie."""

    version: str
    cookie: str | None = None
    address: str = "127.0.0.1"
    agent: str = ""
    alive: Callable[[], bool] | None = None


@dataclass(frozen=True, slots=True)
class Request:
    """What is called: a method by its WSDL name, of the object with this id.

    `operation` is the client's own name for what the call belongs to; empty where it has none.
    """

    moid: str
    info: Any
    arguments: Mapping[str, Any]
    operation: str = ""


class LostResponse(ConnectionResetError):
    """The call was carried out, and its answer shall not arrive."""


def invoke(world: World, caller: Caller, request: Request, finish: Callable[[Any], T]) -> T:
    """Carry out one call and return what `finish` makes of its result.

    `finish` runs under the world's lock, so that what it writes or copies is consistent.

    Raises:
        vmodl.MethodFault: As the method or the fault plan has it.
        LostResponse: The fault plan loses the response.
        ConnectionError: The vCenter is away.
    """
    name = request.info.wsdlName
    with world.lock:
        effects = _meet(world, name)
        if request.operation:
            world.operations.append((request.operation, name))
        seconds = world.latency.of_call(name)
    if seconds:
        world.clock.sleep(seconds)
    with world.lock:
        if world.away or world.closing:
            raise ConnectionResetError("the simulated vCenter is away")
        try:
            result = _enter(world, caller, request, effects, finish)
        except vmodl.MethodFault:
            if effects.lose_response:
                raise LostResponse("the fault plan loses this response") from None
            raise
    if effects.lose_response:
        raise LostResponse("the fault plan loses this response")
    return result


def _meet(world: World, name: str) -> Effects:
    """Count the call and let the fault plan do what comes before it."""
    if world.away or world.closing:
        raise ConnectionRefusedError("the simulated vCenter is away")
    world.calls[name] += 1
    effects = world.faults.meet(name)
    if effects.terminate_sessions:
        world.sessions.end_all()
    if effects.outage is not None:
        world.start_outage(effects.outage)
        raise ConnectionResetError("the simulated vCenter goes away")
    return effects


def _enter(
    world: World,
    caller: Caller,
    request: Request,
    effects: Effects,
    finish: Callable[[Any], T],
) -> T:
    """Run the method in its session; the caller of this holds the lock."""
    name = request.info.wsdlName
    session = world.sessions.find(caller.cookie)
    call = Call(
        world,
        name,
        caller.version,
        session,
        effects,
        address=caller.address,
        agent=caller.agent,
        alive=caller.alive,
    )
    outer, world.current_call = world.current_call, call
    if session:
        world.sessions.enter(session)
    try:
        return finish(_run(call, request))
    finally:
        world.current_call = outer
        if active := call.session or session:
            world.sessions.leave(active)
        caller.cookie = call.session.cookie if call.session else caller.cookie


def _run(call: Call, request: Request) -> Any:
    obj = call.world.get(request.moid)
    if obj.owner is not None and obj.owner is not call.session:
        raise vmodl.fault.ManagedObjectNotFound(obj=obj.ref)
    if request.info.wsdlName == FETCH:
        return _fetch(call, obj, request)
    entry = _entry(call, obj, request.info)
    _authorize(call, obj, entry.privilege or request.info.privId or "System.View")
    _authorize_parameters(call, request)
    _do_what_is_planned(call, obj)
    result = entry.function(obj, call, **_arguments(entry, request))
    return conform(result, request.info.result)


def _fetch(call: Call, obj: SimObject, request: Request) -> Any:
    """Read one property, as pyVmomi does for every attribute."""
    path = request.arguments["prop"]
    kind: Kind = obj.wsdl_type
    declared_type(kind, path)
    _authorize(call, obj, property_privilege(kind, path))
    _do_what_is_planned(call, obj)
    return conform(obj.read(path), request.info.result)


def _entry(call: Call, obj: SimObject, info: Any) -> MethodEntry:
    if entry := obj.methods.get(info.wsdlName):
        return entry
    if issubclass(obj.wsdl_type, info.type):
        what = f"{VmomiSupport.GetWsdlName(obj.wsdl_type)}.{info.wsdlName}"
        raise vmodl.fault.NotSupported(msg=f"{what} is not simulated")
    raise vmodl.fault.MethodNotFound(receiver=obj.ref, method=call.method)


def _authorize(call: Call, obj: SimObject, privilege: str) -> None:
    if privilege == NO_LOGIN_NEEDED:
        return
    if call.session is None:
        raise vim.fault.NotAuthenticated(
            object=obj.ref, privilegeId=privilege, msg="The session is not authenticated"
        )
    if not call.world.allows(call.session, privilege):
        raise vim.fault.NoPermission(
            object=obj.ref, privilegeId=privilege, msg=f"{call.user} lacks {privilege}"
        )


def _authorize_parameters(call: Call, request: Request) -> None:
    """Ask for what the caller must hold on objects that it names, as the type tables have it.

    Privileges of `System` come with a login, and a view may name objects that are gone.
    """
    for param in request.info.params:
        given = request.arguments.get(param.name)
        if not given or not param.privId or param.privId.startswith("System."):
            continue
        for ref in given if isinstance(given, list) else [given]:
            _authorize(call, call.world.resolve(ref), param.privId)


def _do_what_is_planned(call: Call, obj: SimObject) -> None:
    """Fail or hang as the fault plan says; a task does so by itself."""
    if call.method.endswith("_Task"):
        return
    if call.effects.fault:
        raise make_fault(call.effects.fault, obj.ref, call.method)
    while call.effects.hang:
        call.pause(None)


@cache
def _parameters(function: Callable[..., Any]) -> frozenset[str]:
    return frozenset(list(inspect.signature(function).parameters)[2:])


def _arguments(entry: MethodEntry, request: Request) -> dict[str, Any]:
    """Return every argument that the method takes; what the client left out is None or empty."""
    known = _parameters(entry.function)
    if beyond := [
        n for n, v in request.arguments.items() if n not in known and v not in (None, [])
    ]:
        raise vmodl.fault.NotSupported(msg=f"{request.info.wsdlName}: {beyond[0]} is not simulated")
    given = {}
    for param in request.info.params:
        if param.name in known:
            value = request.arguments.get(param.name)
            empty = param.type() if issubclass(param.type, list) else None
            given[param.name] = empty if value is None else value
    return given
