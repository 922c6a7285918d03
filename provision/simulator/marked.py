"""YAML in which every value remembers its line and column.

The scalar rules are those of YAML 1.2: `on` and `off` are words and `0000:12:00.0` is no
number, so a world file needs no quotes where a person would not expect them.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import yaml

MAX_DEPTH = 40
MAX_VALUES = 1_000_000  # after aliases are expanded; what an alias bomb runs into

_TAG = "tag:yaml.org,2002:"
_SCALARS: tuple[tuple[str, str, str], ...] = (
    ("null", r"~|null|Null|NULL|", "~nN"),
    ("bool", r"true|True|TRUE|false|False|FALSE", "tTfF"),
    ("int", r"[-+]?[0-9]+|0x[0-9a-fA-F]+", "-+0123456789"),
    ("float", r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?", "-+.0123456789"),
)


@dataclass
class Problem(Exception):
    """Something wrong at a place of the file, counted from 1."""

    line: int
    column: int
    message: str


class _Loader(yaml.SafeLoader):
    """SafeLoader with the scalar rules of YAML 1.2."""

    yaml_implicit_resolvers: dict[str, list[Any]] = {}  # noqa: RUF012 - PyYAML's own class attribute


for _name, _pattern, _first in _SCALARS:
    _Loader.add_implicit_resolver(_TAG + _name, re.compile(f"^(?:{_pattern})$"), list(_first))
_Loader.add_implicit_resolver(_TAG + "null", re.compile(r"^$"), [""])


def _said(error: yaml.MarkedYAMLError) -> str:
    """Return what PyYAML says, without the alias that it quotes: it may be an unquoted password."""
    said = error.problem or "this is no YAML"
    return said.partition(" '")[0] if isinstance(error, yaml.composer.ComposerError) else said


class Document:
    """A YAML file as plain values, and where each of them stands.

    Raises:
        Problem: The text is no YAML, or more than a person would write.
    """

    def __init__(self, text: str) -> None:
        try:
            _check_depth(text)
            root = yaml.compose(text, Loader=_Loader)
        except yaml.MarkedYAMLError as error:
            mark = error.problem_mark or error.context_mark
            line, column = (mark.line + 1, mark.column + 1) if mark else (1, 1)
            # The file may hold passwords, and PyYAML's own error quotes the line.
            raise Problem(line, column, _said(error)) from None
        except yaml.reader.ReaderError as error:
            line = text.count("\n", 0, error.position) + 1
            raise Problem(line, 1, "this is no text (a character YAML does not allow)") from error
        if root is None:
            raise Problem(1, 1, "the file is empty")
        _count(root, {})
        self._root: Any = root
        self.data = _plain(root)

    def place(self, path: Sequence[str | int], *, key: bool = False) -> tuple[int, int]:
        """Return line and column of the value (or its key) at a path.

        Steps that the file does not have are passed over, so that the place of a value that
        was left out is that of what it was left out of.
        """
        node, mark = self._root, self._root.start_mark
        for step in path:
            found = _child(node, step)
            if found is not None:
                name, node = found
                mark = name.start_mark if key else node.start_mark
        return mark.line + 1, mark.column + 1


def _problem(node: Any, message: str) -> Problem:
    return Problem(node.start_mark.line + 1, node.start_mark.column + 1, message)


def _check_depth(text: str) -> None:
    depth = 0
    for event in yaml.parse(text, Loader=_Loader):
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
            if depth > MAX_DEPTH:
                raise _problem(event, f"nested deeper than {MAX_DEPTH} levels")
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1


def _children(node: Any) -> list[Any]:
    if isinstance(node, yaml.MappingNode):
        return [value for pair in node.value for value in pair]
    return list(node.value) if isinstance(node, yaml.SequenceNode) else []


def _count(node: Any, sizes: dict[int, int]) -> int:
    """Return how many values a node expands to, without expanding it."""
    known = sizes.get(id(node))
    if known == 0:
        raise _problem(node, "an alias that contains itself")
    if known is None:
        sizes[id(node)] = 0
        known = 1 + sum(_count(child, sizes) for child in _children(node))
        if known > MAX_VALUES:
            raise _problem(node, f"aliases expand to more than {MAX_VALUES} values")
        sizes[id(node)] = known
    return known


def _plain(node: Any) -> Any:
    if isinstance(node, yaml.MappingNode):
        return _mapping(node)
    if isinstance(node, yaml.SequenceNode) and node.tag == _TAG + "seq":
        return [_plain(child) for child in node.value]
    read = _READERS.get(node.tag.removeprefix(_TAG))
    if read is None or not isinstance(node, yaml.ScalarNode):
        raise _problem(node, f"the tag {node.tag} is not allowed")
    try:
        return read(node.value)
    except ValueError as error:
        raise _problem(node, f"{node.value!r} is not what its tag says") from error


def _integer(text: str) -> int:
    return int(text, 16 if text.startswith("0x") else 10)


_READERS: dict[str, Callable[[str], Any]] = {
    "str": str,
    "null": lambda _: None,
    "bool": lambda text: text.lower() == "true",
    "int": _integer,
    "float": float,
}


def _mapping(node: Any) -> dict[str, Any]:
    if node.tag != _TAG + "map":
        raise _problem(node, f"the tag {node.tag} is not allowed")
    result: dict[str, Any] = {}
    for key, value in node.value:
        if not isinstance(key, yaml.ScalarNode):
            raise _problem(key, "a key is a word")
        if key.value in result:
            raise _problem(key, f"the key {key.value!r} is there twice")
        result[key.value] = _plain(value)
    return result


def _child(node: Any, step: str | int) -> tuple[Any, Any] | None:
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            if key.value == step:
                return key, value
    if isinstance(node, yaml.SequenceNode) and isinstance(step, int) and step < len(node.value):
        return node.value[step], node.value[step]
    return None
