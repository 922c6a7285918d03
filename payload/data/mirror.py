"""Data from a mirror: fetched over HTTP or HTTPS into a cache, held against its checksums.

A file is kept only if it is whole and is what its checksum says, and then never fetched again.
Proxies come from `https_proxy`, `http_proxy` and `no_proxy`, further authorities from
`SSL_CERT_FILE` or `SSL_CERT_DIR`, as everywhere.
"""

from __future__ import annotations

import hashlib
import http.client
import os
import ssl
import tempfile
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from payload.data import checksums
from payload.errors import DataUnusable

SCHEMES = ("http://", "https://")
ANSWER_SECONDS = 30.0
"""For each wait: connecting, or the next piece of an answer."""
WHOLE_SECONDS = 900.0
"""For one file."""
LARGEST_BYTES = 4 << 30
_PIECE = 1 << 18


@dataclass(frozen=True, slots=True)
class Limits:
    """What one file may take: seconds for each wait, seconds and bytes altogether."""

    answer: float = ANSWER_SECONDS
    whole: float = WHOLE_SECONDS
    size: int = LARGEST_BYTES


def is_url(text: str) -> bool:
    """Return whether `--data` names a mirror."""
    return text.lower().startswith(SCHEMES)


def problem(url: str) -> str | None:
    """Return what is wrong with a mirror's URL, or `None`."""
    try:
        parts = urllib.parse.urlsplit(url)
        parts.port  # noqa: B018 reading it checks it
    except ValueError as error:
        return str(error)
    if parts.username is not None or parts.password is not None:
        return "must hold no user name and no password: they would be shown in results"
    if not parts.hostname:
        return "names no host"
    if parts.query or parts.fragment:
        return "must be the address of a folder or of an .npz file, without ? and #"
    return None


def cache_folder() -> Path:
    """Return where fetched files are kept: `vdl/data` in the user's cache folder."""
    base = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(base).expanduser() / "vdl" / "data"


def fetch(
    url: str, name: str, expected: Mapping[str, str], *, limits: Limits | None = None
) -> Path:
    """Return the file `name` of a mirror's folder `url`, from the cache or else fetched.

    Raises:
        DataUnusable: If no checksum is known for it, the mirror has no such file, does not
            answer in time, sends too much or too little, or the checksum differs.
    """
    digest = expected.get(name)
    if digest is None:
        raise DataUnusable(
            f"{url}: no checksum is known for {name}",
            fix="list its SHA-256 in a file and name that with --checksums",
        )
    target = cache_folder() / digest / name
    if _holds(target, digest):
        return target
    address = f"{url.rstrip('/')}/{urllib.parse.quote(name)}"
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        _download(address, target, digest, limits or Limits())
    except OSError as error:
        raise DataUnusable(f"{target}: can't be written: {error}") from error
    return target


def _download(address: str, target: Path, digest: str, limits: Limits) -> None:
    handle, temporary = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            found = _copy(address, file, limits)
            file.flush()
            os.fsync(file.fileno())
        if found != digest:
            raise DataUnusable(
                f"{address}: SHA-256 is {found}, expected {digest}",
                fix="the mirror's file is damaged or another data set; mend the mirror, "
                "or name your own list with --checksums",
            )
        Path(temporary).replace(target)
    finally:
        with suppress(FileNotFoundError):
            Path(temporary).unlink()


def _copy(address: str, file: Any, limits: Limits) -> str:
    """Write what the mirror answers into an open file, and return its SHA-256."""
    deadline, digest, size = time.monotonic() + limits.whole, hashlib.sha256(), 0
    try:
        with _opener().open(address, timeout=limits.answer) as answer:
            while piece := answer.read1(_PIECE):
                size += len(piece)
                if size > limits.size:
                    raise DataUnusable(f"{address}: longer than {limits.size} bytes")
                if time.monotonic() > deadline:
                    raise DataUnusable(f"{address}: not here after {limits.whole:.0f} s")
                digest.update(piece)
                file.write(piece)
            announced = answer.headers.get("Content-Length")
    except urllib.error.HTTPError as error:
        error.close()
        raise DataUnusable(f"{address}: the mirror answers {error.code} {error.reason}") from error
    except urllib.error.URLError as error:
        raise DataUnusable(
            f"{address}: can't be fetched: {error.reason}", fix=_fix(error)
        ) from None
    except (TimeoutError, ConnectionError, ssl.SSLError, http.client.HTTPException) as error:
        why = f"no answer for {limits.answer:.0f} s" if isinstance(error, TimeoutError) else error
        raise DataUnusable(f"{address}: can't be fetched: {why}") from error
    if announced is not None and announced != str(size):
        raise DataUnusable(f"{address}: ended after {size} of {announced} bytes")
    return digest.hexdigest()


class _NoDowngrade(urllib.request.HTTPRedirectHandler):
    """Follows redirections, but never from HTTPS to HTTP."""

    def redirect_request(
        self, req: urllib.request.Request, fp: Any, code: int, msg: str, headers: Any, newurl: str
    ) -> urllib.request.Request | None:
        """Return the next request, or raise if it leaves HTTPS."""
        if req.full_url.startswith("https://") and not newurl.startswith("https://"):
            fp.close()
            raise urllib.error.URLError(f"it leads from HTTPS to {newurl}")
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def _opener() -> urllib.request.OpenerDirector:
    context = ssl.create_default_context()
    return urllib.request.build_opener(urllib.request.HTTPSHandler(context=context), _NoDowngrade())


def _fix(error: urllib.error.URLError) -> str | None:
    if isinstance(error.reason, ssl.SSLCertVerificationError):
        return "name the authority's certificate in SSL_CERT_FILE"
    return None


def _holds(path: Path, digest: str) -> bool:
    if not path.is_file():
        return False
    with path.open("rb") as file:
        return checksums.sha256(file) == digest
