"""SOAP requests as pyVmomi values: the questions that reach the HTTPS door."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable
from datetime import datetime
from typing import Any

from pyVmomi import Iso8601, VmomiSupport, vmodl

from provision.simulator.engine.dispatch import FETCH, Request
from provision.simulator.engine.schema import Kind, declared_type, fields
from provision.simulator.engine.xmltree import MalformedXml, Node, parse

_VIM = "urn:vim25"
_XSD = "http://www.w3.org/2001/XMLSchema"
_SOAP = "http://schemas.xmlsoap.org/soap/envelope/"
_INTEGERS = {
    VmomiSupport.byte: 8,
    VmomiSupport.short: 16,
    int: 32,
    VmomiSupport.long: 64,
}


def decode_request(document: bytes) -> Request:
    """Read the method, the object and the arguments of a SOAP request.

    Raises:
        vmodl.fault.InvalidRequest: The document is no request of a known method.
    """
    try:
        envelope = parse(document)
    except MalformedXml as error:
        raise _invalid(f"The request is no usable XML: {error}") from None
    body = envelope.child("Body")
    head = (envelope.namespace, envelope.name)
    if head != (_SOAP, "Envelope") or body is None or len(body.children) != 1:
        raise _invalid("The request is no SOAP envelope with one call")
    call = body.children[0]
    this = call.child("_this")
    if this is None:
        raise _invalid(f"{call.name} has no _this")
    target = _reference(this)
    info = _fetch_info(target, call) if call.name == FETCH else _method_info(call)
    moid = target._GetMoId()  # noqa: SLF001 - public
    return Request(moid, info, _arguments(call, info), _operation(envelope))


def _operation(envelope: Node) -> str:
    """Return the id that the client gives its call, so that it finds the call in the logs."""
    header = envelope.child("Header")
    node = header.child("operationID") if header is not None else None
    return node.text.strip() if node is not None else ""


def _invalid(message: str) -> Exception:
    fault: Exception = vmodl.fault.InvalidRequest(msg=message)
    return fault


def _method_info(call: Node) -> Any:
    try:
        return VmomiSupport.GetWsdlMethod(call.namespace, call.name).info
    except KeyError:
        raise _invalid(f"There is no method {call.name} in {call.namespace!r}") from None


def _fetch_info(target: Any, call: Node) -> Any:
    """Describe `Fetch`, which is in no type table, for the property that is asked for."""
    prop = call.child("prop")
    path = prop.text.strip() if prop is not None else ""
    param = VmomiSupport.Object(name="prop", type=str, version="vmodl.version.version0", flags=0)
    return VmomiSupport.Object(
        wsdlName=FETCH,
        params=(param,),
        result=declared_type(target.__class__, path) or object,
        privId=None,
    )


def _arguments(call: Node, info: Any) -> dict[str, Any]:
    params = {param.name: param for param in info.params}
    given: dict[str, list[Node]] = {}
    for node in call.children:
        if node.name == "_this":
            continue
        if node.name not in params:
            raise _invalid(f"{call.name} has no parameter {node.name}")
        given.setdefault(node.name, []).append(node)
    arguments = {name: _member(nodes, params[name].type) for name, nodes in given.items()}
    for name, param in params.items():
        if name not in arguments and not param.flags & VmomiSupport.F_OPTIONAL:
            _require(call, name, param)
    return arguments


def _require(call: Node, name: str, param: Any) -> None:
    # An empty array and no array look the same on the wire.
    if not issubclass(param.type, list):
        raise _invalid(f"{call.name} lacks its parameter {name}")


def _member(nodes: list[Node], declared: Kind) -> Any:
    """Read the elements of one name: an array's items, or one value."""
    if issubclass(declared, VmomiSupport.Array):
        if len(nodes) == 1 and _is_array(nodes[0]):
            return _value(nodes[0], declared)
        return declared(_value(node, declared.Item) for node in nodes)
    if len(nodes) != 1:
        raise _invalid(f"{nodes[0].name} is given more than once")
    return _value(nodes[0], declared)


