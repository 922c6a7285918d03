"""How the contract tests call govc."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from typing import Any

# Runs govc, which must succeed, and returns what it printed.
Govc = Callable[..., str]
# Runs govc and returns how it ended.
Attempt = Callable[..., subprocess.CompletedProcess[str]]
MMIO = ("-e", "pciPassthru.use64bitMMIO=TRUE", "-e", "pciPassthru.64bitMMIOSizeGB=256")


def as_json(govc: Govc, command: str, *arguments: str) -> Any:
    return json.loads(govc(command, "-json", *arguments))
