"""The HTTPS door alone: TLS, HTTP and what no well-behaved client sends."""

from __future__ import annotations

import hashlib
import http.client
import socket
import ssl
import stat
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest
from cryptography import x509
from pyVim.connect import Disconnect, SmartConnect
from pyVmomi import vim, vmodl
from pyVmomi.SoapAdapter import SoapResponseDeserializer

from provision.simulator.engine.body import MAX_REQUEST
from provision.simulator.engine.certificates import make_identity
from provision.simulator.engine.soap_server import SoapServer, client_version, server_name
from provision.simulator.engine.world import Settings, World
from tests.unit.simulator.small_world import USERS, Lab, object_spec

ENVELOPE = '<Envelope xmlns="http://schemas.xmlsoap.org/soap/envelope/"><Body>{}</Body></Envelope>'
CONTENT = ENVELOPE.format(
    '<RetrieveServiceContent xmlns="urn:vim25">'
    '<_this type="ServiceInstance">ServiceInstance</_this></RetrieveServiceContent>'
)


@pytest.fixture
def lab() -> Iterator[Lab]:
    with ExitStack() as stack:
        yield Lab("https", stack, World(Settings(users=USERS)))


def trust(lab: Lab) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=str(lab.server.ca_file))


def connection(lab: Lab) -> http.client.HTTPSConnection:
    host, _, port = lab.server.server.rpartition(":")
    return http.client.HTTPSConnection(host, int(port), context=trust(lab), timeout=20)


def post(
    lab: Lab, document: str | bytes, path: str = "/sdk", **headers: str
) -> tuple[http.client.HTTPResponse, bytes]:
    with closing(connection(lab)) as client:
        client.request("POST", path, document, headers)
        answer = client.getresponse()
        return answer, answer.read()


def fault_of(body: bytes) -> object:
    return SoapResponseDeserializer(None).Deserialize(body, object)


def test_a_stock_client_connects_by_the_ca_file(lab: Lab) -> None:
    host, _, port = lab.server.server.rpartition(":")
    service = SmartConnect(
        host=host, port=int(port), user="admin", pwd=USERS["admin"].password, sslContext=trust(lab)
    )

    assert service.content.about.name == "vdl simulator"
    Disconnect(service)
    assert lab.world.sessions.all() == []


@pytest.mark.parametrize("name", ["127.0.0.1", "localhost"])
def test_the_certificate_holds_for_the_address_and_for_localhost(lab: Lab, name: str) -> None:
    port = int(lab.server.server.rpartition(":")[2])
    with (
        socket.create_connection(("127.0.0.1", port)) as plain,
        trust(lab).wrap_socket(plain, server_hostname=name) as secure,
    ):
        certificate = secure.getpeercert(binary_form=True)
    assert certificate is not None
    digest = hashlib.sha256(certificate).hexdigest().upper()
    assert lab.server.thumbprint.replace(":", "") == digest
    assert lab.server.thumbprint.count(":") == 31


def test_a_client_without_the_ca_refuses_the_certificate(lab: Lab) -> None:
    port = int(lab.server.server.rpartition(":")[2])
    strict = ssl.create_default_context()
    with socket.create_connection(("127.0.0.1", port)) as plain, pytest.raises(ssl.SSLError):
        strict.wrap_socket(plain, server_hostname="127.0.0.1")


def test_the_private_key_is_for_its_owner_only(tmp_path: Path) -> None:
    world = World()
    with SoapServer(world, directory=tmp_path) as server:
        assert server.ca_file == tmp_path / "ca.pem"
        assert b"PRIVATE" not in server.ca_file.read_bytes()
        assert stat.S_IMODE((tmp_path / "server.pem").stat().st_mode) == 0o600
    world.close()


@pytest.mark.parametrize(
    ("host", "name"), [("127.0.0.1", "127.0.0.1:443"), ("::1", "[::1]:443"), ("vc", "vc:443")]
)
def test_addresses_are_written_as_in_urls(host: str, name: str) -> None:
    assert server_name(host, 443) == name


@pytest.mark.parametrize("host", ["::1", "192.0.2.1", "vc.example.com", "0.0.0.0"])  # noqa: S104
def test_certificates_are_made_for_any_kind_of_address(host: str, tmp_path: Path) -> None:
    identity = make_identity(host, tmp_path)
    pem = (tmp_path / "server.pem").read_bytes()
    names = (
        x509.load_pem_x509_certificate(pem)
        .extensions.get_extension_for_class(x509.SubjectAlternativeName)
        .value
    )

    every = [
        str(v) for kind in (x509.DNSName, x509.IPAddress) for v in names.get_values_for_type(kind)
    ]
    assert {host, "localhost", "127.0.0.1"} <= set(every)
    assert identity.ca_file.read_bytes().startswith(b"-----BEGIN CERTIFICATE")


