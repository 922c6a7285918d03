"""The HTTPS door: SOAP for stock clients, one thread for each connection."""

from __future__ import annotations

import contextlib
import gzip
import logging
import re
import select
import socket
import socketserver
import struct
import sys
import threading
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, Self

from pyVmomi import VmomiSupport, vmodl
from pyVmomi.Version import IsChildVersion

from provision.simulator.engine.body import BadBody, read_body
from provision.simulator.engine.certificates import make_identity
from provision.simulator.engine.decode import decode_request
from provision.simulator.engine.dispatch import Caller, invoke
from provision.simulator.engine.encode import encode_fault, encode_response

if TYPE_CHECKING:
    from provision.simulator.engine.world import World

_HANDSHAKE_SECONDS = 10.0
_GOODBYE_SECONDS = 5.0
_WORTH_COMPRESSING = 512
_FASTEST = 1
_COOKIE = re.compile(r'vmware_soap_session="?([0-9a-f]+)"?')
_HUNG_UP = getattr(select, "POLLRDHUP", 0) | select.POLLHUP | select.POLLERR

_log = logging.getLogger(__name__)


def server_name(host: str, port: int) -> str:
    """Return `HOST:PORT` as URLs have it."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def client_version(world: World, action: str) -> str:
    """Return the API version that a SOAPAction header names, if the world speaks it."""
    uri = action.strip().strip('"').removeprefix("urn:")
    version: str = VmomiSupport.versionMap.get(uri, world.api_version)
    return version if IsChildVersion(world.api_version, version) else world.api_version


def version_document(world: World) -> bytes:
    """Return `vimServiceVersions.xml`, from which clients pick the version to speak."""
    older = [
        VmomiSupport.versionIdMap[version]
        for version in VmomiSupport.GetServiceVersions("vim25")
        if version != world.api_version
        and IsChildVersion(world.api_version, version)
        and VmomiSupport.nsMap[version] == "vim25"
    ]
    prior = "".join(f"<version>{name}</version>" for name in older if name)
    return (
        '<?xml version="1.0" encoding="UTF-8"?>\n<namespaces version="1.0"><namespace>'
        f"<name>urn:vim25</name><version>{world.settings.api_version}</version>"
        f"<priorVersions>{prior}</priorVersions></namespace></namespaces>"
    ).encode()


class _Handler(BaseHTTPRequestHandler):
    """One connection."""

    protocol_version = "HTTP/1.1"
    server_version = "vdl-simulator"
    sys_version = ""
    wbufsize = 65536
    disable_nagle_algorithm = True
    server: _Server

    def setup(self) -> None:
        self.request.settimeout(_HANDSHAKE_SECONDS)
        if self.server.world.away:
            self._turn_away()
        self.request.do_handshake()
        self.request.settimeout(None)
        super().setup()

    def do_GET(self) -> None:
        if self.path == "/sdk/vimServiceVersions.xml":
            self._answer(HTTPStatus.OK, version_document(self.server.world))
        else:
            self.send_error(HTTPStatus.NOT_FOUND)

    def do_POST(self) -> None:
        if self.path.rstrip("/") != "/sdk":
            self._refuse(HTTPStatus.NOT_FOUND)
            return
        try:
            document = read_body(self.headers, self.rfile)
        except BadBody as bad:
            self._refuse(bad.status)
            return
        self._serve(document)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - http.server's name
        _log.debug(format, *args)

    def _turn_away(self) -> None:
        """Reset the connection in its handshake, where clients are prepared for it."""
        socket.socket.recv(self.request, 1, socket.MSG_PEEK)
        self.server.cut(self.request)
        raise ConnectionResetError("the simulated vCenter is away")

    def _serve(self, document: bytes) -> None:
        world = self.server.world
        found = _COOKIE.search(self.headers.get("Cookie", ""))
        cookie = found[1] if found else None
        caller = Caller(
            version=client_version(world, self.headers.get("SOAPAction", "")),
            cookie=cookie,
            address=self.client_address[0],
            agent=self.headers.get("User-Agent", ""),
            alive=self._alive,
        )
        try:
            status, body = self._call(caller, document)
        except ConnectionError:
            self.server.cut(self.request)
            self.close_connection = True
            return
        self._answer(status, body, caller.cookie if caller.cookie != cookie else None)

    def _call(self, caller: Caller, document: bytes) -> tuple[HTTPStatus, bytes]:
        try:
            request = decode_request(document)
            name, declared = request.info.wsdlName, request.info.result
            body = invoke(
                self.server.world,
                caller,
                request,
                lambda result: encode_response(name, result, declared, caller.version),
            )
        except vmodl.MethodFault as fault:
            return HTTPStatus.INTERNAL_SERVER_ERROR, encode_fault(fault, caller.version)
        return HTTPStatus.OK, body

    def _answer(self, status: HTTPStatus, body: bytes, cookie: str | None = None) -> None:
        accepted = "gzip" in self.headers.get("Accept-Encoding", "")
        packed = accepted and len(body) >= _WORTH_COMPRESSING
        if packed:
            body = gzip.compress(body, _FASTEST)
        self.send_response(status)
        self.send_header("Content-Type", "text/xml; charset=utf-8")
        self.send_header("Content-Length", str(len(body)))
        if packed:
            self.send_header("Content-Encoding", "gzip")
        if cookie:
            value = f'vmware_soap_session="{cookie}"; Path=/; HttpOnly; Secure; SameSite=Strict'
            self.send_header("Set-Cookie", value)
        self.end_headers()
        self.wfile.write(body)

    def _refuse(self, status: HTTPStatus) -> None:
        """Answer without reading what was sent: the connection can't be used again."""
        self.close_connection = True
        self.send_error(status)

    def _alive(self) -> bool:
        poll = select.poll()
        poll.register(self.request, _HUNG_UP)
        return not self.server.stopping and not poll.poll(0)


