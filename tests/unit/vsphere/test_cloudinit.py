import base64
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from provision.simulator.guests.identity import read_identity
from provision.spec.model import Machine
from provision.vsphere.cloudinit import HOST_KEYS, PUBLISH, guestinfo
from tests.unit.vsphere.site import KEY, make_lab

MACHINE = make_lab().resolve()[0]


def decoded(name: str, machine: Machine = MACHINE) -> Any:
    values = guestinfo(machine, "some-uuid")
    assert values[f"guestinfo.{name}.encoding"] == "base64"
    return yaml.safe_load(base64.b64decode(values[f"guestinfo.{name}"]))


def test_the_guest_learns_its_name_and_its_instance() -> None:
    assert decoded("metadata") == {"instance-id": "some-uuid", "local-hostname": "vroom-cpu-1"}


def test_its_user_gets_in_by_key_and_not_by_password() -> None:
    data = decoded("userdata")
    (user,) = data["users"]
    assert user["name"] == "vdl"
    assert user["ssh_authorized_keys"] == [KEY]
    assert user["sudo"] == "ALL=(ALL) NOPASSWD:ALL"
    assert user["lock_passwd"] is True
    assert data["ssh_pwauth"] is False


def test_cloud_init_knows_the_data_as_its_own() -> None:
    text = base64.b64decode(guestinfo(MACHINE, "u")["guestinfo.userdata"]).decode()
    assert text.startswith("#cloud-config\n")


@pytest.mark.parametrize("key", ["ssh-rsa AAAA a: b", "ssh-rsa AAAA '\"", "ssh-rsa AAAA #{}[]"])
def test_whatever_a_comment_holds_stays_in_its_value(key: str) -> None:
    machine = MACHINE.model_copy(update={"ssh_key": f"{key}\n"})
    assert decoded("userdata", machine)["users"][0]["ssh_authorized_keys"] == [key]


def test_a_simulated_guest_understands_it() -> None:
    identity = read_identity("other", guestinfo(MACHINE, "u"))
    assert identity is not None
    assert (identity.hostname, identity.user) == ("vroom-cpu-1", "vdl")
    assert identity.authorized_keys == (KEY,)


@pytest.mark.parametrize("tool", ["vmware-rpctool", "vmtoolsd"])
def test_the_guest_publishes_its_host_keys_with_either_tool(tmp_path: Path, tool: str) -> None:
    for kind in ("ed25519", "rsa"):
        (tmp_path / f"ssh_host_{kind}_key.pub").write_text(f"ssh-{kind} AAAA{kind} root@guest\n")
    bin_ = tmp_path / "bin"
    bin_.mkdir()
    (bin_ / tool).write_text(f'#!/bin/sh\nprintf "%s\\n" "$@" > {tmp_path}/said\n')
    (bin_ / tool).chmod(0o755)
    script = PUBLISH.replace("/etc/ssh", str(tmp_path))
    subprocess.run(
        ["/bin/sh", "-c", script],
        check=True,
        env={"PATH": f"{bin_}:{os.defpath}"},
        stderr=subprocess.DEVNULL,
    )
    said = (tmp_path / "said").read_text().splitlines()[-1]
    assert said == f"info-set {HOST_KEYS} ssh-ed25519 AAAAed25519;ssh-rsa AAAArsa"
