"""The payload as one file: a zip archive that Python runs."""

from __future__ import annotations

import hashlib
import io
import zipfile
from pathlib import Path

from provision.errors import VdlError
from provision.guests.resources import payload_folder

SHEBANG = b"#!/usr/bin/env python3\n"
MAIN = "import sys\n\nfrom payload.cli import main\n\nsys.exit(main(apart=True))\n"


def write_zipapp(target: Path) -> str:
    """Write the archive, executable, and return its SHA-256.

    Raises:
        VdlError: The file can't be written.
    """
    content = zipapp()
    try:
        target.write_bytes(content)
        target.chmod(0o755)
    except OSError as error:
        raise VdlError(
            "the payload can't be written", subject=str(target), why=error.strerror
        ) from error
    return hashlib.sha256(content).hexdigest()


def zipapp() -> bytes:
    """Return the archive. The same files give the same bytes: no times, no compression.

    How well a file is packed depends on the version of zlib, and there is little to pack.
    """
    folder = payload_folder()
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:
        for path in sorted(folder.rglob("*")):
            if path.is_file() and "__pycache__" not in path.parts:
                name = f"payload/{path.relative_to(folder).as_posix()}"
                archive.writestr(zipfile.ZipInfo(name), path.read_bytes())
        archive.writestr(zipfile.ZipInfo("__main__.py"), MAIN)
    return SHEBANG + buffer.getvalue()
