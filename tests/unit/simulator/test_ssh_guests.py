"""Simulated guests: real SSH servers with the user, key and host key that vCenter was told."""

import base64
import json
import queue
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from provision.simulator.guests.backend import GuestReport, Start
from provision.simulator.guests.embedded import EmbeddedServer, EventLoop
from provision.simulator.guests.identity import read_identity
from provision.simulator.guests.openssh import OpenSshServer, sshd_path
from provision.simulator.guests.ssh import Addresses, SshGuests, host_key


def encoded(document: object) -> str:
    return base64.b64encode(json.dumps(document).encode()).decode()


def guestinfo(public_key: str) -> dict[str, str]:
    user = {"name": "vdl", "ssh_authorized_keys": [public_key]}
    return {
        "guestinfo.metadata": encoded({"local-hostname": "lab-cpu-1"}),
        "guestinfo.metadata.encoding": "base64",
        "guestinfo.userdata": encoded({"users": ["default", user]}),
        "guestinfo.userdata.encoding": "base64",
    }


class Client:
    """An `ssh` that knows one key and trusts only the host keys it is given."""

    def __init__(self, folder: Path) -> None:
        self.key = folder / "id_ed25519"
        self.public_key = host_key(self.key)
        self.known_hosts = folder / "known_hosts"
        self.ssh = shutil.which("ssh") or "ssh"

    def run(
        self, report: GuestReport, command: str, user: str = "vdl", stdin: str = ""
    ) -> subprocess.CompletedProcess[str]:
        address, port = report.addresses[0], report.guestinfo["guestinfo.vdl.ssh_port"]
        self.known_hosts.write_text(
            f"[{address}]:{port} {report.guestinfo['guestinfo.vdl.hostkeys']}\n"
        )
        options = ["-F", "none", "-o", "BatchMode=yes", "-o", "StrictHostKeyChecking=yes"]
        options += ["-o", f"UserKnownHostsFile={self.known_hosts}", "-i", str(self.key)]
        return subprocess.run(
            [self.ssh, *options, "-p", port, f"{user}@{address}", command],
            input=stdin, capture_output=True, text=True, timeout=60, check=False,
        )  # fmt: skip


@pytest.fixture
def client(tmp_path: Path) -> Client:
    return Client(tmp_path)


@pytest.fixture
def guests(tmp_path: Path) -> Iterator[SshGuests]:
    backend = SshGuests(tmp_path / "guests")
    yield backend
    backend.close()


def boot(guests: SshGuests, client: Client, moid: str) -> GuestReport:
    ready: queue.Queue[GuestReport] = queue.Queue()
    guests.start(Start(moid, f"name-of-{moid}", guestinfo(client.public_key), ready.put))
    return ready.get(timeout=60)


def servers() -> list[str]:
    return ["embedded", *(["openssh"] if sshd_path() else [])]


@pytest.mark.parametrize("kind", servers())
def test_a_guest_lets_in_its_user_with_its_key_and_nobody_else(
    kind: str, client: Client, tmp_path: Path
) -> None:
    identity = read_identity("x", guestinfo(client.public_key))
    assert identity is not None
    folder = tmp_path / "guest"
    (folder / "home").mkdir(parents=True)
    public_key = host_key(folder / "ssh_host_ed25519_key")
    addresses, events = Addresses(), EventLoop()
    address, port = addresses.take()
    report = GuestReport(
        "lab-cpu-1",
        (address,),
        {"guestinfo.vdl.hostkeys": public_key, "guestinfo.vdl.ssh_port": str(port)},
    )
    server = (
        OpenSshServer(identity, folder, address, port)
        if kind == "openssh"
        else EmbeddedServer(events, identity, folder, address, port)
    )
    try:
        inside = client.run(report, 'cat > "$HOME/file"; echo $USER; exit 3', stdin="text")
        assert (inside.returncode, inside.stdout) == (3, "vdl\n")
        assert (folder / "home" / "file").read_text() == "text"
        assert client.run(report, "true", user="root").returncode == 255
        shutil.copy(client.key, tmp_path / "kept")
        client.key.unlink()
        host_key(client.key)
        assert "Permission denied" in client.run(report, "true").stderr
    finally:
        server.stop()
        events.close()
        addresses.close()


def test_each_guest_has_its_own_address_home_and_host_key(
    guests: SshGuests, client: Client
) -> None:
    first, second = boot(guests, client, "vm-1"), boot(guests, client, "vm-2")
    assert first.addresses != second.addresses or first.guestinfo != second.guestinfo
    hostkeys = "guestinfo.vdl.hostkeys"
    assert first.guestinfo[hostkeys] != second.guestinfo[hostkeys]
    homes = {client.run(report, "pwd").stdout for report in (first, second)}
    assert len(homes) == 2


def test_a_guest_keeps_its_host_key_and_its_files_over_a_power_cycle(
    guests: SshGuests, client: Client
) -> None:
    before = boot(guests, client, "vm-1")
    client.run(before, "touch kept")
    guests.stop("vm-1")
    after = boot(guests, client, "vm-1")
    assert after == before
    assert client.run(after, "ls").stdout == "kept\n"


def test_a_stopped_guest_ends_what_was_started_in_it(guests: SshGuests, client: Client) -> None:
    report = boot(guests, client, "vm-1")
    mark = f"{client.key}.mark"
    client.run(report, f"(while :; do date > {mark}; sleep 0.1; done) >/dev/null 2>&1 &")
    guests.stop("vm-1")
    boot(guests, client, "vm-2")  # starts are in order, so vm-1 has stopped now
    Path(mark).unlink(missing_ok=True)
    client.run(boot(guests, client, "vm-3"), "sleep 0.5")
    assert not Path(mark).exists()


def test_a_guest_without_user_data_boots_but_has_no_host_keys(guests: SshGuests) -> None:
    ready: queue.Queue[GuestReport] = queue.Queue()
    guests.start(Start("vm-1", "plain", {"guestinfo.userdata": "%%%"}, ready.put))
    assert ready.get(timeout=60).guestinfo == {}
