"""Find a Python that can make the payload's environment; print {"python", "found"} as JSON.

Runs in the guest: `find_python.py LEAST MOST`, versions such as 3.10 and 3.13. `python` is null
where none has a fitting version, venv and pip; `found` then says what there is.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys

LOOK = "import sys; print('%d %d' % sys.version_info[:2]); import ensurepip, venv"


def look(command: str) -> tuple[tuple[int, ...], bool] | None:
    """Return the version of a Python, and whether it has venv; None where there is none."""
    path = shutil.which(command)
    if path is None:
        return None
    done = subprocess.run(
        [path, "-c", LOOK], check=False, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    )
    numbers = tuple(map(int, done.stdout.split()))
    return (numbers, done.returncode == 0) if numbers else None


def version(text: str) -> tuple[int, ...]:
    """Return the numbers of a version."""
    return tuple(map(int, text.split(".")))


if __name__ == "__main__":
    least, most = version(sys.argv[1]), version(sys.argv[2])
    newest_first = [f"python3.{minor}" for minor in range(most[1], least[1] - 1, -1)]
    found = {}
    chosen = None
    for name in ["python3", *newest_first]:
        seen = look(name)
        if seen is None:
            continue
        number, usable = seen
        found[name] = ".".join(map(str, number)) + ("" if usable else " without venv")
        if chosen is None and usable and least <= number <= most:
            chosen = shutil.which(name)
    print(json.dumps({"python": chosen, "found": found}))
