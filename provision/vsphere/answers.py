"""Reads what vCenter answers, several times faster than pyVmomi does.

pyVmomi looks each type up anew for each element and checks each value that it sets. A read of
1,000 VMs has 200,000 elements, and that is most of the time that it takes. Here the XML becomes a
tree in C, and what is known of a type is worked out once. The result is the same, pyVmomi's own
objects, as its `SoapDeserializer` makes them; what is not known here is left to that.
"""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from functools import cache, partial
from typing import Any
from xml.etree.ElementTree import Element, ParseError, TreeBuilder, XMLParser

from pyVmomi import Iso8601, VmomiSupport
from pyVmomi.SoapAdapter import SoapDeserializer, SoapResponseDeserializer

# A pyVmomi type: they are made at run time, so a type checker knows nothing of them.
Kind = Any
Read = Callable[[Element], Any]

_VIM = "urn:vim25"
_SOAP = "http://schemas.xmlsoap.org/soap/envelope/"
_XSI_TYPE = "{http://www.w3.org/2001/XMLSchema-instance}type"
# What reading raises where an answer is not as expected; the last where its levels have no end.
_MISFITS = (ParseError, LookupError, ValueError, TypeError, AttributeError, RecursionError)
_BOOLEANS = {"true": True, "1": True, "false": False, "0": False}


class Unfamiliar(Exception):
    """Something that only pyVmomi reads: a fault, a name of a type or a method, a new namespace."""


def read_answer(document: bytes, declared: Kind, stub: Any) -> Any:
    """Return the result, or the fault, that a SOAP response carries.

    Args:
        document: The response.
        declared: The type of the method's result.
        stub: What the managed objects in it will call through; its `version` limits the types.

    Raises:
        ExpatError: It is no XML.
        Exception: As pyVmomi has it, where it fits no type.
    """
    try:
        return read_quickly(document, declared, stub)
    except Unfamiliar:
        return SoapResponseDeserializer(stub).Deserialize(document, declared)


def read_quickly(document: bytes, declared: Kind, stub: Any) -> Any:
    """Return the result that a SOAP response carries, without pyVmomi's help.

    Raises:
        Unfamiliar: It takes pyVmomi to read it, or to say what is wrong with it.
    """
    builder = _Builder()
    # pyVmomi's expat takes documents as this one does; libexpat itself limits what entities may do.
    parser = XMLParser(target=builder)  # noqa: S314
    try:
        with _nothing_collected():
            parser.feed(document)
            (answer,) = parser.close().iterfind(f"{{{_SOAP}}}Body/*")
            return _Reader(builder.spaces, stub).answer(answer, declared)
    except _MISFITS as error:
        raise Unfamiliar(str(error)) from error


@contextmanager
def _nothing_collected() -> Iterator[None]:
    """Keep the garbage collector from searching a growing tree for cycles, of which it has none.

    That would take as long as the reading itself.
    """
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


class _Builder(TreeBuilder):
    """Builds the tree, and keeps what each prefix stands for: `xsi:type` has prefixes in it."""

    def __init__(self) -> None:
        super().__init__()
        self.spaces: dict[str, str] = {}

    def start_ns(self, prefix: str, uri: str) -> None:
        """Take a prefix, which must stand for the same everywhere."""
        if self.spaces.setdefault(prefix, uri) != uri:
            raise Unfamiliar(f"{prefix} stands for several namespaces")


@dataclass(frozen=True, slots=True)
class _Shape:
    """What there is to know of a data object type.

    Attributes:
        unset: The properties of a new object that are no lists.
        lists: Those that are, with their types.
        members: By tag: a property's name, the type of it or of one item, whether it is a list.
    """

    unset: dict[str, Any]
    lists: tuple[tuple[str, Kind], ...]
    members: dict[str, tuple[str, Kind, bool]]