class _Server(socketserver.ThreadingTCPServer):
    allow_reuse_address = True
    daemon_threads = True
    request_queue_size = 128

    def __init__(self, address: tuple[str, int], world: World) -> None:
        self.address_family = socket.AF_INET6 if ":" in address[0] else socket.AF_INET
        self.world = world
        self.stopping = False
        self.context: Any = None
        self._connections: dict[socket.socket, threading.Thread] = {}
        self._guard = threading.Lock()
        super().__init__(address, _Handler)

    def get_request(self) -> tuple[Any, Any]:
        """Accept a connection; its thread does the handshake, so that nobody waits for it."""
        raw, address = super().get_request()
        wrapped = self.context.wrap_socket(raw, server_side=True, do_handshake_on_connect=False)
        return wrapped, address

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        """Serve a connection and remember it while it lasts."""
        with self._guard:
            self._connections[request] = threading.current_thread()
        try:
            super().process_request_thread(request, client_address)
        finally:
            with self._guard:
                del self._connections[request]

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Log what ended a connection: a client that went away is nothing special."""
        del request
        quiet = isinstance(sys.exception(), OSError)
        level = logging.DEBUG if quiet else logging.ERROR
        _log.log(level, "connection of %s failed", client_address, exc_info=True)

    def cut(self, request: Any) -> None:
        """Let the close of a connection reset it, instead of ending it in good order."""
        request.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))

    def shutdown_request(self, request: Any) -> None:
        """Close a connection; the plain close resets one that was cut."""
        self.close_request(request)

    def connections(self) -> int:
        """Return how many connections are being served."""
        with self._guard:
            return len(self._connections)

    def hang_up(self) -> None:
        """End all connections and wait for their threads."""
        self.stopping = True
        with self._guard:
            connections = dict(self._connections)
            for connection in connections:
                # Of the plain socket: the TLS layer belongs to the connection's own thread.
                with contextlib.suppress(OSError):
                    socket.socket.shutdown(connection, socket.SHUT_RDWR)
        with self.world.lock:
            self.world.changed.notify_all()
        for thread in connections.values():
            thread.join(_GOODBYE_SECONDS)


class SoapServer:
    """The HTTPS door of a world; a context manager that serves from entry to exit.

    Attributes:
        server: `HOST:PORT`, with the port that was really taken.
        url: Where SOAP requests go.
        ca_file: The certificate (PEM) that clients verify the server with.
        thumbprint: SHA-256 of the server's certificate.

    Args:
        world: What is served.
        host: The address to listen on.
        port: The port to listen on; 0 for any that is free.
        directory: Where the certificates go; None for a temporary folder.

    Raises:
        OSError: The address can't be listened on.
    """

    def __init__(
        self, world: World, host: str = "127.0.0.1", port: int = 0, directory: Path | None = None
    ) -> None:
        self._server = _Server((host, port), world)
        self._temporary = TemporaryDirectory() if directory is None else None
        folder = directory or Path(self._temporary.name if self._temporary else ".")
        identity = make_identity(host, folder)
        self._server.context = identity.context
        self.server = server_name(host, self._server.server_address[1])
        self.url = f"https://{self.server}/sdk"
        self.ca_file = identity.ca_file
        self.thumbprint = identity.thumbprint
        self._thread = threading.Thread(
            target=self._server.serve_forever, args=(0.05,), name="soap-server", daemon=True
        )

    def start(self) -> Self:
        """Begin to serve."""
        self._thread.start()
        return self

    @property
    def connections(self) -> int:
        """How many connections are being served."""
        return self._server.connections()

    def stop(self) -> None:
        """Stop to serve: no new connections, all waits and connections end."""
        self._server.shutdown()
        self._server.server_close()
        self._server.hang_up()
        self._thread.join()
        if self._temporary:
            self._temporary.cleanup()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()
