"""Who is at the other end: certificates and pins, checked before a credential leaves."""

from __future__ import annotations

import hashlib
import http.client
import socket
import ssl
from typing import Any

from provision.errors import NoConnection, UsageError
from provision.vsphere.settings import ConnectionSettings

CONNECT_SECONDS = 15.0
READ_SECONDS = 120.0


class NotSent(OSError):
    """No connection came about, so nothing was sent and nothing can have been done."""


class ResponseLost(OSError):
    """A request was sent and no complete response came back: it may have been carried out."""


def make_context(settings: ConnectionSettings) -> ssl.SSLContext:
    """Return a TLS context that verifies chain and name, or nothing where a pin will decide.

    Raises:
        UsageError: The CA file can't be read or holds no certificate.
    """
    if settings.pin is not None:
        return _unverified()
    try:
        return ssl.create_default_context(cafile=settings.ca_file)
    except (OSError, ssl.SSLError) as error:
        raise UsageError(
            "the CA file can't be used",
            subject=str(settings.ca_file),
            why=str(error),
            fix="give a PEM file with the certificate authority's certificate",
        ) from error


def _unverified() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


def fingerprint(certificate: bytes) -> str:
    """Return the SHA-256 of a DER certificate as 64 lower-case digits."""
    return hashlib.sha256(certificate).hexdigest()


def with_colons(digits: str) -> str:
    """Return a fingerprint the way browsers and vCenter show it."""
    return ":".join(digits[i : i + 2] for i in range(0, len(digits), 2)).upper()


def presented(settings: ConnectionSettings) -> str | None:
    """Return the fingerprint of the certificate that the server presents; None if none came."""
    address = (settings.host, settings.port)
    try:
        with (
            socket.create_connection(address, CONNECT_SECONDS) as raw,
            _unverified().wrap_socket(raw, server_hostname=settings.host) as tls,
        ):
            certificate = tls.getpeercert(binary_form=True)
    except OSError:
        return None
    return fingerprint(certificate) if certificate else None


class VerifiedConnection(http.client.HTTPSConnection):
    """An HTTPS connection on which nothing is sent before the server is known.

    http.client opens a dropped connection again by itself, so the check belongs here and not
    where connections are first made.

    Raises:
        NotSent: The server can't be reached (`connect`).
        NoConnection: The server's certificate is refused (`connect`).
    """

    def __init__(
        self, *, host: str, port: int, settings: ConnectionSettings, context: ssl.SSLContext
    ) -> None:
        super().__init__(host, port, timeout=CONNECT_SECONDS, context=context)
        self._settings = settings

    def connect(self) -> None:
        """Open the connection and check who answers."""
        self.timeout = CONNECT_SECONDS
        try:
            super().connect()
        except ssl.SSLCertVerificationError as error:
            raise certificate_refused(self._settings, error) from error
        except OSError as error:
            raise NotSent(*error.args) from error
        self._check_pin()
        self.patience(READ_SECONDS)

    def _check_pin(self) -> None:
        if self._settings.pin is None:
            return
        found = fingerprint(self.sock.getpeercert(binary_form=True) or b"")
        if found != self._settings.pin:
            self.close()
            raise pin_differs(self._settings, found)

    def patience(self, seconds: float) -> None:
        """Set how long one read may take."""
        sock: Any = self.sock
        if sock is not None:
            sock.settimeout(seconds)


def check_server(settings: ConnectionSettings, context: ssl.SSLContext) -> None:
    """Open a connection, see who is there, and send nothing.

    Raises:
        NoConnection: Nobody is there, or not the one who should be.
    """
    connection = VerifiedConnection(
        host=settings.host, port=settings.port, settings=settings, context=context
    )
    try:
        connection.connect()
    except NotSent as error:
        raise unreachable(settings, error.__cause__ or error) from error
    finally:
        connection.close()


def unreachable(settings: ConnectionSettings, error: BaseException) -> NoConnection:
    """Put a failure to connect into words."""
    why, fix = _words(settings, error)
    return NoConnection("vCenter can't be reached", subject=settings.server, why=why, fix=fix)


def _words(settings: ConnectionSettings, error: BaseException) -> tuple[str, str]:
    where = f"port {settings.port} of {settings.host}"
    if isinstance(error, socket.gaierror):
        return f"the name {settings.host} does not resolve", "check the name and your DNS"
    if isinstance(error, ConnectionRefusedError):
        return f"{where} refuses connections", "check the port, and that vCenter is running"
    if isinstance(error, TimeoutError):
        return f"{where} did not answer in time", "check routes, VPN and firewalls"
    if isinstance(error, ssl.SSLError):
        return f"{where} does not speak TLS as vCenter does: {error}", "check the port"
    return str(error) or type(error).__name__, "check network and server"


def certificate_refused(
    settings: ConnectionSettings, error: ssl.SSLCertVerificationError
) -> NoConnection:
    """Say why a certificate is not trusted, which one it is, and how to trust it."""
    seen = presented(settings)
    shown = f"; its SHA-256 is {with_colons(seen)}" if seen else ""
    pin = f", or pin it by --thumbprint {with_colons(seen)}" if seen else ""
    return NoConnection(
        "the server's certificate is refused; no credential was sent",
        subject=settings.server,
        why=f"{error.verify_message or error}{shown}",
        fix=f"compare it with what the vCenter itself shows, then name its CA by --ca-file{pin}",
    )


def pin_differs(settings: ConnectionSettings, found: str) -> NoConnection:
    """Say that the certificate is not the pinned one."""
    return NoConnection(
        "the server's certificate is not the pinned one; no credential was sent",
        subject=settings.server,
        why=f"pinned is {with_colons(settings.pin or '')}, presented was {with_colons(found)}",
        fix="find out why it changed; if it was renewed, give its new SHA-256 by --thumbprint",
    )
