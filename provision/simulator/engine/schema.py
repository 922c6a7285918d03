"""What pyVmomi's type tables say about types, properties and values."""

from __future__ import annotations

from functools import cache
from typing import Any

from pyVmomi import VmomiSupport, vmodl
from pyVmomi.Version import IsChildVersion

# A pyVmomi type: they are made at run time, so a type checker knows nothing of them.
Kind = Any

_NUMBERS = (int, float)


@cache
def fields(kind: Kind) -> dict[str, Any]:
    """Return the property descriptions of a data object type, bases first."""
    return {info.name: info for info in kind._GetPropertyList()}  # noqa: SLF001 - public


@cache
def declared_type(wsdl_type: Kind, path: str) -> Kind:
    """Return the declared type of a property path; None where only the value can tell.

    Raises:
        vmodl.query.InvalidProperty: The managed type has no such property.
    """
    head, *rest = path.split(".")
    try:
        kind = wsdl_type._GetPropertyInfo(head).type  # noqa: SLF001 - public
    except AttributeError:
        raise vmodl.query.InvalidProperty(name=path) from None
    for name in rest:
        if not issubclass(kind, VmomiSupport.DataObject) or name not in fields(kind):
            return None
        kind = fields(kind)[name].type
    return kind


@cache
def property_privilege(wsdl_type: Kind, path: str) -> str:
    """Return the privilege that reading a property asks for."""
    info = wsdl_type._GetPropertyInfo(path.partition(".")[0])  # noqa: SLF001 - public
    return info.privId or "System.View"


def conform(value: Any, declared: Kind) -> Any:
    """Return a plain value in its declared type, so that it is written with the right one.

    A list becomes a typed array, an `int` of a `long` property a `long`, a text an enum.
    """
    kind: Kind = type(value)
    if kind is list:
        return _array(value, declared)
    if declared is None or kind is declared or value is None:
        return value
    if kind is str and issubclass(declared, VmomiSupport.Enum):
        return declared(value)
    if kind in _NUMBERS and issubclass(declared, _NUMBERS) and not issubclass(declared, bool):
        return declared(value)
    return value


def _array(value: list[Any], declared: Kind) -> Any:
    if declared is not None and issubclass(declared, VmomiSupport.Array):
        return declared(value)
    item: Kind = type(value[0]) if value else str
    return (
        item.Array(value)
        if hasattr(item, "Array")
        else VmomiSupport.GetVmodlType("string[]")(value)
    )


@cache
def _template(kind: Kind) -> dict[str, Any]:
    return dict(vars(kind()))


def build(kind: Kind, /, **values: Any) -> Any:
    """Construct a data object without checking its values: many times faster.

    For the millions of small objects that carry results; values must have the right types.
    """
    made = kind.__new__(kind)
    made.__dict__.update(_template(kind))
    made.__dict__.update(values)
    return made


def freeze(value: Any) -> Any:
    """Return something that is equal for equal values and shares nothing with them."""
    if isinstance(value, VmomiSupport.DataObject):
        kind: Kind = type(value)
        return (kind, tuple(freeze(vars(value).get(name)) for name in fields(kind)))
    if isinstance(value, list):
        return tuple(map(freeze, value))
    return value


def rebind(value: Any, stub: Any, version: str) -> Any:
    """Return a deep copy of a value whose managed references belong to `stub`.

    Properties that an API version does not know are unset, as they are on the wire.
    """
    if isinstance(value, VmomiSupport.DataObject):
        return _rebind_data_object(value, stub, version)
    if isinstance(value, list):
        return type(value)(rebind(item, stub, version) for item in value)
    if isinstance(value, VmomiSupport.ManagedObject):
        return type(value)(value._GetMoId(), stub, value._GetServerGuid())  # noqa: SLF001 - public
    return value


@cache
def known_fields(kind: Kind, version: str) -> frozenset[str]:
    """Return the names of a data object type's properties that an API version knows."""
    described = fields(kind).items()
    return frozenset(name for name, info in described if IsChildVersion(version, info.version))


def _rebind_data_object(value: Any, stub: Any, version: str) -> Any:
    kind: Kind = type(value)
    copied = kind.__new__(kind)
    known = known_fields(kind, version)
    for name, info in fields(kind).items():
        item = vars(value).get(name) if name in known else None
        if name not in known and issubclass(info.type, list):
            item = info.type()
        if type(item) is list and issubclass(info.type, list):
            item = info.type(item)
        copied.__dict__[name] = rebind(item, stub, version)
    return copied
