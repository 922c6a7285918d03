"""Machines from inventories of the user's own, beside those of the lab."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from provision.bench.schedule import machine_facts
from provision.errors import UsageError
from provision.guests.baremetal import read_bare_metal
from provision.guests.configure import Guests, configure
from tests.guests.fakepayload import make_payload
from tests.guests.metal import own_inventory
from tests.guests.sshd import SshLab, make_key, ssh_lab

SCRIPTED = (
    '{"x": {"hosts": ["metal-1"]}, "_meta": {"hostvars": '
    '{"metal-1": {"ansible_host": "10.0.0.1", "vdl_gpu_count": 2}}}}'
)
LAB, METAL = "lab-cpu-1", "metal-1"


@contextmanager
def side_by_side(folder: Path) -> Iterator[tuple[SshLab, Guests, Path]]:
    """Run a machine of a lab and one that vCenter knows nothing of."""
    with ssh_lab(folder, LAB, METAL) as lab:
        metal = lab.guests[METAL]
        metal.powered = False
        path = own_inventory(folder, metal)
        guests = lab.reach()
        yield lab, replace(guests, bare_metal=read_bare_metal([path], guests.machines)), path


def test_both_are_configured_and_told_apart(tmp_path: Path) -> None:
    variables = {"payload_source": str(make_payload(tmp_path / "source"))}
    with side_by_side(tmp_path) as (lab, guests, _):
        settings = lab.settings(tags=("base", "payload"), variables=variables)
        result = configure(guests, settings)
        installed = [guest.payload_dir.is_dir() for guest in lab.guests.values()]
    assert result.failed == ()
    assert installed == [True, True]
    facts = machine_facts(guests)
    assert [facts[name].gpu_mode for name in (LAB, METAL)] == ["none", "bare-metal"]
    assert (facts[METAL].group, facts[METAL].gpu, facts[METAL].gpu_count) == (
        "baremetal", "A100-80", 2,
    )  # fmt: skip
    assert [facts[name].simulated for name in (LAB, METAL)] == [True, False]


def test_fault_30_its_host_key_is_looked_up_where_its_owner_says(tmp_path: Path) -> None:
    with side_by_side(tmp_path) as (lab, guests, _):
        (tmp_path / "own_known_hosts").write_text(
            f"[127.0.0.1]:{lab.guests[METAL].port} {make_key(tmp_path / 'imposter')}\n"
        )
        result = configure(guests, lab.settings(tags=("base",)))
        known = (lab.state / "known_hosts").read_text()
    assert result.hosts[LAB].done
    assert "host key" in (result.hosts[METAL].message or "").lower()
    assert str(lab.guests[METAL].port) not in known


def test_a_run_can_be_limited_to_it(tmp_path: Path) -> None:
    with side_by_side(tmp_path) as (lab, guests, _):
        result = configure(guests, lab.settings(tags=("base",), limit=(METAL,)))
    assert list(result.hosts) == [METAL]
    assert result.failed == ()


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("metal.ini", "[baremetal]\nmetal-1 ansible_host=10.0.0.1 vdl_gpu_count=2\n"),
        ("metal.yml", "all: {hosts: {metal-1: {ansible_host: 10.0.0.1, vdl_gpu_count: 2}}}"),
        ("metal.sh", f"#!/bin/sh\necho '{SCRIPTED}'\n"),
    ],
)
def test_every_format_that_ansible_reads_will_do(tmp_path: Path, name: str, text: str) -> None:
    path = tmp_path / name
    path.write_text(text)
    path.chmod(0o700)
    found = read_bare_metal([path], [LAB])
    assert found.sources == (path,)
    variables = found.machines[METAL]
    assert (variables["ansible_host"], variables["vdl_gpu_count"]) == ("10.0.0.1", 2)
    assert variables["vdl_gpu_mode"] == "bare-metal"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (None, "there is no such file"),
        ("all: {hosts: {lab-cpu-1: }}", "the lab has machines of these names: lab-cpu-1"),
        ("all: {children: {baremetal: {hosts: {}}}}", "no machine is named there"),
        ("all: {hosts: {metal-1: {vdl_gpu_count: two}}}", "vdl_gpu_count of metal-1 is no number"),
        ("all: {hosts: {metal-1: }", "YAML parsing failed"),
        ("all: {hosts: {../../x: }}", "'../../x' is no name of a machine"),
        ("{{{", "'{{{' is no name of a machine"),
    ],
)
def test_what_can_t_be_used_is_refused_with_the_reason(
    tmp_path: Path, text: str | None, words: str
) -> None:
    path = tmp_path / "metal.yml"
    if text is not None:
        path.write_text(text)
    with pytest.raises(UsageError, match="this inventory can't be used") as refusal:
        read_bare_metal([path], [LAB])
    assert words in refusal.value.text()
