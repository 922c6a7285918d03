"""Unpack the payload from stdin into a folder named by its digest; print the result as JSON.

A release appears whole or not at all: it is unpacked beside its place and then renamed.
Runs in the guest: `install.py FOLDER install|check < pack.json`.
"""

import base64
import hashlib
import io
import json
import shutil
import sys
import tarfile
import tempfile
from pathlib import Path


def install(home: Path, release: Path, archive: bytes) -> None:
    """Unpack a release and remove older ones."""
    release.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=home) as folder:
        fresh = Path(folder) / "release"
        with tarfile.open(fileobj=io.BytesIO(archive)) as packed:
            for member in packed.getmembers():
                target = fresh / member.name
                target.parent.mkdir(parents=True, exist_ok=True)
                target.write_bytes(packed.extractfile(member).read())
        fresh.rename(release)
    for old in release.parent.iterdir():
        if old != release:
            shutil.rmtree(old, ignore_errors=True)


if __name__ == "__main__":
    place, order = Path(sys.argv[1]).expanduser().absolute(), sys.argv[2]
    pack = json.load(sys.stdin)
    content = base64.b64decode(pack["archive"])
    if hashlib.sha256(content).hexdigest() != pack["digest"]:
        sys.exit("the archive was damaged on its way")
    target = place / "releases" / pack["digest"][:16]
    missing = not target.is_dir()
    if missing and order == "install":
        install(place, target, content)
    print(json.dumps({"changed": missing, "home": str(place), "release": str(target)}))
