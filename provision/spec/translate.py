"""Pydantic's errors in the words of the file's author."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Literal, get_args, get_origin

from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails

from provision.spec.document import Document, Path, dotted, short
from provision.spec.model import GPU_KINDS, Lab
from provision.spec.problems import Problem

_KINDS = {
    "string_type": "text",
    "int_type": "a whole number",
    "float_type": "a number",
    "bool_type": "true or false",
    "tuple_type": "a list, such as [a, b]",
    "dict_type": "a mapping of names to values",
    "model_type": "a mapping of keys to values",
    "model_attributes_type": "a mapping of keys to values",
}


def translate(error: ValidationError, document: Document) -> Iterator[Problem]:
    """Yield a problem for each mistake that pydantic found."""
    for detail in error.errors(include_url=False):
        path = _path(detail)
        match detail["type"]:
            case "extra_forbidden":
                yield _unknown_key(path, document)
            case "union_tag_not_found":
                yield from _unclear_gpu(path, document)
            case "too_short" if _value_at(document, path):
                # Pydantic counts only the correct items; the wrong ones have their own errors.
                continue
            case "missing":
                yield _problem(path[:-1], f"missing key '{path[-1]}'", document, at=path)
            case "literal_error":
                yield _not_a_choice(path, detail, document)
            case _:
                yield _problem(path, _words(detail, path), document, key=_is_name(detail))


def _problem(
    path: Path,
    message: str,
    document: Document,
    *,
    at: Path | None = None,
    key: bool = False,
    allowed: tuple[str, ...] = (),
    nearest: str | None = None,
) -> Problem:
    position = document.where(path if at is None else at, key=key)
    return Problem(position.line, position.column, dotted(path), message, allowed, nearest)


def _path(detail: ErrorDetails) -> Path:
    """Return where in the document an error is: its location without pydantic's own marks.

    Those are the tags of a GPU request and of its cards, and `[key]` where a group's name is
    meant.
    """
    location = detail["loc"]
    if location[:1] == ("machines",) and location[2:3] == ("gpu",):
        inside = location[4:]
        if inside[:1] == ("passthrough",):
            inside = inside[:1] + inside[2:]
        return location[:3] + inside
    return location[:2] if _is_name(detail) else location


def _is_name(detail: ErrorDetails) -> bool:
    """Whether a group's name is wrong, and not what it stands for."""
    return detail["loc"][2:] == ("[key]",) and detail["type"] != "extra_forbidden"


def _unknown_key(path: Path, document: Document) -> Problem:
    """Name the keys that could stand there, and the nearest of them."""
    parent, key = path[:-1], str(path[-1])
    allowed = _keys_at(parent)
    if key in allowed:
        # The keys of all kinds of GPU request are allowed there, but not together.
        kind = next(kind for kind in GPU_KINDS if kind in _value_at(document, parent))
        return _problem(
            parent, f"'{key}' has no meaning beside '{kind}'", document, at=path, key=True
        )
    nearest = difflib.get_close_matches(key.lower(), allowed, n=1, cutoff=0.5)
    return _problem(
        parent,
        f"unknown key {short(key)}",
        document,
        at=path,
        key=True,
        allowed=allowed,
        nearest=nearest[0] if nearest else None,
    )


def _unclear_gpu(path: Path, document: Document) -> Iterator[Problem]:
    """Say what a GPU request lacks: its kind, or all kinds but one to be taken away."""
    value = _value_at(document, path)
    if not isinstance(value, Mapping):
        wanted = "must be a mapping, such as {vgpu: grid_a100d-10c}"
        yield _problem(path, f"{wanted}, not {_shown(value)}", document)
        return
    unknown = [key for key in value if key not in _keys_at(path)]
    for key in unknown:
        yield _unknown_key((*path, key), document)
    kinds = [kind for kind in GPU_KINDS if kind in value]
    if kinds:
        yield _problem(path, f"{' and '.join(kinds)} exclude each other; keep one", document)
    elif not unknown:
        yield _problem(path, f"needs one of {', '.join(GPU_KINDS)}", document)


def _not_a_choice(path: Path, detail: ErrorDetails, document: Document) -> Problem:
    expected = _literals(_annotation_at(path))
    value = detail["input"]
    nearest = difflib.get_close_matches(str(value).lower(), expected, n=1, cutoff=0.5)
    return _problem(
        path,
        f"unknown value {short(value)}",
        document,
        allowed=expected,
        nearest=nearest[0] if nearest else None,
    )


def _words(detail: ErrorDetails, path: Path) -> str:
    """Return the message for a value that is wrong in itself."""
    kind, value = detail["type"], detail["input"]
    if kind == "value_error":
        return str(detail["ctx"]["error"])
    if wanted := _KINDS.get(kind):
        if value is None:
            return f"has no value; it must be {wanted}"
        quotable = kind == "string_type" and not isinstance(value, list | dict)
        return f"must be {wanted}, not {_shown(value)}{'; put it in quotes' if quotable else ''}"
    if kind in ("greater_than_equal", "less_than_equal"):
        least, most = _bounds(_annotation_at(path))
        return f"must be between {least:,} and {most:,}, not {short(value)}"
    if kind == "too_short":
        return "needs at least one entry"
    return detail["msg"]


def _shown(value: Any) -> str:
    if isinstance(value, Mapping):
        return "a mapping"
    return "a list" if isinstance(value, list) else short(value)


def _value_at(document: Document, path: Path) -> Any:
    value = document.value
    for part in path:
        value = value[part]
    return value


def _keys_at(path: Path) -> tuple[str, ...]:
    """Return the keys that may stand in the mapping at a path; required ones come first."""
    fields = {
        name: field
        for model in _models(_annotation_at(path))
        for name, field in model.model_fields.items()
    }
    return tuple(sorted(fields, key=lambda name: not fields[name].is_required()))


def _annotation_at(path: Path) -> Any:
    """Return the type that a path of the lab has; names of groups and positions are passed over."""
    annotation: Any = Lab
    for part in path:
        found = [
            model.model_fields[part] for model in _models(annotation) if part in model.model_fields
        ]
        if found:
            annotation = Annotated[found[0].annotation, found[0]]
    return annotation


def _models(annotation: Any) -> list[type[BaseModel]]:
    """Return the models inside a type, such as both of `A | tuple[B, ...]`, in their order."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [model for argument in get_args(annotation) for model in _models(argument)]


def _literals(annotation: Any) -> tuple[str, ...]:
    if get_origin(annotation) is Literal:
        return get_args(annotation)
    return tuple(text for argument in get_args(annotation) for text in _literals(argument))


def _bounds(annotation: Any) -> tuple[int, int]:
    """Return the least and the greatest value of a bounded number."""
    marks = list(_marks(annotation))
    least = next(mark.ge for mark in marks if hasattr(mark, "ge"))
    most = next(mark.le for mark in marks if hasattr(mark, "le"))
    return least, most


def _marks(annotation: Any) -> Iterator[Any]:
    if isinstance(annotation, FieldInfo):
        yield from annotation.metadata
    for argument in get_args(annotation):
        yield from _marks(argument)
    if get_origin(annotation) is Annotated:
        yield from (mark for mark in annotation.__metadata__ if not isinstance(mark, FieldInfo))