def test_the_cookie_proves_the_session(lab: Lab) -> None:
    login = ENVELOPE.format(
        '<Login xmlns="urn:vim25"><_this type="SessionManager">SessionManager</_this>'
        "<userName>admin</userName><password>secret</password></Login>"
    )
    now = ENVELOPE.format(
        '<CurrentTime xmlns="urn:vim25"><_this type="ServiceInstance">ServiceInstance</_this>'
        "</CurrentTime>"
    )
    answer, _ = post(lab, login)
    cookie = answer.headers["Set-Cookie"].partition(";")[0]

    assert cookie.startswith("vmware_soap_session=")
    assert "Secure" in answer.headers["Set-Cookie"]
    assert post(lab, now, Cookie=cookie)[0].status == 200
    refused, body = post(lab, now, Cookie="vmware_soap_session=0000")
    assert refused.status == 500
    assert isinstance(fault_of(body), vim.fault.NotAuthenticated)


def test_a_connection_is_kept_alive(lab: Lab) -> None:
    with closing(connection(lab)) as client:
        for _ in range(3):
            client.request("POST", "/sdk", CONTENT)
            assert client.getresponse().read()
            assert client.sock is not None


def test_big_answers_are_compressed_for_those_who_want_it(lab: Lab) -> None:
    sizes = {}
    for wanted in ("gzip", "identity"):
        answer, body = post(lab, CONTENT, **{"Accept-Encoding": wanted})
        sizes[answer.headers.get("Content-Encoding", "identity")] = len(body)

    assert sizes["gzip"] < sizes["identity"]


def test_the_versions_that_are_spoken_are_listed(lab: Lab) -> None:
    with closing(connection(lab)) as client:
        client.request("GET", "/sdk/vimServiceVersions.xml")
        root = ET.fromstring(client.getresponse().read())  # noqa: S314 - our own

    assert root.findtext("namespace/name") == "urn:vim25"
    assert root.findtext("namespace/version") == "8.0.3.0"
    prior = [node.text for node in root.iterfind("namespace/priorVersions/version")]
    assert {"8.0.2.0", "7.0.0.0", "6.7"} <= set(prior)
    assert "9.0.0.0" not in prior


@pytest.mark.parametrize(
    ("action", "version"),
    [
        ('"urn:vim25/7.0.3.0"', "vim.version.v7_0_3_0"),
        ("urn:vim25/8.0.3.0", "vim.version.v8_0_3_0"),
        ("urn:vim25/9.0.0.0", "vim.version.v8_0_3_0"),
        ("urn:vim25/never", "vim.version.v8_0_3_0"),
        ("", "vim.version.v8_0_3_0"),
    ],
)
def test_the_client_says_which_version_it_speaks(lab: Lab, action: str, version: str) -> None:
    assert client_version(lab.world, action) == version


def test_an_older_client_is_told_what_it_knows(lab: Lab) -> None:
    vm = lab.vm("a")
    backing = vim.vm.device.VirtualPCIPassthrough.DynamicBackingInfo(deviceName="gpu")
    vm.devices = [vim.vm.device.VirtualPCIPassthrough(key=1, backing=backing)]
    old = vim.ServiceInstance("ServiceInstance", lab.stub("vim.version.version10"))
    old.content.sessionManager.Login("admin", "secret")
    spec = object_spec(vim.VirtualMachine(vm.moid, old.content.rootFolder._stub), "config")  # noqa: SLF001
    (content,) = old.content.propertyCollector.RetrieveProperties([spec])

    device = content.propSet[0].val.hardware.device[0]
    assert type(device.backing) is vim.vm.device.VirtualDevice.DeviceBackingInfo


