"""Managed objects of the simulator: a class per vSphere type, its properties and its methods.

A property is registered under the longest path that is worth computing alone: asked for
`config.hardware.numCPU`, the property collector takes the getter of `config.hardware.numCPU`
if there is one, else that of `config.hardware` and reads the rest from its value. Getters
build pyVmomi data objects on demand, so that a narrow read of 10,000 VMs stays cheap.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

from pyVmomi import vmodl

if TYPE_CHECKING:
    from provision.simulator.engine.sessions import Session
    from provision.simulator.engine.world import World

F = TypeVar("F", bound=Callable[..., Any])

NO_LOGIN_NEEDED = "System.Anonymous"


@dataclass(frozen=True, slots=True)
class MethodEntry:
    """A managed method of a simulated class.

    `privilege` is what the caller's role must hold; None leaves it to pyVmomi's type tables.
    """

    function: Callable[..., Any]
    privilege: str | None


def prop(path: str) -> Callable[[F], F]:
    """Register the decorated function as the getter of a property path."""

    def register(function: F) -> F:
        function.__dict__["sim_property"] = path
        return function

    return register


def method(name: str, privilege: str | None = None) -> Callable[[F], F]:
    """Register the decorated function as a managed method under its WSDL name.

    Without a privilege, the one that pyVmomi's type tables name for the method is asked for.

    It is called as `function(self, call, **arguments)` with the WSDL parameter names, holding
    the world's lock, and returns the result or raises a `vmodl.MethodFault`. Each parameter
    that it declares is passed: None (an empty array) where the client left it out. A client
    that sets one which it does not declare gets `NotSupported`.
    """

    def register(function: F) -> F:
        function.__dict__["sim_method"] = (name, privilege)
        return function

    return register


def _unset(_: SimObject) -> None:
    """Stand in for the getter of a property that the simulator leaves unset."""


class SimObject:
    """Base of everything that has a managed object reference.

    Attributes:
        owner: The session that the object belongs to (a view, a filter); None for all others.
        version: The world's version when the object was last touched.
    """

    wsdl_type: ClassVar[type[Any]]
    prefix: ClassVar[str]
    properties: ClassVar[dict[str, Callable[[Any], Any]]] = {}
    methods: ClassVar[dict[str, MethodEntry]] = {}
    _plans: ClassVar[dict[str, tuple[Callable[[Any], Any], tuple[str, ...]]]] = {}

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        cls.properties, cls.methods = dict(cls.properties), dict(cls.methods)
        cls._plans = {}
        for member in list(vars(cls).values()):
            attributes = getattr(member, "__dict__", {})
            if path := attributes.get("sim_property"):
                cls.properties[path] = member
            if entry := attributes.get("sim_method"):
                cls.methods[entry[0]] = MethodEntry(member, entry[1])

    def __init__(self, world: World, moid: str | None = None) -> None:
        self.world = world
        self.moid = moid or world.new_moid(self.prefix)
        self.version = 0
        self.owner: Session | None = None
        self._ref = self.wsdl_type(self.moid)
        world.add(self)

    @property
    def ref(self) -> Any:
        """The managed object reference that goes over the wire."""
        return self._ref

    def read(self, path: str) -> Any:
        """Return the value at a property path; None where it is unset.

        A property that the vSphere type has and the simulator has no getter for is unset.

        Raises:
            vmodl.query.InvalidProperty: The type has no such property.
        """
        getter, rest = self._plan(path)
        value = getter(self)
        for name in rest:
            if value is None:
                return None
            try:
                value = getattr(value, name)
            except AttributeError:
                raise vmodl.query.InvalidProperty(name=path) from None
        return value

    @classmethod
    def _plan(cls, path: str) -> tuple[Callable[[Any], Any], tuple[str, ...]]:
        """Return the getter for a path, and what is left to read from the getter's value."""
        if (plan := cls._plans.get(path)) is None:
            plan = cls._plans[path] = cls._new_plan(path)
        return plan

    @classmethod
    def _new_plan(cls, path: str) -> tuple[Callable[[Any], Any], tuple[str, ...]]:
        names = path.split(".")
        for length in range(len(names), 0, -1):
            if getter := cls.properties.get(".".join(names[:length])):
                return getter, tuple(names[length:])
        try:
            cls.wsdl_type._GetPropertyInfo(names[0])  # noqa: SLF001 - documented as public
        except AttributeError:
            raise vmodl.query.InvalidProperty(name=path) from None
        return _unset, ()

    def touch(self) -> None:
        """Tell everyone who waits for updates that this object has changed."""
        self.world.touch(self)
