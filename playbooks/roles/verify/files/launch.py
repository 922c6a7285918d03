"""Put the gate into a folder of the guest and look through it; print the verdict.

The program stays there with its question, so that it can be asked again after a measurement.
Runs in the guest, on Python 3.9: `launch.py FOLDER < {"archive": BASE64, "question": {...}}`.
"""

import base64
import json
import subprocess
import sys
from pathlib import Path


def put(path: Path, content: bytes) -> None:
    """Write a file whole or not at all; one that is there already is left alone."""
    if path.is_file() and path.read_bytes() == content:
        return
    fresh = path.with_suffix(".new")
    fresh.write_bytes(content)
    fresh.replace(path)


if __name__ == "__main__":
    home = Path(sys.argv[1]).expanduser().absolute()
    task = json.load(sys.stdin)
    question = json.dumps({**task["question"], "lost_run": str(home / "measure.lock")})
    home.mkdir(parents=True, exist_ok=True)
    put(home / "gate.pyz", base64.b64decode(task["archive"]))
    put(home / "gate-question.json", question.encode())
    words = [sys.executable, "-I", str(home / "gate.pyz"), str(home / "gate.json")]
    sys.exit(subprocess.run(words, input=question.encode(), check=False).returncode)
