"""Make a virtual environment and install what stdin asks for; print {"changed"} as JSON.

What is installed must have one of the listed hashes. The list is written into the environment
last: where it differs, or is missing because an earlier attempt was cut off, the environment is
made anew. Runs in the guest: `venv.py FOLDER DRIVER_VERSION_FILE install|check WHEELS <
{"cpu": TEXT, "gpu": TEXT}`. WHEELS is the only folder to install from; empty for the index.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path


def install(folder: Path, requirements: str, wheels: str) -> None:
    """Make the environment; pip's output goes to stderr, its failure ends this script."""
    subprocess.run([sys.executable, "-m", "venv", "--clear", folder], check=True, stdout=sys.stderr)
    wanted = folder / "wanted.txt"
    wanted.write_text(requirements)
    pip = [folder / "bin" / "python", "-m", "pip", "--disable-pip-version-check", "--no-input"]
    command = [*pip, "install", "--quiet", "--no-cache-dir", "--require-hashes"]
    command += ["--no-index", "--find-links", wheels] if wheels else []
    subprocess.run([*command, "--requirement", wanted], check=True, stdout=sys.stderr)
    wanted.rename(folder / "requirements.txt")


if __name__ == "__main__":
    place, driver, order, wheels = Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3], sys.argv[4]
    texts = json.load(sys.stdin)
    text = texts["gpu" if driver.exists() else "cpu"]
    marker = place / "requirements.txt"
    stale = not marker.is_file() or marker.read_text() != text
    if stale and order == "install":
        try:
            install(place, text, wheels)
        except subprocess.CalledProcessError as error:
            sys.exit(error.returncode)
    print(json.dumps({"changed": stale}))
