"""Names in a recording: those of the vCenter as a world file can hold them, or none of them."""

from __future__ import annotations

import itertools
import re
from collections import defaultdict
from collections.abc import Hashable
from urllib.parse import unquote

LONGEST = 80
# What a world file does not take in a name: separators, ranges, control characters.
_UNFIT = re.compile(r"[/\\%\[\]\x00-\x1f]")


class Names:
    """Gives every object a name that is unique in its scope, and the same one each time.

    Args:
        anonymous: Number the objects instead of naming them.
    """

    def __init__(self, *, anonymous: bool) -> None:
        self.anonymous = anonymous
        self._given: dict[str, str] = {}
        self._used: dict[Hashable, set[str]] = defaultdict(set)
        self._numbers: dict[str, itertools.count[int]] = defaultdict(lambda: itertools.count(1))

    def give(self, kind: str, identifier: str, name: str, scope: Hashable = None) -> str:
        """Return the name of an object.

        Args:
            kind: What the object is, such as `host`.
            identifier: What tells the object from all others, such as its managed object id.
            name: What vCenter calls it.
            scope: Within what no two objects of the recording may have the same name.
        """
        if identifier not in self._given:
            wanted = f"{kind}-{next(self._numbers[kind])}" if self.anonymous else _fit(name, kind)
            used = self._used[kind, scope]
            self._given[identifier] = _free(wanted, used)
            used.add(self._given[identifier])
        return self._given[identifier]


def _fit(name: str, kind: str) -> str:
    return _UNFIT.sub("-", unquote(name)).strip()[:LONGEST].rstrip() or kind


def _free(name: str, used: set[str]) -> str:
    """Return the name, with a number behind it where it is taken."""
    numbered = (f"{name[: LONGEST - 6]}-{n}" for n in itertools.count(2))
    return next(n for n in itertools.chain([name], numbered) if n not in used)
