import stat
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from provision.errors import SpecError
from provision.guests.hostkeys import (
    GuestKeys,
    HostKeyChanged,
    learn_host_keys,
    parse_host_keys,
)


def ed25519_key() -> str:
    public = ed25519.Ed25519PrivateKey.generate().public_key()
    return public.public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH).decode()


def ecdsa_key() -> str:
    public = ec.generate_private_key(ec.SECP256R1()).public_key()
    return public.public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH).decode()


def guest(
    *keys: str,
    machine: str = "vroom-cpu-1",
    vm_id: str = "vm-7",
    address: str = "10.0.0.5",
    port: int = 22,
) -> GuestKeys:
    return GuestKeys(machine, f"uuid-{machine}", vm_id, address, port, keys)


def lines(path: Path) -> list[str]:
    return [line for line in path.read_text().splitlines() if not line.startswith("#")]


def test_keys_are_split_and_lose_their_comments() -> None:
    first, second = ed25519_key(), ecdsa_key()
    assert parse_host_keys(f"{first} root@x;{second} root@x;\n") == tuple(sorted([first, second]))


def test_no_key_is_no_error() -> None:
    assert parse_host_keys("") == ()


@pytest.mark.parametrize(
    "text",
    [
        "ssh-ed25519",
        "ssh-ed25519 AAAA",
        "ssh-ed25519 " + "A" * 40,
        "ssh-dss AAAAB3NzaC1kc3MAAACBAPrhJ0",
        f"10.0.0.9 {ed25519_key()}",
        f"{ed25519_key()}\n* {ed25519_key()}",
        f"@cert-authority * {ed25519_key()}",
        ed25519_key().replace("ssh-ed25519", "ssh-rsa"),
    ],
    # Keys are drawn anew at every start: in names, they would differ between processes.
    ids=[
        "no-key",
        "short",
        "long",
        "dsa",
        "address-before",
        "second-line",
        "authority",
        "wrong-kind",
    ],
)
def test_fault_45_what_is_no_key_reaches_no_file(text: str) -> None:
    with pytest.raises(SpecError):
        parse_host_keys(text)


def test_known_hosts_is_private_and_names_ports_other_than_22(tmp_path: Path) -> None:
    known_hosts = tmp_path / "vroom" / "known_hosts"
    key = ed25519_key()
    learn_host_keys(
        known_hosts, [guest(key), guest(key, machine="m-2", address="127.64.0.1", port=2222)]
    )
    assert lines(known_hosts) == [f"[127.64.0.1]:2222 {key}", f"10.0.0.5 {key}"]
    assert stat.S_IMODE(known_hosts.stat().st_mode) == 0o600


def test_fault_30_a_changed_key_is_refused_and_nothing_is_written(tmp_path: Path) -> None:
    known_hosts = tmp_path / "known_hosts"
    learn_host_keys(known_hosts, [guest(ed25519_key())])
    before = known_hosts.read_bytes()
    with pytest.raises(HostKeyChanged, match="vroom-cpu-1"):
        learn_host_keys(known_hosts, [guest(ed25519_key(), address="10.0.0.6")])
    assert known_hosts.read_bytes() == before


def test_fault_30_an_address_that_passed_on_keeps_no_old_key(tmp_path: Path) -> None:
    known_hosts = tmp_path / "known_hosts"
    old, new = ed25519_key(), ed25519_key()
    learn_host_keys(known_hosts, [guest(old, machine="vroom-cpu-1")])
    learn_host_keys(known_hosts, [guest(new, machine="vroom-cpu-2")])
    assert lines(known_hosts) == [f"10.0.0.5 {new}"]
    with pytest.raises(HostKeyChanged):
        learn_host_keys(known_hosts, [guest(new, machine="vroom-cpu-1", address="10.0.0.6")])


def test_a_further_key_beside_the_known_one_is_fine(tmp_path: Path) -> None:
    known_hosts = tmp_path / "known_hosts"
    first, second = ed25519_key(), ecdsa_key()
    learn_host_keys(known_hosts, [guest(first)])
    learn_host_keys(known_hosts, [guest(first, second)])
    assert lines(known_hosts) == [f"10.0.0.5 {first}", f"10.0.0.5 {second}"]


def test_a_vm_made_anew_may_have_a_new_key_and_says_so(tmp_path: Path) -> None:
    known_hosts = tmp_path / "known_hosts"
    new = ed25519_key()
    assert learn_host_keys(known_hosts, [guest(ed25519_key())]) == ()
    assert learn_host_keys(known_hosts, [guest(new, vm_id="vm-8")]) == ("vroom-cpu-1",)
    assert learn_host_keys(known_hosts, [guest(new, vm_id="vm-8")]) == ()
    assert lines(known_hosts) == [f"10.0.0.5 {new}"]
