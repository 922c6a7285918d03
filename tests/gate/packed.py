"""The gate as the role sends it into guests: packed into one file."""

from __future__ import annotations

import base64
import json
import os
import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import Any

FILES = Path(__file__).parents[2] / "playbooks/roles/verify/files"


@cache
def packed() -> bytes:
    """The program, made as the role makes it."""
    words = [sys.executable, str(FILES / "pack.py"), str(FILES / "gate")]
    return base64.b64decode(subprocess.run(words, capture_output=True, check=True).stdout)


def run_gate(question: dict[str, Any], target: Path, path: str) -> dict[str, Any]:
    """Run the program with a PATH of its own; return the verdict that it printed and wrote."""
    program = target.with_name("gate.pyz")
    program.write_bytes(packed())
    done = subprocess.run(
        [sys.executable, "-I", str(program), str(target)],
        input=json.dumps(question),
        capture_output=True,
        text=True,
        env={**os.environ, "PATH": path},
        check=False,
    )
    assert done.returncode == 0, done.stderr
    verdict: dict[str, Any] = json.loads(done.stdout)
    assert json.loads(target.read_text()) == verdict
    return verdict