@pytest.mark.parametrize(
    "document",
    [
        "",
        "no xml",
        "<a>" * 5000,
        CONTENT[:-20],
        f'<!DOCTYPE x [<!ENTITY e "y">]>{CONTENT}',
        f'<!DOCTYPE x SYSTEM "file:///etc/passwd">{CONTENT}',
        CONTENT.replace("Envelope", "Letter"),
        CONTENT.replace("Body", "Bodice"),
        ENVELOPE.format(""),
        CONTENT.replace("RetrieveServiceContent", "RetrieveNothing"),
        CONTENT.replace("urn:vim25", "urn:other"),
        CONTENT.replace("_this", "_that"),
        CONTENT.replace('type="ServiceInstance"', 'type="Nobody"'),
        CONTENT.replace('type="ServiceInstance"', 'type="AboutInfo"'),
        CONTENT.replace("</_this>", "</_this><extra/>"),
        ENVELOPE.format("<a>" * 100 + "</a>" * 100),
        ENVELOPE.format("<a>" + "<b/>" * 300_000 + "</a>"),
    ],
    ids=range(17),
)
def test_a_bad_request_is_refused_with_a_fault(lab: Lab, document: str) -> None:
    answer, body = post(lab, document)

    assert answer.status == 500
    assert isinstance(fault_of(body), vmodl.fault.InvalidRequest)
    assert lab.world.calls.total() == 0


def test_too_long_a_request_is_refused_unread(lab: Lab) -> None:
    with closing(connection(lab)) as client:
        client.putrequest("POST", "/sdk")
        client.putheader("Content-Length", str(MAX_REQUEST + 1))
        client.endheaders()
        assert client.getresponse().status == 413


def test_a_request_without_a_length_is_refused(lab: Lab) -> None:
    with closing(connection(lab)) as client:
        client.putrequest("POST", "/sdk")
        client.endheaders()
        assert client.getresponse().status == 411


def test_a_request_may_come_in_chunks(lab: Lab) -> None:
    with closing(connection(lab)) as client:
        for _ in range(2):
            parts = iter([CONTENT[:10].encode(), CONTENT[10:].encode()])
            client.request("POST", "/sdk", parts, encode_chunked=True)
            answer = client.getresponse()
            assert (answer.status, b"vdl simulator" in answer.read()) == (200, True)


@pytest.mark.parametrize(
    ("chunks", "status"),
    [
        (b"zz\r\n", 400),
        (b"3\r\nabcdef\r\n0\r\n\r\n", 400),
        (b"fffffff\r\n", 413),
        (b"fffffffff\r\n", 400),
        (b"\r\n", 400),
    ],
)
def test_broken_chunks_are_refused(lab: Lab, chunks: bytes, status: int) -> None:
    with closing(connection(lab)) as client:
        client.putrequest("POST", "/sdk")
        client.putheader("Transfer-Encoding", "chunked")
        client.endheaders(chunks)
        assert client.getresponse().status == status


def test_other_paths_are_not_there(lab: Lab) -> None:
    with closing(connection(lab)) as client:
        client.request("GET", "/ui")
        assert client.getresponse().status == 404
    assert post(lab, CONTENT, path="/api")[0].status == 404


def test_a_client_that_never_shakes_hands_blocks_nobody(lab: Lab) -> None:
    port = int(lab.server.server.rpartition(":")[2])
    with socket.create_connection(("127.0.0.1", port)):
        assert post(lab, CONTENT)[0].status == 200


def test_a_client_that_sends_half_a_request_blocks_nobody(lab: Lab) -> None:
    with closing(connection(lab)) as slow:
        slow.putrequest("POST", "/sdk")
        slow.putheader("Content-Length", "1000")
        slow.endheaders(b"<half")
        assert post(lab, CONTENT)[0].status == 200


def test_a_wait_ends_when_its_client_has_gone(lab: Lab) -> None:
    client = lab.connect()
    client.watch(object_spec(client.root, "name"))
    version = client.updates("").version
    (session,) = lab.world.sessions.all()
    wait = ENVELOPE.format(
        '<WaitForUpdatesEx xmlns="urn:vim25">'
        '<_this type="PropertyCollector">propertyCollector</_this>'
        f"<version>{version}</version></WaitForUpdatesEx>"
    )
    with closing(connection(lab)) as gone:
        gone.request("POST", "/sdk", wait, {"Cookie": f"vmware_soap_session={session.cookie}"})
        while not session.running:
            time.sleep(0.01)
    while session.running:
        lab.root.touch()
        time.sleep(0.01)


def test_a_server_that_stopped_is_gone(lab: Lab) -> None:
    def ask() -> bytes:
        client.request("POST", "/sdk", CONTENT)
        return client.getresponse().read()

    with closing(connection(lab)) as client:
        ask()
        lab.server.stop()
        with pytest.raises((OSError, http.client.HTTPException)):
            ask()
    port = int(lab.server.server.rpartition(":")[2])
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", port))


def test_a_taken_port_is_refused(lab: Lab) -> None:
    port = int(lab.server.server.rpartition(":")[2])
    with pytest.raises(OSError, match="in use"):
        SoapServer(lab.world, port=port)
