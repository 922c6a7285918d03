"""What goes wrong, and when: the plan of faults that a world is given."""

from __future__ import annotations

import difflib
import itertools
import random
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from pyVmomi import VmomiSupport, vmodl

from provision.errors import SpecError
from provision.simulator.engine.latency import parse_seconds

_TRIGGERS = ("nth", "every", "rate")
_EFFECTS = ("fault", "lose", "hang", "terminate", "outage")


@dataclass(frozen=True, slots=True)
class Effects:
    """What happens to one call.

    Attributes:
        fault: A fault to raise; a task method's task ends with it instead.
        lose_response: Carry the call out, then close the connection without an answer.
        hang: The call's task never ends; any other call is never answered.
        terminate_sessions: End all sessions before the call is looked at.
        outage: Seconds for which the vCenter is away, from this call on.
    """

    fault: type[Any] | None = None
    lose_response: bool = False
    hang: bool = False
    terminate_sessions: bool = False
    outage: float | None = None


NOTHING = Effects()


class _Entry:
    """One line of the plan, with the number of calls that it has seen."""

    def __init__(self, on: str, trigger: str, value: float, effects: Effects, seed: int) -> None:
        self.on = on
        self.effects = effects
        self._trigger = trigger
        self._value = value
        self._numbers = itertools.count(1)
        self._random = random.Random(seed)  # noqa: S311 - repeatable faults, no secret

    def strikes(self) -> bool:
        """Count a call and say whether it is hit."""
        number = next(self._numbers)
        if self._trigger == "rate":
            return self._random.random() < self._value
        if self._trigger == "every":
            return number % self._value == 0
        return number == self._value


class FaultPlan:
    """The faults of a world. Each entry counts the calls of its method from one."""

    def __init__(self, entries: Iterable[Mapping[str, object]] = ()) -> None:
        self._entries: list[_Entry] = []
        for entry in entries:
            self.add(entry)

    def add(self, entry: Mapping[str, object]) -> None:
        """Add an entry such as `{"on": "CloneVM_Task", "nth": 7, "fault": "NoDiskSpace"}`.

        `on` is a method. When: `nth` (a call's number), `every` (each such number) or `rate`
        (a share between 0 and 1, drawn from `seed`); nothing means every call. What: `fault`
        (a type's name), `lose: response`, `hang: true`, `terminate: sessions` or `outage`
        (a duration).

        Raises:
            SpecError: The entry can't be understood.
        """
        self._entries.append(_parse(entry, f"faults[{len(self._entries)}]"))

    def meet(self, method: str) -> Effects:
        """Count a call of `method` and return what happens to it: the first entry that hits."""
        struck = [e.effects for e in self._entries if e.on == method and e.strikes()]
        return struck[0] if struck else NOTHING


def _parse(entry: Mapping[str, object], subject: str) -> _Entry:
    known = ("on", "seed", *_TRIGGERS, *_EFFECTS)
    if unknown := [key for key in entry if key not in known]:
        raise SpecError(
            f"unknown key {unknown[0]!r}", subject=subject, fix=f"keys are {', '.join(known)}"
        )
    on = _method(entry.get("on"), subject)
    triggers = [key for key in _TRIGGERS if key in entry]
    effects = [key for key in _EFFECTS if key in entry]
    if len(triggers) > 1:
        raise SpecError(f"{' and '.join(triggers)} exclude each other", subject=subject)
    if len(effects) != 1:
        raise SpecError("an entry has one effect", subject=subject, fix=", ".join(_EFFECTS))
    trigger = triggers[0] if triggers else "every"
    value = _trigger_value(trigger, entry.get(trigger, 1), subject)
    seed = entry.get("seed", 0)
    if not isinstance(seed, int):
        raise SpecError(f"the seed {seed!r} is no whole number", subject=subject)
    return _Entry(on, trigger, value, _effects(effects[0], entry[effects[0]], subject), seed)


def _method(name: object, subject: str) -> str:
    methods = VmomiSupport._wsdlMethodMap  # noqa: SLF001 - pyVmomi offers no list of methods
    names = {method for _, method in methods} | {"Fetch"}
    if isinstance(name, str) and name in names:
        return name
    near = difflib.get_close_matches(str(name), names, n=1)
    raise SpecError(
        f"{name!r} is no method of vSphere",
        subject=subject,
        fix=f"did you mean {near[0]}?" if near else "name a method such as CloneVM_Task",
    )


def _trigger_value(trigger: str, value: object, subject: str) -> float:
    if trigger == "rate":
        if isinstance(value, int | float) and 0 <= value <= 1:
            return float(value)
        raise SpecError(f"rate {value!r} is not between 0 and 1", subject=subject)
    if isinstance(value, int) and value >= 1:
        return value
    raise SpecError(f"{trigger} {value!r} is no whole number from 1", subject=subject)


def _effects(name: str, value: object, subject: str) -> Effects:
    if name == "fault":
        return Effects(fault=fault_type(str(value), subject))
    if name == "outage":
        return Effects(outage=parse_seconds(value, subject))
    wanted = {"lose": "response", "terminate": "sessions", "hang": True}[name]
    if value != wanted:
        raise SpecError(f"{name} {value!r} is unknown", subject=subject, fix=f"{name}: {wanted}")
    return Effects(
        lose_response=name == "lose",
        hang=name == "hang",
        terminate_sessions=name == "terminate",
    )


def fault_type(name: str, subject: str) -> type[Any]:
    """Return the fault type of a name with or without its package.

    Raises:
        SpecError: vSphere has no such fault.
    """
    for package in ("vim.fault.", "vmodl.fault.", ""):
        try:
            found: type[Any] = VmomiSupport.GetVmodlType(package + name)
        except KeyError:
            continue
        if issubclass(found, vmodl.MethodFault):
            return found
    raise SpecError(
        f"{name!r} is no fault of vSphere", subject=subject, fix="name one such as NoDiskSpace"
    )


def make_fault(kind: type[Any], target: Any, method: str) -> Any:
    """Return a fault as the plan asks for it, with all its required properties filled in."""
    fault = kind(msg=f"{kind.__name__.rpartition('.')[2]} at {method}, as the fault plan says")
    for info in kind._GetPropertyList():  # noqa: SLF001 - documented as public
        if not info.flags & VmomiSupport.F_OPTIONAL:
            setattr(fault, info.name, _sample(info.type, target))
    return fault


def _sample(kind: type[Any], target: Any) -> Any:
    """Return a plausible value of a type: the call's target where a reference is wanted."""
    if issubclass(kind, VmomiSupport.ManagedObject):
        return target if isinstance(target, kind) else kind("simulated-0")
    if issubclass(kind, VmomiSupport.Enum):
        return kind.values[0]  # type: ignore[attr-defined]
    if issubclass(kind, vmodl.MethodFault):
        return kind(msg="simulated")
    if issubclass(kind, str):
        return "simulated"
    return kind()
