"""Benchmarks: `make bench`. Ratios of things measured side by side, in one run, on one machine.

Give names to run only some: `python -m tests.benchmarks help discovery`.
"""

import importlib
import os
import platform
import sys
from datetime import UTC, datetime

ALL = ("help", "discovery", "inventory", "placement", "provision", "payload", "overhead")


def main(names: list[str]) -> None:
    print(f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC, {platform.machine()}, {os.cpu_count()} cores")
    for name in names or ALL:
        print(f"\n== {name}")
        for line in importlib.import_module(f"tests.benchmarks.bench_{name}").run():
            print(line, flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
