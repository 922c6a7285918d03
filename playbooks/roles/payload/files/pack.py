"""Pack the payload package; print {"digest", "archive"} as JSON.

The same files give the same archive to the last bit, so that the digest tells whether a guest
has them already. Runs on the controller: `pack.py FOLDER`.
"""

import base64
import hashlib
import io
import json
import sys
import tarfile
from pathlib import Path


def wanted(path: Path) -> bool:
    """Whether a file belongs to the package."""
    return path.is_file() and "__pycache__" not in path.parts and path.suffix != ".pyc"


def pack(folder: Path) -> bytes:
    """Return a tar archive whose names begin with the name of the folder."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for path in sorted(filter(wanted, folder.rglob("*"))):
            content = path.read_bytes()
            member = tarfile.TarInfo(f"{folder.name}/{path.relative_to(folder).as_posix()}")
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return buffer.getvalue()


if __name__ == "__main__":
    source = Path(sys.argv[1]).resolve()
    if not (source / "__init__.py").is_file():
        sys.exit(f"{source} is no Python package: set payload_source")
    packed = pack(source)
    text = base64.b64encode(packed).decode()
    print(json.dumps({"digest": hashlib.sha256(packed).hexdigest(), "archive": text}))
