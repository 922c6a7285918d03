"""YAML as plain values that remember where they stood; whatever makes YAML dangerous is refused.

Read from parser events, so that a hostile file is refused at its first bad token: no anchors and
aliases (bombs), no tags (object construction), no duplicate keys, one document, bounded depth and
number of values. Scalars follow the core schema of YAML 1.2: `no` and `12:30` are text.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import yaml

from provision.spec.problems import Problem

Path = tuple[str | int, ...]

LARGEST_FILE = 2**20
DEEPEST = 20
MOST_VALUES = 100_000
LONGEST_QUOTE = 40

# The parser of libyaml is ten times faster; PyYAML's wheels bring it, source builds may not.
_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_CONTROL = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x84\x86-\x9f\ufffe\uffff]")
_INTEGER = re.compile(r"[-+]?[0-9]{1,18}")
_FLOAT = re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]{1,3})?")
_CONSTANTS = {
    **dict.fromkeys(("", "~", "null", "Null", "NULL")),
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
}


@dataclass(frozen=True, slots=True)
class Position:
    """Line and column, both counted from 1."""

    line: int
    column: int


@dataclass(slots=True)
class Document:
    """A document's value, and where each of its values and each mapping's keys stand."""

    value: Any = None
    values: dict[Path, Position] = field(default_factory=dict)
    keys: dict[Path, Position] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)

    def where(self, path: Path, *, key: bool = False) -> Position:
        """Return where a value (or its key) stands; for what is missing, its parent's key."""
        if key and path in self.keys:
            return self.keys[path]
        if path in self.values:
            return self.values[path]
        while path and path not in self.values:
            path = path[:-1]
        return self.keys.get(path, Position(1, 1))


class Unreadable(Exception):
    """The document can't be read past one point."""

    def __init__(self, position: Position, message: str, path: Path = ()) -> None:
        self.problem = Problem(position.line, position.column, dotted(path), message)
        super().__init__(message)


def dotted(path: Path) -> str:
    """Return a path as people write it: `machines.shared.gpu`, `benchmark[0].model`."""
    text = ""
    for part in path:
        if isinstance(part, int):
            text += f"[{part}]"
        else:
            # An odd key must not bring its newlines or its length into a message.
            plain = part if part.isprintable() and len(part) <= LONGEST_QUOTE else short(part)
            text += f".{plain}" if text else plain
    return text


def read(data: bytes) -> Document:
    """Read one YAML document; duplicate keys are collected in its `problems`.

    Raises:
        Unreadable: It is no text, no YAML, or uses what is refused.
    """
    document = Document()
    events = _events(_decode(data))
    event = next(events, None)
    if event is None:
        raise Unreadable(Position(1, 1), "the file is empty")
    document.value = _Builder(document, events).build(event, ())
    if (another := next(events, None)) is not None:
        raise Unreadable(_position(another), "a second document begins here; one is wanted")
    return document


def _decode(data: bytes) -> str:
    if len(data) > LARGEST_FILE:
        raise Unreadable(Position(1, 1), "the file is larger than 1 MiB")
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        before = data[: error.start].decode("utf-8-sig", "replace")
        raise Unreadable(_end_of(before), "this is no UTF-8 text") from None
    if found := _CONTROL.search(text):
        character = f"U+{ord(found[0]):04X}"
        raise Unreadable(_end_of(text[: found.start()]), f"control character {character}")
    return text


def _end_of(text: str) -> Position:
    return Position(text.count("\n") + 1, len(text) - (text.rfind("\n") + 1) + 1)


def _events(text: str) -> Iterator[yaml.Event]:
    """Yield the events that carry content.

    Raises:
        Unreadable: It is no YAML.
    """
    skipped = (
        yaml.StreamStartEvent,
        yaml.StreamEndEvent,
        yaml.DocumentStartEvent,
        yaml.DocumentEndEvent,
    )
    try:
        for event in yaml.parse(text, Loader=_LOADER):
            if isinstance(event, yaml.AliasEvent) or getattr(event, "anchor", None):
                raise Unreadable(_position(event), "anchors and aliases are not allowed")
            if tag := getattr(event, "tag", None):
                raise Unreadable(_position(event), f"tags such as {short(tag)} are not allowed")
            if not isinstance(event, skipped):
                yield event
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        raise Unreadable(_at(mark), f"this is no YAML: {error.problem or error.context}") from None


def _position(event: yaml.Event) -> Position:
    return _at(event.start_mark)


def _at(mark: Any) -> Position:
    """Return where a mark points; libyaml and PyYAML have a class each, and may give none."""
    return Position(mark.line + 1, mark.column + 1) if mark else Position(1, 1)


class _Builder:
    """Turns events into values, depth first."""

    def __init__(self, document: Document, events: Iterator[yaml.Event]) -> None:
        self._document = document
        self._events = events

    def build(self, event: yaml.Event, path: Path) -> Any:
        """Return the value that begins with this event."""
        position = _position(event)
        self._document.values[path] = position
        if len(self._document.values) > MOST_VALUES:
            raise Unreadable(position, f"the file has more than {MOST_VALUES:,} values", path)
        if isinstance(event, yaml.ScalarEvent):
            return _scalar(event)
        if len(path) >= DEEPEST:
            raise Unreadable(position, f"nested deeper than {DEEPEST} levels")
        if isinstance(event, yaml.SequenceStartEvent):
            return self._sequence(path)
        return self._mapping(path)

    def _sequence(self, path: Path) -> list[Any]:
        items: list[Any] = []
        while not isinstance(event := next(self._events), yaml.SequenceEndEvent):
            items.append(self.build(event, (*path, len(items))))
        return items

    def _mapping(self, path: Path) -> dict[str, Any]:
        mapping: dict[str, Any] = {}
        while not isinstance(event := next(self._events), yaml.MappingEndEvent):
            position = _position(event)
            if not isinstance(event, yaml.ScalarEvent):
                raise Unreadable(position, "a key must be plain text", path)
            key = event.value
            here = (*path, key)
            if key in mapping:
                first = self._document.keys[here]
                self._document.problems.append(
                    Problem(
                        position.line,
                        position.column,
                        dotted(path),
                        f"duplicate key {short(key)}, first given on line {first.line}",
                    )
                )
            self._document.keys.setdefault(here, position)
            mapping[key] = self.build(next(self._events), here)
        return mapping


def short(value: object) -> str:
    """Return a value as it may be quoted in a message: on one line and not too long."""
    text = repr(value)
    return text if len(text) <= LONGEST_QUOTE else f"{text[:LONGEST_QUOTE]}..."


def _scalar(event: yaml.ScalarEvent) -> Any:
    text = event.value
    if not event.implicit[0]:
        # Quoted or a block: text, whatever it looks like.
        return text
    if text in _CONSTANTS:
        return _CONSTANTS[text]
    if _INTEGER.fullmatch(text):
        return int(text)
    return float(text) if _FLOAT.fullmatch(text) else text
