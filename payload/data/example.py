"""A `tf.train.Example` read without protocol buffers' own library: its bytes and integers.

An Example holds Features, these a map from a name to a Feature, and that a list of bytes, floats
or integers (TensorFlow, `core/example/example.proto` and `feature.proto`). The encoding is that
of protocol buffers: a key (field number and wire type), then a number or a length and so many
bytes; a number is in base 128, lowest digit first, all but the last with the top bit set.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

_NUMBER, _EIGHT_BYTES, _BYTES, _FOUR_BYTES = 0, 1, 2, 5
_FIXED = {_EIGHT_BYTES: 8, _FOUR_BYTES: 4}
_BYTES_LIST, _INTEGER_LIST = 1, 3
_LONGEST_NUMBER = 10
_SIGN = 1 << 63


@dataclass(frozen=True, slots=True)
class Example:
    """Features by name: lists of bytes, lists of signed 64-bit integers; floats are passed over."""

    texts: dict[str, list[bytes]] = field(default_factory=dict)
    integers: dict[str, list[int]] = field(default_factory=dict)


def parse(content: bytes) -> Example:
    """Return an Example's features.

    Raises:
        ValueError: If the content is no Example.
    """
    example = Example()
    for number, features in _fields(content):
        if number != 1 or not isinstance(features, bytes):
            continue
        for entry_number, entry in _fields(features):
            if entry_number == 1 and isinstance(entry, bytes):
                _take_entry(entry, example)
    return example


def _take_entry(entry: bytes, example: Example) -> None:
    """Add one entry of the map: its name is field 1, its Feature field 2."""
    parts = dict(_fields(entry))
    name, feature = parts.get(1, b""), parts.get(2, b"")
    if not isinstance(name, bytes) or not isinstance(feature, bytes):
        raise ValueError("a feature has another form")  # noqa: TRY004 bad data, not a bad call
    key = name.decode("utf-8")
    for kind, values in _fields(feature):
        if not isinstance(values, bytes):
            continue
        if kind == _BYTES_LIST:
            found = [value for number, value in _fields(values) if number == 1]
            example.texts[key] = [value for value in found if isinstance(value, bytes)]
        elif kind == _INTEGER_LIST:
            example.integers[key] = list(_integers(values))


def _integers(values: bytes) -> Iterator[int]:
    """Yield an integer list's values, packed or one by one."""
    for number, value in _fields(values):
        if number != 1:
            continue
        if isinstance(value, int):
            yield _signed(value)
            continue
        at = 0
        while at < len(value):
            found, at = _number(value, at)
            yield _signed(found)


def _fields(content: bytes) -> Iterator[tuple[int, int | bytes]]:
    """Yield field number and value: an integer for numbers, bytes for what has a length."""
    at = 0
    while at < len(content):
        key, at = _number(content, at)
        kind = key & 7
        if kind == _NUMBER:
            value, at = _number(content, at)
            yield key >> 3, value
            continue
        if kind == _BYTES:
            length, at = _number(content, at)
        elif kind in _FIXED:
            length = _FIXED[kind]
        else:
            raise ValueError(f"wire type {kind} is unknown")
        if at + length > len(content):
            raise ValueError("it ends within a field")
        yield key >> 3, content[at : at + length]
        at += length


def _number(content: bytes, at: int) -> tuple[int, int]:
    value = 0
    for place in range(_LONGEST_NUMBER):
        if at + place >= len(content):
            raise ValueError("it ends within a number")
        digit = content[at + place]
        value |= (digit & 0x7F) << (7 * place)
        if digit < 0x80:  # noqa: PLR2004 the top bit: more follows
            return value, at + place + 1
    raise ValueError("a number is too long")


def _signed(value: int) -> int:
    return value - 2 * _SIGN if value & _SIGN else value
