import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
from pydantic import SecretStr

from provision.errors import NoConnection, UsageError
from provision.vsphere.session import Session
from provision.vsphere.settings import ConnectionSettings
from tests.unit.vsphere.site import Site


def assert_nothing_was_said(site: Site) -> None:
    assert not site.simulator.world.calls


def test_a_certificate_of_the_named_authority_is_trusted(site: Site) -> None:
    with site.session() as session:
        assert session.about.apiType == "VirtualCenter"


def test_an_unknown_authority_is_refused_and_the_message_says_how_to_trust_it(site: Site) -> None:
    with pytest.raises(NoConnection, match="certificate is refused") as raised:
        Session(site.with_(ca_file=None))
    shown = raised.value.text().replace(":", "").lower()
    assert site.door.thumbprint.replace(":", "").lower() in shown
    assert "--thumbprint" in shown
    assert_nothing_was_said(site)


def test_a_pin_needs_no_authority(site: Site) -> None:
    with Session(site.with_(ca_file=None, thumbprint=site.door.thumbprint)) as session:
        assert session.key


def test_a_pin_needs_no_matching_name(site: Site) -> None:
    port = site.settings.port
    settings = site.with_(server=f"localhost:{port}", ca_file=None, thumbprint=site.door.thumbprint)
    with Session(settings) as session:
        assert session.key


def test_a_ca_file_without_a_certificate_is_a_usage_error(site: Site, tmp_path: Path) -> None:
    empty = tmp_path / "ca.pem"
    empty.write_text("nothing")
    with pytest.raises(UsageError, match="can't be used"):
        Session(site.with_(ca_file=empty))


def _settings(server: str) -> ConnectionSettings:
    return ConnectionSettings(server, "me", SecretStr("s3cret"))


def test_a_refused_connection_says_so() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # bound and not listening: connections are refused
        with pytest.raises(NoConnection, match="refuses connections"):
            Session(_settings(f"127.0.0.1:{taken.getsockname()[1]}"))


def test_a_name_that_does_not_resolve_says_so() -> None:
    # RFC 6761: .invalid never resolves.
    with pytest.raises(NoConnection, match="does not resolve"):
        Session(_settings("vcsa.invalid"))


@contextmanager
def _plain_text_server() -> Iterator[int]:
    with socket.create_server(("127.0.0.1", 0)) as server:

        def answer() -> None:
            with suppress(OSError):  # the socket is shut down at the end
                while True:
                    connection, _ = server.accept()
                    with connection:
                        connection.recv(64)
                        connection.sendall(b"220 mail.example.com ESMTP\r\n")

        thread = threading.Thread(target=answer, daemon=True)
        thread.start()
        yield server.getsockname()[1]
        server.shutdown(socket.SHUT_RDWR)
        thread.join(10)


def test_a_port_without_tls_says_so() -> None:
    with _plain_text_server() as port, pytest.raises(NoConnection, match="does not speak TLS"):
        Session(_settings(f"127.0.0.1:{port}"))