def _is_array(node: Node) -> bool:
    return node.xsi_type is not None and node.xsi_type[1].startswith("ArrayOf")


def _value(node: Node, declared: Kind) -> Any:
    kind = _kind(node, declared)
    if issubclass(kind, VmomiSupport.Array):
        return kind(_value(child, kind.Item) for child in node.children)
    if issubclass(kind, VmomiSupport.ManagedObject):
        return _reference(node)
    if issubclass(kind, VmomiSupport.DataObject):
        return _data_object(node, kind)
    try:
        return _simple(node.text, kind)
    except (ValueError, KeyError):
        raise _invalid(f"{node.text[:80]!r} in {node.name} is no {kind.__name__}") from None


def _kind(node: Node, declared: Kind) -> Kind:
    """Return the type that an element says it has, which the declared one must allow."""
    names = (type, VmomiSupport.ManagedMethod, VmomiSupport.PropertyPath)
    if node.xsi_type is None or declared in names:
        return declared
    kind = _lookup(*node.xsi_type)
    if declared is not object and not issubclass(kind, declared):
        raise _invalid(f"{node.name} can't hold a {node.xsi_type[1]}")
    return kind


def _lookup(namespace: str, name: str) -> Kind:
    if name.endswith("ManagedObjectReference"):
        name = name.removesuffix("Reference")
    try:
        # Some clients leave the prefix of XML Schema's own types undeclared.
        if not namespace:
            return VmomiSupport.GuessWsdlType(name)
        return VmomiSupport.GetWsdlType(namespace, name)
    except KeyError:
        raise _invalid(f"There is no type {name} in {namespace!r}") from None


def _reference(node: Node) -> Any:
    kind = _lookup(_VIM, node.attributes.get("type", "").rpartition(":")[2])
    if not issubclass(kind, VmomiSupport.ManagedObject):
        raise _invalid(f"{node.name} refers to no managed object")
    return kind(node.text.strip())


def _data_object(node: Node, kind: Kind) -> Any:
    known = fields(kind)
    given: dict[str, list[Node]] = {}
    for child in node.children:
        if child.name not in known:
            raise _invalid(f"{VmomiSupport.GetWsdlName(kind)} has no property {child.name}")
        given.setdefault(child.name, []).append(child)
    values = {name: _member(nodes, known[name].type) for name, nodes in given.items()}
    return kind(**values)


def _simple(text: str, kind: Kind) -> Any:
    """Read the text of a simple type; `ValueError` or `KeyError` where it is none."""
    if reader := _READERS.get(kind):
        return reader(text.strip())
    if kind in _INTEGERS:
        return _integer(text, kind)
    if issubclass(kind, VmomiSupport.Enum):
        if text not in kind.values:
            raise ValueError(text)
        return kind(text)
    return kind(text)


def _integer(text: str, kind: Kind) -> Any:
    value, bits = int(text), _INTEGERS[kind]
    if not -(2 ** (bits - 1)) <= value < 2 ** (bits - 1):
        raise ValueError(text)
    return kind(value)


def _boolean(text: str) -> bool:
    return {"true": True, "1": True, "false": False, "0": False}[text]


def _binary(text: str) -> Any:
    try:
        return VmomiSupport.binary(base64.b64decode("".join(text.split()), validate=True))
    except binascii.Error:
        raise ValueError(text) from None


def _datetime(text: str) -> datetime:
    found: datetime | None = Iso8601.ParseISO8601(text)
    if found is None:
        raise ValueError(text)
    return found


def _method(text: str) -> Any:
    return VmomiSupport.GuessWsdlMethod(text.rpartition(":")[2])


def _type(text: str) -> Any:
    return VmomiSupport.GuessWsdlType(text.rpartition(":")[2])


_READERS: dict[type[Any], Callable[[str], Any]] = {
    bool: _boolean,
    VmomiSupport.binary: _binary,
    datetime: _datetime,
    VmomiSupport.ManagedMethod: _method,
    type: _type,
}
