"""pyVmomi's SOAP stub with verified connections and an honest account of what was lost."""

from __future__ import annotations

import gzip
import selectors
import ssl
import threading
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from http import HTTPStatus
from http.client import HTTPException, HTTPResponse
from typing import Any
from xml.parsers.expat import ExpatError

import pyVmomi
from pyVmomi import VmomiSupport
from pyVmomi.SoapAdapter import SoapStubAdapter

from provision import __version__
from provision.errors import NoConnection
from provision.vsphere.answers import read_answer
from provision.vsphere.operation import current_operation
from provision.vsphere.retry import current_deadline
from provision.vsphere.settings import ConnectionSettings
from provision.vsphere.tls import READ_SECONDS, NotSent, ResponseLost, VerifiedConnection

OLDEST = "vim.version.version9"  # 5.5: every vCenter answers it, whatever its own version
POOL = 64
SHORTEST_READ = 5.0


_Base: Any = SoapStubAdapter  # has no types


class Transport(SoapStubAdapter):
    """Sends one request and reads one response, without any retry.

    pyVmomi's stub sends nothing twice, but it checks a certificate only where it opens a
    connection itself, and it tells neither what was never sent from what was lost.

    Raises:
        NotSent: No connection came about.
        ResponseLost: The request may have been carried out.
        NoConnection: The certificate changed.
    """

    def __init__(self, settings: ConnectionSettings, context: ssl.SSLContext) -> None:
        _Base.__init__(self, host=settings.host, port=settings.port, version=OLDEST, poolSize=POOL)
        self._cookie = ""
        self._cookie_for: int | None = None
        self.scheme: Any = VerifiedConnection
        self.schemeArgs = {"settings": settings, "context": context}

    @property
    def cookie(self) -> str:
        """The session's cookie, as pyVmomi's stub reads it for each request."""
        return self._cookie

    @cookie.setter
    def cookie(self, value: str) -> None:
        # A server may hand a new, anonymous cookie to each request of an ended session. Such
        # an answer may come in late and must not undo another thread's login.
        if getattr(self, "_cookie_for", None) == threading.get_ident():
            self._cookie = value

    @contextmanager
    def new_session(self) -> Iterator[None]:
        """Forget the session and take the cookie that this thread's calls are answered with."""
        self._cookie, self._cookie_for = "", threading.get_ident()
        try:
            yield
        finally:
            self._cookie_for = None

    def GetConnection(self) -> VerifiedConnection:  # noqa: N802 - overrides pyVmomi's
        """Return a pooled connection that is alive, or a new one."""
        connection: VerifiedConnection = _Base.GetConnection(self)
        if connection.sock is not None and _dropped(connection.sock):
            # Opened again by http.client. Sending into a connection that the server has
            # closed would look like a lost response.
            connection.close()
        left = current_deadline(READ_SECONDS).left
        connection.patience(max(SHORTEST_READ, min(READ_SECONDS, left)))
        return connection

    def InvokeMethod(  # noqa: N802 - overrides pyVmomi's
        self,
        mo: Any,
        info: Any,
        args: Any,
        outerStub: Any = None,  # noqa: N803
    ) -> Any:
        """Carry one call out; see the class for what is raised.

        Returns:
            The result. With an `outerStub`, through which the objects in it will call, it is a
            pair, HTTP's status and the result or fault.
        """
        with _under_its_operation():
            request = _Base.SerializeRequest(self, mo, info, args)
        try:
            status, document = self._exchange(request)
            answer = read_answer(document, info.result, outerStub or self)
        except (NotSent, NoConnection):
            raise
        except (OSError, EOFError, HTTPException, ExpatError, zlib.error) as error:
            raise ResponseLost(f"{info.wsdlName}: {error or type(error).__name__}") from error
        if outerStub is not None:
            return status, answer
        if status != HTTPStatus.OK:
            raise answer
        return answer

    def _exchange(self, request: bytes) -> tuple[int, bytes]:
        """Send one request; return the status and the document that came back."""
        headers = {
            "Cookie": self.cookie,
            "SOAPAction": self.versionId,
            "Content-Type": "text/xml; charset=UTF-8",
            "User-Agent": f"vdl/{__version__} pyVmomi/{pyVmomi.version_info_str}",
            "Accept-Encoding": "gzip",
        }
        connection = self.GetConnection()
        try:
            connection.request("POST", self.path, request, headers)
            response = connection.getresponse()
            if cookie := response.getheader("Set-Cookie"):
                self.cookie = cookie
            document = _document(response)
        except BaseException:
            connection.close()
            _Base.DropConnections(self)
            raise
        _Base.ReturnConnection(self, connection)
        return response.status, document


def _document(response: HTTPResponse) -> bytes:
    """Return the SOAP document that a response brings.

    Raises:
        HTTPException: It brings none.
    """
    if response.status not in {HTTPStatus.OK, HTTPStatus.INTERNAL_SERVER_ERROR}:
        raise HTTPException(f"{response.status} {response.reason}")
    body = response.read()
    return gzip.decompress(body) if response.getheader("Content-Encoding") == "gzip" else body


@contextmanager
def _under_its_operation() -> Iterator[None]:
    """Put the id of this thread's operation, if it has one, into the header of what it sends."""
    now = current_operation()
    header = VmomiSupport.GetRequestContext()
    if now is not None:
        header["operationID"] = now.id
    try:
        yield
    finally:
        header.pop("operationID", None)


def _dropped(sock: ssl.SSLSocket) -> bool:
    """Whether an idle connection has something to read, which can only be its end."""
    with selectors.DefaultSelector() as selector:
        selector.register(sock, selectors.EVENT_READ)
        return bool(selector.select(timeout=0))


def best_version(api_version: str) -> str:
    """Return pyVmomi's newest API version that a server of this version understands."""
    limit = _numbers(api_version)
    known = {
        _numbers(number): name
        for name, number in VmomiSupport.versionIdMap.items()
        if name.startswith("vim.version.") and number.replace(".", "").isdigit()
    }
    return str(known[max(numbers for numbers in known if numbers <= limit)])


def _numbers(version: str) -> tuple[int, ...]:
    parts = [int(part) for part in version.split(".") if part.isdigit()]
    return tuple((*parts, 0, 0, 0, 0)[:4])
