"""The public key that opens the guests, read from the file that the lab names."""

from __future__ import annotations

import base64
import binascii
import re
from pathlib import Path
from typing import Any, Self

from pydantic import GetCoreSchemaHandler, GetJsonSchemaHandler, ValidationInfo
from pydantic_core import CoreSchema, core_schema

from provision.spec.values import local_path

TYPES = (
    "ssh-ed25519",
    "ssh-rsa",
    "ecdsa-sha2-nistp256",
    "ecdsa-sha2-nistp384",
    "ecdsa-sha2-nistp521",
    "sk-ssh-ed25519@openssh.com",
    "sk-ecdsa-sha2-nistp256@openssh.com",
)
LARGEST_FILE = 16 * 1024


class PublicKey(str):
    """An OpenSSH public key on one line; `path` is the file it came from, None without one."""

    __slots__ = ("path",)

    path: Path | None

    def __new__(cls, text: str, path: Path | None = None) -> Self:
        """Take the key's text as it is."""
        key = super().__new__(cls, text)
        key.path = path
        return key

    @property
    def private_path(self) -> Path | None:
        """Where `ssh-keygen` puts the private key: beside the public one, without `.pub`."""
        if self.path is None or self.path.suffix != ".pub":
            return None
        return self.path.with_suffix("")

    @classmethod
    def read(cls, path: Path) -> Self:
        """Read a public key file.

        Raises:
            ValueError: It can't be read or is no public key; never quotes its content.
        """
        try:
            content = _head(path)
        except OSError as error:
            raise ValueError(f"can't read {path}: {error.strerror}{_hint(path)}") from None
        if b"PRIVATE KEY" in content:
            raise ValueError(f"{path} is a private key; name the public one{_hint(path)}")
        return cls(_checked(content, path), path)

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.with_info_after_validator_function(
            cls._validate,
            core_schema.str_schema(),
            serialization=core_schema.to_string_ser_schema(),
        )

    @classmethod
    def __get_pydantic_json_schema__(
        cls, schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> dict[str, Any]:
        return {"type": "string", "examples": ["~/.ssh/id_ed25519.pub"]}

    @classmethod
    def _validate(cls, text: str, info: ValidationInfo) -> Self:
        """Take a path where a lab file is read, the key itself where a lab is built by hand."""
        if isinstance(text, cls):
            return text
        if not info.context:
            return cls(text)
        return cls.read(Path(local_path(text, info)))


def _head(path: Path) -> bytes:
    if not path.is_file():
        # A device or a pipe would be read for ever.
        raise FileNotFoundError(0, "there is no such file")
    with path.open("rb") as stream:
        return stream.read(LARGEST_FILE + 1)


def _hint(path: Path) -> str:
    public = path.with_name(f"{path.name}.pub")
    if path.suffix != ".pub" and public.is_file():
        return f", did you mean {public}?"
    return "; make one with `ssh-keygen -t ed25519`" if not path.exists() else ""


def _checked(content: bytes, path: Path) -> str:
    """Return `type base64 [comment]`; a comment that means something elsewhere is left out."""
    wrong = ValueError(f"{path} holds no OpenSSH public key")
    try:
        lines = content.decode("ascii").split("\n")
    except UnicodeDecodeError:
        raise wrong from None
    lines = [line.strip() for line in lines if line.strip() and not line.startswith("#")]
    if len(content) > LARGEST_FILE or not lines:
        raise wrong
    if len(lines) > 1:
        raise ValueError(f"{path} holds {len(lines)} lines; one public key is wanted")
    kind, _, rest = lines[0].partition(" ")
    body, _, comment = rest.strip().partition(" ")
    if kind not in TYPES or not _holds(body, kind):
        raise wrong
    safe = re.fullmatch(r"[A-Za-z0-9_.@+:-]+", comment.strip())
    return f"{kind} {body} {comment.strip()}" if safe else f"{kind} {body}"


def _holds(body: str, kind: str) -> bool:
    """Whether the base64 body begins with its own type, as RFC 4253, section 6.6 wants it."""
    try:
        blob = base64.b64decode(body, validate=True)
    except (binascii.Error, ValueError):
        return False
    name = kind.encode()
    return len(blob) > len(name) + 4 and blob.startswith(len(name).to_bytes(4, "big") + name)
