"""`python -m gate FILE < question.json`: write the verdict to FILE, whole or not at all."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from gate.question import read
from gate.verdict import judge


def main() -> None:
    """Answer the question on stdin; stdout gets the verdict as one line."""
    target = Path(sys.argv[1])
    text = json.dumps(judge(read(json.load(sys.stdin))))
    fresh = target.with_suffix(".new")
    fresh.write_text(text, encoding="utf-8")
    fresh.replace(target)
    print(text)


if __name__ == "__main__":
    main()
