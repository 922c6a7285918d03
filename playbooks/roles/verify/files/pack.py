"""Pack the gate into one file that Python runs; print it in base64.

The same files give the same archive to the last bit. Runs on the controller: `pack.py FOLDER`.
"""

import base64
import io
import sys
import zipfile
from pathlib import Path

MAIN = "import runpy\nrunpy.run_module('gate', run_name='__main__')\n"


def pack(folder: Path) -> bytes:
    """Return a zip file of a package that runs as a program."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for path in sorted(folder.glob("*.py")):
            archive.writestr(zipfile.ZipInfo(f"{folder.name}/{path.name}"), path.read_bytes())
        archive.writestr(zipfile.ZipInfo("__main__.py"), MAIN)
    return buffer.getvalue()


if __name__ == "__main__":
    print(base64.b64encode(pack(Path(sys.argv[1]).resolve())).decode())
