"""Fault 45 beyond reading: what vCenter calls its objects is text, wherever vdl carries it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from pyVmomi import vim

from provision.bench.results import MachineFacts, Run, write_document, write_run
from tests.e2e.site import PROFILE, Site, served
from tests.e2e.test_report import NOW, document, write_gate
from tests.e2e.vcenter import administrator, rename, vms
from tests.faults.apply_site import wait_for_task

# Each would leave a file called `marker` behind if anything ran it. vCenter's names hold no
# slash, so the shell goes to $HOME by itself.
HOSTILE = [
    "$(cd; touch marker)",
    "`cd; touch marker`",
    "; cd; touch marker #",
    "{{ lookup('ansible.builtin.pipe', 'cd; touch marker') }}",
    "-oProxyCommand=touch marker",
    "..",
    "two words",
]
STAMPS = [*HOSTILE, "../../up", "two\nlines", "[red]", "{% raw %}", "vroom-shared-1 ", ""]


def world() -> str:
    near = [f"{name} near" for name in HOSTILE]
    hosts = {name: {"memory": "64 GiB"} for name in HOSTILE}
    return yaml.safe_dump(
        {
            "guests": "ssh",
            "DC0": {
                "templates": {"ubuntu-24.04": {}},
                "clusters": {
                    "gpu": {
                        "hosts": {**hosts, "esx-09": {"cards": {"model": "A100-80"}}},
                        "vms": {name: {"host": HOSTILE[0]} for name in near},
                    }
                },
                "datastores": {"vsan": "20 TiB", **dict.fromkeys(near, "1 TiB")},
                "networks": ["VM Network", *near],
            },
        }
    )


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Site, Path]]:
    """Return a site among hostile neighbours, and its lab, which is provisioned."""
    folder = tmp_path_factory.mktemp("hostile")
    with served(folder, world()) as site:
        path = site.lab("vroom", shared={"gpu": {"vgpu": PROFILE}})
        site.vdl("provision", path, "--yes").good()
        yield site, path
        assert list(folder.rglob("marker*")) == []


def restamp(site: Site, name: str, machine: str) -> None:
    """Write another machine's name on a VM, as anybody may who can edit it."""
    option = vim.option.OptionValue(key="vdl.machine", value=machine)
    with administrator(site) as content:
        spec = vim.vm.ConfigSpec(extraConfig=[option])
        wait_for_task(vms(content)[name].ReconfigVM_Task(spec))


@pytest.mark.parametrize("command", ["gpus", "plan", "status"])
def test_fault_45_hostile_neighbours_are_shown_and_nothing_more(
    lab: tuple[Site, Path], command: str
) -> None:
    site, path = lab
    site.vdl(command, path).good()
    site.vdl(command, path, "-o", "json").good()


def test_fault_45_a_renamed_vm_keeps_its_own_name_in_the_inventory(lab: tuple[Site, Path]) -> None:
    site, path = lab
    names = [*HOSTILE, "vroom-shared-1"]
    for old, new in zip(["vroom-shared-1", *HOSTILE], names, strict=True):
        rename(site, old, new)
        inventory = site.vdl("inventory", path, "-o", "json").good().json
        assert list(inventory["_meta"]["hostvars"]) == ["vroom-shared-1"]
        (machine,) = site.vdl("status", path, "-o", "json").good().json["machines"]
        assert (machine["machine"], machine["path"]) == ("vroom-shared-1", f"/DC0/vm/vdl/{new}")


def test_fault_45_a_renamed_vm_is_configured(lab: tuple[Site, Path]) -> None:
    site, path = lab
    rename(site, "vroom-shared-1", HOSTILE[3])
    site.vdl("configure", path).good()
    rename(site, HOSTILE[3], "vroom-shared-1")


def test_fault_45_a_hostile_stamp_reaches_no_inventory_and_no_playbook(
    lab: tuple[Site, Path],
) -> None:
    site, path = lab
    for name in STAMPS:
        restamp(site, "vroom-shared-1", name)
        listed = site.vdl("inventory", path, "-o", "json").good()
        assert listed.json["_meta"]["hostvars"] == {}
        assert "left out" in listed.err
    restamp(site, "vroom-shared-1", HOSTILE[3])
    configured = site.vdl("configure", path)
    assert configured.code == 1
    assert "names no machine of lab vroom" in configured.err
    restamp(site, "vroom-shared-1", "vroom-shared-1")


def test_fault_45_hostile_facts_in_results_are_text_on_the_page(tmp_path: Path) -> None:
    site = Site(tmp_path)
    folder = tmp_path / "results" / "vroom" / "1"
    texts = ["<script>alert(1)</script>", r"$\frac{$", "{{ 7 * 7 }}", "[red]"]
    facts = {
        f"m-{n}": MachineFacts(f"m-{n}", text, "vgpu", gpu=text, host=text)
        for n, text in enumerate(texts)
    }
    write_run(folder, Run("vroom", "1", NOW.isoformat(), NOW.isoformat(), facts))
    for name in facts:
        write_gate(folder / name)
        write_document(folder / name / "vgg16.json", document(100.0))
    assert "[red]" in site.vdl("report").good().out
    page = (folder / "report.html").read_text(encoding="utf-8")
    assert "<script>alert" not in page
    for text in ("&lt;script&gt;alert", r"$\frac{$", "{{ 7 * 7 }}"):
        assert text in page
