"""How to reach a vCenter and whom to be there."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from pydantic import SecretStr

from provision.errors import UsageError

HTTPS_PORT = 443
SHA256_DIGITS = 64


@dataclass(frozen=True, slots=True)
class ConnectionSettings:
    """Everything that a connection needs; the password never shows in its `repr`.

    Attributes:
        server: `host` or `host:port`; an IPv6 address stands in square brackets.
        ca_file: PEM file of the certificate authorities to trust instead of the system's.
        thumbprint: SHA-256 of the server's certificate, with or without colons. With it the
            certificate needs no chain and no matching name; it must be exactly this one.

    Raises:
        UsageError: The server or the thumbprint can't be one.
    """

    server: str
    username: str
    password: SecretStr
    ca_file: Path | None = None
    thumbprint: str | None = None

    def __post_init__(self) -> None:
        try:
            parts = urlsplit(f"//{self.server}")
            more = parts.path or parts.query or parts.username
            odd = bool(not parts.hostname or more or parts.port == 0)
        except ValueError:
            odd = True
        if odd or re.search(r"\s", self.server):
            raise UsageError(
                f"{self.server!r} is no server",
                fix="give the vCenter's name or address, with :PORT behind it if it is not 443",
            )
        if self.thumbprint is not None and not re.fullmatch(
            rf"[0-9a-f]{{{SHA256_DIGITS}}}", self.pin or ""
        ):
            raise UsageError(
                f"{self.thumbprint!r} is no SHA-256 thumbprint",
                fix="give 64 hexadecimal digits, with or without colons (SHA-1 has only 40)",
            )

    @property
    def host(self) -> str:
        """Name or address of the server, without brackets."""
        return urlsplit(f"//{self.server}").hostname or ""

    @property
    def port(self) -> int:
        """TCP port of the server."""
        return urlsplit(f"//{self.server}").port or HTTPS_PORT

    @property
    def pin(self) -> str | None:
        """The thumbprint as 64 lower-case digits; None without one."""
        if self.thumbprint is None:
            return None
        return re.sub(r"[:\s]", "", self.thumbprint).lower()
