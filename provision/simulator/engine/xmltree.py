"""A small, wary XML parser: no DTD, no entities, bounded depth and number of elements."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any
from xml.parsers import expat

MAX_DEPTH = 64
MAX_ELEMENTS = 200_000
_SEPARATOR = " "
_XSI_TYPE = f"http://www.w3.org/2001/XMLSchema-instance{_SEPARATOR}type"


class MalformedXml(ValueError):
    """The text is no XML, or XML that nobody sends in good faith."""


@dataclass(slots=True)
class Node:
    """One element: namespace, name, attributes, the resolved `xsi:type`, text, children."""

    namespace: str
    name: str
    attributes: dict[str, str]
    xsi_type: tuple[str, str] | None
    text: str = ""
    children: list[Node] = field(default_factory=list)

    def child(self, name: str) -> Node | None:
        """Return the first child of this name."""
        return next((node for node in self.children if node.name == name), None)


class _Builder:
    def __init__(self) -> None:
        self.root: Node | None = None
        self._stack: list[Node] = []
        self._texts: list[list[str]] = []
        self._prefixes: dict[str | None, list[str]] = {}
        self._elements = 0

    def start(self, tag: str, attributes: dict[str, str]) -> None:
        self._elements += 1
        if len(self._stack) >= MAX_DEPTH or self._elements > MAX_ELEMENTS:
            raise MalformedXml("the document is nested too deeply or has too many elements")
        namespace, _, name = tag.rpartition(_SEPARATOR)
        node = Node(namespace, name, attributes, self._resolve(attributes.get(_XSI_TYPE)))
        if self._stack:
            self._stack[-1].children.append(node)
        else:
            self.root = node
        self._stack.append(node)
        self._texts.append([])

    def end(self, _: str) -> None:
        self._stack.pop().text = "".join(self._texts.pop())

    def data(self, text: str) -> None:
        if self._texts:
            self._texts[-1].append(text)

    def bind(self, prefix: str | None, uri: str | None) -> None:
        self._prefixes.setdefault(prefix, []).append(uri or "")

    def unbind(self, prefix: str | None) -> None:
        self._prefixes[prefix].pop()

    def refuse(self, *_: Any) -> None:
        raise MalformedXml("a document type or an entity has no place in a request")

    def _resolve(self, name: str | None) -> tuple[str, str] | None:
        if name is None:
            return None
        prefix, _, local = name.strip().rpartition(":")
        uris = self._prefixes.get(prefix or None)
        return (uris[-1] if uris else "", local)


def parse(document: bytes) -> Node:
    """Parse a document into its root element.

    Raises:
        MalformedXml: It is not well-formed, or has a DTD, an entity or too much of anything.
    """
    builder = _Builder()
    parser = expat.ParserCreate(namespace_separator=_SEPARATOR)
    parser.buffer_text = True
    parser.StartElementHandler = builder.start
    parser.EndElementHandler = builder.end
    parser.CharacterDataHandler = builder.data
    parser.StartNamespaceDeclHandler = builder.bind
    parser.EndNamespaceDeclHandler = builder.unbind
    parser.StartDoctypeDeclHandler = builder.refuse
    parser.EntityDeclHandler = builder.refuse
    try:
        parser.Parse(document, True)  # noqa: FBT003 - expat takes it by position only
    except expat.ExpatError as error:
        raise MalformedXml(str(error)) from None
    if builder.root is None:
        raise MalformedXml("the document is empty")
    return builder.root
