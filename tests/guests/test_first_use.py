"""Machines that publish no host key: asked once where a person agrees, then held to the answer."""

import shutil
from pathlib import Path

import pytest

from provision.guests.configure import Guests, configure
from provision.guests.firstuse import FirstUse, fingerprints
from tests.guests.sshd import SshGuest, SshLab, make_key, ssh_lab

AGREED = FirstUse(patience=10)
MUTE = "lab-cpu-1"


def hush(guest: SshGuest) -> str:
    """Let a guest publish nothing; return what it would have published."""
    key, guest.published = guest.published, ""
    return " ".join(key.split()[:2])


def change_key(guest: SshGuest) -> None:
    """Let something else answer in a guest's place."""
    guest.stop()
    for path in guest.folder.glob("host_key*"):
        path.unlink()
    make_key(guest.folder / "host_key")
    guest.boot()


def move_in(lab: SshLab, guest: SshGuest, gone: SshGuest) -> None:
    """Give a guest the address of one that is switched off."""
    gone.stop()
    gone.powered = False
    guest.stop()
    text = (guest.folder / "sshd_config").read_text().replace(str(guest.port), str(gone.port))
    (guest.folder / "sshd_config").write_text(text)
    guest.port = gone.port
    guest.boot()
    assert lab.guests[guest.name] is guest


def names(guests: Guests) -> list[str]:
    return sorted(guests.machines)


def test_fault_30_keys_are_asked_for_only_where_agreed_and_only_where_missing(
    tmp_path: Path,
) -> None:
    with ssh_lab(tmp_path, MUTE, "lab-cpu-2") as lab:
        key = hush(lab.guests[MUTE])
        assert "--accept-new-host-keys" in lab.reach().left_out[MUTE]
        first = lab.reach(AGREED)
        later = lab.reach()
        result = configure(later, lab.settings(tags=("base",)))
    assert first.accepted == {MUTE: (key,)}
    assert names(first) == names(later) == [MUTE, "lab-cpu-2"]
    assert later.accepted == {}
    assert result.failed == ()


@pytest.mark.parametrize("agreed", [None, AGREED], ids=["not asked again", "asked again"])
def test_fault_30_a_key_that_changes_after_first_use_is_refused(
    tmp_path: Path, agreed: FirstUse | None
) -> None:
    with ssh_lab(tmp_path, MUTE) as lab:
        hush(lab.guests[MUTE])
        lab.reach(AGREED)
        change_key(lab.guests[MUTE])
        guests = lab.reach(agreed)
        result = configure(guests, lab.settings(tags=("base",)))
    assert guests.accepted == {}
    assert "host key" in (result.hosts[MUTE].message or "").lower()


def test_a_machine_made_anew_is_asked_again_where_agreed(tmp_path: Path) -> None:
    with ssh_lab(tmp_path, MUTE) as lab:
        guest = lab.guests[MUTE]
        hush(guest)
        lab.reach(AGREED)
        change_key(guest)
        guest.incarnation += 1
        assert list(lab.reach().left_out) == [MUTE]
        again = lab.reach(AGREED)
    assert list(again.accepted) == [MUTE]
    assert again.renewed == (MUTE,)


def test_fault_30_a_machine_that_inherits_an_address_has_a_key_of_its_own(tmp_path: Path) -> None:
    with ssh_lab(tmp_path, MUTE, "lab-cpu-2") as lab:
        old, new = lab.guests.values()
        hush(old)
        hush(new)
        new.powered = False
        lab.reach(AGREED)
        new.powered = True
        move_in(lab, new, old)
        guests = lab.reach(AGREED)
        result = configure(guests, lab.settings(tags=("base",)))
    assert names(guests) == list(guests.accepted) == ["lab-cpu-2"]
    assert result.hosts["lab-cpu-2"].done


def test_fault_30_the_key_of_another_machine_is_never_taken_for_a_new_one(tmp_path: Path) -> None:
    with ssh_lab(tmp_path, MUTE, "lab-cpu-2") as lab:
        known, mute = lab.guests.values()
        hush(mute)
        lab.reach()
        # What VMware Tools report is old: a machine that vCenter takes for off answers there.
        known.powered = False
        mute.port = known.port
        guests = lab.reach(AGREED)
    assert names(guests) == []
    assert "has the SSH host key of uuid-lab-cpu-1" in guests.left_out["lab-cpu-2"]


def test_clones_that_share_the_keys_of_their_template_are_told_apart_by_nobody(
    tmp_path: Path,
) -> None:
    with ssh_lab(tmp_path, MUTE, "lab-cpu-2") as lab:
        first, second = lab.guests.values()
        second.stop()
        for name in ("host_key", "host_key.pub"):
            shutil.copy(first.folder / name, second.folder / name)
        second.boot()
        hush(first)
        hush(second)
        guests = lab.reach(AGREED)
    assert guests.accepted == {}
    assert "remove /etc/ssh/ssh_host_*" in guests.left_out[MUTE]
    assert "of lab-cpu-1" in guests.left_out["lab-cpu-2"]


def test_who_does_not_answer_is_left_out_after_a_while(tmp_path: Path) -> None:
    with ssh_lab(tmp_path) as lab:
        hush(lab.add(MUTE, boot=False))
        guests = lab.reach(FirstUse(patience=0.5))
    assert "no SSH server answered at 127.0.0.1 port" in guests.left_out[MUTE]


def test_fingerprints_are_those_that_openssh_shows() -> None:
    # `ssh-keygen -lf` says so of this key.
    key = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIGuZIgyUnNM5UPnVlDyATH/NJkkByAbnwohvnbuEkk2n"
    assert fingerprints([key]) == ["ed25519 SHA256:ea0IYmyJv/sbzlVrcP5Bz8uDxY3+EXSu7tVqoouOhaA"]
