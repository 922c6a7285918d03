"""Commands that change vCenter: provision and destroy, once, twice and with a saved plan."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.e2e.site import PROFILE, Site
from tests.e2e.vcenter import administrator, rename, vm_names, vms


@pytest.fixture
def site(fresh_site: Site) -> Site:
    return fresh_site


def outcomes(document: dict[str, Any]) -> dict[str, str]:
    return {machine["machine"]: machine["outcome"] for machine in document["machines"]}


def save(site: Site, plan: str) -> Path:
    path = site.folder / "saved.json"
    path.write_text(plan, encoding="utf-8")
    return path


def test_a_lab_from_the_first_plan_to_the_second_destroy(site: Site) -> None:
    lab = site.lab("life", cpu={}, shared={"count": 2, "gpu": {"vgpu": PROFILE}})
    saved = save(site, site.vdl("plan", lab, "-o", "json").good().out)
    first = site.vdl("provision", lab, "--yes", "--plan", saved, "-o", "json").good()
    assert outcomes(first.json) == dict.fromkeys(
        ["life-cpu-1", "life-shared-1", "life-shared-2"], "done"
    )
    assert (first.json["version"], first.json["lab"], first.json["ok"]) == (1, "life", True)

    second = site.vdl("provision", lab, "--yes", "-o", "json").good()
    assert set(outcomes(second.json).values()) == {"unchanged"}
    assert "nothing to do" in second.err
    assert "Next: vdl configure" in site.vdl("plan", lab, "--check").good().out

    machines = site.vdl("status", lab, "-o", "json").good().json["machines"]
    assert {machine["state"] for machine in machines} == {"on"}
    assert "on     esx-01" in site.vdl("status", lab).good().out

    gone = site.vdl("destroy", lab, "--yes", "-o", "json").good()
    assert outcomes(gone.json) == outcomes(first.json)
    again = site.vdl("destroy", lab, "--yes", "-o", "json").good()
    assert outcomes(again.json) == {}
    assert "nothing to destroy" in again.err


def test_a_saved_plan_does_not_run_on_a_changed_lab(site: Site) -> None:
    saved = save(site, site.vdl("plan", site.lab("stale"), "-o", "json").good().out)
    lab = site.lab("stale", shared={"count": 2, "gpu": {"vgpu": PROFILE}})
    done = site.vdl("provision", lab, "--yes", "--plan", saved)
    done.refused(6, "has changed since the plan was saved; nothing was done")


def test_a_saved_plan_does_not_run_in_a_changed_world(site: Site) -> None:
    lab, other = site.lab("stale"), site.lab("other")
    saved = save(site, site.vdl("plan", lab, "-o", "json").good().out)
    site.vdl("provision", other, "--yes").good()
    site.vdl("provision", lab, "--yes", "--plan", saved).refused(6)
    site.vdl("destroy", other, "--yes").good()


@pytest.mark.parametrize("command", ["provision", "destroy"])
def test_nothing_happens_where_nobody_can_be_asked(site: Site, command: str) -> None:
    lab = site.lab("ask", cpu={})
    if command == "destroy":
        site.vdl("provision", lab, "--yes").good()
    before = vm_names(site)
    site.vdl(command, lab).refused(2, "there is no terminal to ask on", "--yes")
    assert vm_names(site) == before
    site.vdl("destroy", lab, "--yes").good()


def test_destroy_goes_by_the_stamp_and_not_by_the_name(site: Site) -> None:
    lab = site.lab("mine", cpu={"count": 2})
    site.vdl("provision", lab, "--yes").good()
    rename(site, "mine-cpu-1", "renamed")
    rename(site, "stranger", "mine-cpu-1")
    done = site.vdl("destroy", lab, "--yes").good()
    assert "/DC0/vm/vdl/renamed (on)" in done.err
    assert vm_names(site) == ["mine-cpu-1", "ubuntu-24.04"]
    rename(site, "mine-cpu-1", "stranger")


def test_a_stranger_that_has_the_name_blocks_the_plan_and_stays_as_it_is(site: Site) -> None:
    lab = site.lab("mine", cpu={})
    rename(site, "stranger", "mine-cpu-1")
    site.vdl("provision", lab, "--yes").refused(3, "name-taken")
    with administrator(site) as content:
        assert vms(content)["mine-cpu-1"].runtime.powerState == "poweredOn"
    rename(site, "mine-cpu-1", "stranger")
