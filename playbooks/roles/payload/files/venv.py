"""Make a virtual environment and install what stdin asks for; print {"changed"} as JSON.

The list of requirements is written into the environment last: where it differs, or is missing
because an earlier attempt was cut off, the environment is made anew. Runs in the guest:
`venv.py FOLDER DRIVER_VERSION_FILE install|check < {"cpu": TEXT, "gpu": TEXT}`.
"""

import json
import subprocess
import sys
from pathlib import Path


def install(folder: Path, requirements: str) -> None:
    """Make the environment; pip's output goes to stderr, its failure ends this script."""
    subprocess.run([sys.executable, "-m", "venv", "--clear", folder], check=True, stdout=sys.stderr)
    wanted = folder / "wanted.txt"
    wanted.write_text(requirements)
    pip = [folder / "bin" / "python", "-m", "pip", "--disable-pip-version-check", "--no-input"]
    command = [*pip, "install", "--quiet", "--no-cache-dir", "--requirement", wanted]
    subprocess.run(command, check=True, stdout=sys.stderr)
    wanted.rename(folder / "requirements.txt")


if __name__ == "__main__":
    place, driver, order = Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3]
    texts = json.load(sys.stdin)
    text = texts["gpu" if driver.exists() else "cpu"]
    marker = place / "requirements.txt"
    stale = not marker.is_file() or marker.read_text() != text
    if stale and order == "install":
        try:
            install(place, text)
        except subprocess.CalledProcessError as error:
            sys.exit(error.returncode)
    print(json.dumps({"changed": stale}))