@cache
def _shape(kind: Kind) -> _Shape:
    new = vars(kind())
    members = {}
    for info in kind._GetPropertyList():  # noqa: SLF001 - public
        many = issubclass(info.type, list)
        members[f"{{{_VIM}}}{info.name}"] = (info.name, info.type.Item if many else info.type, many)
    return _Shape(
        unset={name: value for name, value in new.items() if not isinstance(value, list)},
        lists=tuple((name, type(value)) for name, value in new.items() if isinstance(value, list)),
        members=members,
    )


class _Reader:
    """Reads the elements of one response."""

    def __init__(self, spaces: dict[str, str], stub: Any) -> None:
        self._spaces = spaces
        self._stub = stub
        self._lookup = SoapDeserializer(stub)
        self._reads: dict[tuple[Kind, str | None], Read] = {}
        self._managed: dict[str, Kind] = {}

    def answer(self, element: Element, declared: Kind) -> Any:
        """Return the result of a method: several elements are an array, none is None."""
        if not element.tag.endswith("Response"):
            raise Unfamiliar(element.tag)
        if issubclass(declared, list):
            return self._list(declared, element)
        return self._read(element[0], declared) if len(element) else None

    def _read(self, element: Element, declared: Kind) -> Any:
        typed = element.get(_XSI_TYPE)
        read = self._reads.get((declared, typed))
        if read is None:
            read = self._reads[declared, typed] = self._new_read(declared, typed)
        return read(element)

    def _new_read(self, declared: Kind, typed: str | None) -> Read:
        kind = declared if typed is None else self._type(typed)
        if kind is VmomiSupport.ManagedMethod or issubclass(kind, (type, Exception)):
            raise Unfamiliar(kind.__name__)
        if declared is not object and not issubclass(kind, declared):
            raise Unfamiliar(f"{kind.__name__} is no {declared.__name__}")
        kind = VmomiSupport.GetCompatibleType(kind, self._stub.version)
        if issubclass(kind, VmomiSupport.ManagedObject):
            return self._reference
        if issubclass(kind, VmomiSupport.Array):
            return partial(self._list, kind)
        if issubclass(kind, VmomiSupport.DataObject):
            return partial(self._data_object, kind, _shape(kind))
        return _read_of(kind)

    def _type(self, typed: str) -> Kind:
        prefix, _, name = typed.rpartition(":")
        space = self._spaces[prefix]
        return self._lookup.LookupWsdlType(space, name, allowManagedObjectReference=True)

    def _data_object(self, kind: Kind, shape: _Shape, element: Element) -> Any:
        made = kind.__new__(kind)
        values = made.__dict__
        values.update(shape.unset)
        for name, many in shape.lists:
            values[name] = many()
        for child in element:
            name, declared, many = shape.members[child.tag]
            if many:
                values[name].append(self._read(child, declared))
            else:
                values[name] = self._read(child, declared)
        return made

    def _list(self, kind: Kind, element: Element) -> Any:
        return kind(self._read(child, kind.Item) for child in element)

    def _reference(self, element: Element) -> Any:
        if "serverGuid" in element.attrib:
            raise Unfamiliar("serverGuid")
        name = element.attrib["type"]
        kind = self._managed.get(name)
        if kind is None:
            kind = self._managed[name] = self._type(name)
        return kind(element.text or "", self._stub, None)


def _read_of(kind: Kind) -> Read:
    """Return what reads a value that is one text."""
    if kind is bool:
        return lambda element: _BOOLEANS[_text(element)]
    if kind is datetime:
        return _time
    if issubclass(kind, VmomiSupport.Enum):
        return lambda element: getattr(kind, _text(element))
    if issubclass(kind, (str, int, float)):
        return lambda element: kind(element.text or "")
    raise Unfamiliar(kind.__name__)


def _text(element: Element) -> str:
    return element.text or ""


def _time(element: Element) -> datetime:
    found: datetime | None = Iso8601.ParseISO8601(_text(element))
    if found is None:
        raise Unfamiliar(element.text)
    return found
