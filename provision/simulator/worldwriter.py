"""Writes a world file."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import yaml

# Words that mean the same in every version of YAML; anything else is quoted.
_WORD = re.compile(r"[A-Za-z][A-Za-z0-9_.@-]*(?: [A-Za-z0-9_.@-]+)*|\d+ [MG]iB")
_NO_WORDS = frozenset({"true", "false", "yes", "no", "on", "off", "null", "y", "n"})
WIDTH = 120


class _Dumper(yaml.SafeDumper):
    """SafeDumper that quotes whatever some reader of YAML might take for no text."""

    def ignore_aliases(self, data: Any) -> bool:
        del data
        return True


def _text(dumper: yaml.SafeDumper, value: str) -> Any:
    plain = _WORD.fullmatch(value) and value.lower() not in _NO_WORDS
    style = None if plain else '"'
    return dumper.represent_scalar("tag:yaml.org,2002:str", value, style=style)


def _number(dumper: yaml.SafeDumper, value: int) -> Any:
    return dumper.represent_int(int(value))


# pyVmomi has kinds of text and number of its own.
_Dumper.add_representer(str, _text)
_Dumper.add_multi_representer(str, _text)
_Dumper.add_multi_representer(int, _number)


def dump(world: Mapping[str, Any], comment: str) -> str:
    """Return the text of a world file.

    Args:
        world: Its values, as `provision.simulator.worldfile.from_data` takes them.
        comment: What the first lines say about it.
    """
    head = "".join(f"# {line}\n" for line in comment.splitlines())
    body = yaml.dump(
        dict(world), Dumper=_Dumper, sort_keys=False, width=WIDTH, allow_unicode=True,
        default_flow_style=None,
    )  # fmt: skip
    return f"{head}\n{body}"
