"""What vCenter itself says of a plan becomes findings, and the plan stays the plan."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from provision.plan.model import Finding, Plan, Severity
from provision.plan.planner import plan as make_plan
from provision.spec.model import Lab
from provision.vsphere.checks import MOST, shapes
from provision.vsphere.vcenter import VCenter
from tests.unit.vsphere.site import WORLD, Site, build, make_lab, open_site, soon

GROUP = "Nvidia:2@grid_a100d-80c%NVLink"
EVERY_KIND = {
    "cpu": {"count": 2},
    "shared": {"count": 2, "gpu": {"vgpu": "grid_a100d-10c"}},
    "direct": {"gpu": {"passthrough": "A100-80"}},
    "pinned": {"gpu": {"passthrough": "esx-03/0000:3b:00.0"}},
    "pair": {"gpu": {"group": GROUP}},
}


def judged(site: Site, lab: Lab) -> tuple[Plan, Plan]:
    """Return the plan before and after vCenter's own checks."""
    with VCenter(site.settings) as vcenter:
        plan = make_plan(lab, vcenter.snapshot(lab))
        return plan, vcenter.checked(plan)


def only(plan: Plan) -> Finding:
    (finding,) = [f for f in plan.findings if f.code == "vcenter-check"]
    return finding


def test_what_vcenter_agrees_with_stays_as_it_is(site: Site) -> None:
    plan, checked = judged(site, make_lab(**EVERY_KIND))
    assert plan.findings == ()
    assert checked == plan
    # Alike machines of one host are asked about once; those with GPUs by both checks.
    assert len(shapes(plan)) == 5
    assert (site.calls("CheckClone_Task"), site.calls("CheckVmConfig_Task")) == (5, 4)
    assert (site.calls("PlaceVm"), site.calls("CheckPowerOn_Task")) == (4, 0)
    assert site.calls("CloneVM_Task") == 0


@pytest.mark.parametrize(
    ("method", "fault", "said"),
    [
        ("CheckClone_Task", "NoDiskSpace", "CheckClone could not tell"),
        ("CheckVmConfig_Task", "NotSupported", "CheckVmConfig could not tell"),
        ("PlaceVm", "NotSupported", "PlaceVm could not tell"),
    ],
)
def test_a_check_that_fails_itself_is_a_note(
    site: Site, method: str, fault: str, said: str
) -> None:
    site.break_(on=method, fault=fault)
    plan, checked = judged(site, make_lab(shared=EVERY_KIND["shared"]))
    finding = only(checked)
    assert (finding.severity, checked.blocked) == (Severity.WARNING, False)
    assert said in finding.message
    assert fault in finding.message
    assert checked.fingerprint == plan.fingerprint


def test_a_lost_answer_is_a_note(site: Site) -> None:
    site.break_(on="CheckClone_Task", lose="response")
    assert "CheckClone could not tell" in only(judged(site, make_lab())[1]).message


def after_planning(site: Site, lab: Lab, change: Any) -> Plan:
    """Return the judged plan of a world that changes behind the snapshot's back."""
    with VCenter(site.settings) as vcenter:
        plan = make_plan(lab, vcenter.snapshot(lab), allow_restart=True)
        assert not plan.blocked
        with site.simulator.world.lock:
            change()
        return vcenter.checked(plan)


def test_what_vcenter_refuses_blocks_the_plan(site: Site) -> None:
    store = site.simulator.datastore("vsan")
    checked = after_planning(site, make_lab(cpu={"count": 3}), lambda: store.take(store.free))
    finding = only(checked)
    assert (finding.severity, checked.blocked) == (Severity.ERROR, True)
    assert finding.subject == "vroom-cpu-1, vroom-cpu-2, vroom-cpu-3"
    assert "NoDiskSpace" in finding.message
    assert "free space" in finding.fix


def test_what_the_checks_say_of_several_hosts_is_said_once_each(site: Site) -> None:
    def maintain() -> None:
        for host in site.simulator.inventory.hosts.values():
            host.maintenance = True

    lab = make_lab(shared={"count": 2, "spread": True, "gpu": {"vgpu": "grid_a100d-10c"}})
    findings = after_planning(site, lab, maintain).findings
    assert len(findings) == 6  # the words of each host name it
    assert all("maintenance mode" in finding.message for finding in findings)
    second = [f for f in findings if "DRS would not put it there" in f.message]
    assert [f.severity for f in second] == [Severity.WARNING] * 2


def off(site: Site, lab: Lab) -> None:
    """Build a lab's only machine and power it off."""
    with site.ready(lab) as (vcenter, plan):
        vm = build(vcenter, plan, plan.actions[0])
        vcenter.shut_down(vm, soon())


SHARED = {"gpu": {"vgpu": "grid_a100d-80c"}}


def test_a_machine_that_is_off_is_asked_about_before_it_is_started(site: Site) -> None:
    lab = make_lab(shared=SHARED)
    off(site, lab)
    plan, checked = judged(site, lab)
    assert checked == plan
    assert (site.calls("CheckPowerOn_Task"), site.calls("CheckVmConfig_Task")) == (1, 0)


def test_what_keeps_a_machine_from_starting_blocks_the_plan(site: Site) -> None:
    def maintain() -> None:
        for host in site.simulator.inventory.hosts.values():
            host.maintenance = True

    lab = make_lab(shared=SHARED)
    off(site, lab)
    finding = only(after_planning(site, lab, maintain))
    assert (finding.severity, finding.subject) == (Severity.ERROR, "vroom-shared-1")
    assert "CheckPowerOn on" in finding.message


def test_a_machine_that_is_changed_first_is_asked_about_with_the_change(site: Site) -> None:
    off(site, make_lab(shared=SHARED))
    plan, checked = judged(site, make_lab(shared={**SHARED, "cpus": 4}))
    assert checked == plan
    assert (site.calls("CheckPowerOn_Task"), site.calls("CheckVmConfig_Task")) == (0, 1)


def test_what_is_refused_before_something_is_freed_is_a_warning(site: Site) -> None:
    before, lab = make_lab(cpu={"count": 1}), make_lab(cpu={"count": 2, "cpus": 4})
    with site.ready(before) as (vcenter, plan):
        build(vcenter, plan, plan.actions[0])
    store = site.simulator.datastore("vsan")
    checked = after_planning(site, lab, lambda: store.take(store.free))
    finding = only(checked)
    assert (finding.severity, checked.blocked) == (Severity.WARNING, False)
    assert "before this plan" in finding.message


def test_a_warning_of_vcenters_stays_one(site: Site) -> None:
    def unplug() -> None:
        for host in site.simulator.inventory.hosts.values():
            host.networks.clear()

    finding = only(after_planning(site, make_lab(), unplug))
    assert finding.severity is Severity.WARNING
    assert "CannotAccessNetwork" in finding.message


@pytest.mark.parametrize("lab", [make_lab(shared={"count": 99, "gpu": {"vgpu": "grid_a100d-80c"}})])
def test_a_plan_that_is_blocked_anyway_asks_nothing(site: Site, lab: Lab) -> None:
    plan, checked = judged(site, lab)
    assert plan.blocked
    assert checked == plan
    assert site.calls("CheckClone_Task") == 0


def test_a_vcenter_without_checkers_is_not_asked(site: Site) -> None:
    managers = site.simulator.world.service.content.managers
    with site.simulator.world.lock:
        del managers["vmProvisioningChecker"], managers["vmCompatibilityChecker"]
    plan, checked = judged(site, make_lab(shared=EVERY_KIND["shared"]))
    assert only(checked).message == "vCenter has no checks of its own for machines"
    assert not checked.blocked
    assert checked.actions == plan.actions


def test_very_many_hosts_are_asked_about_in_part(tmp_path: Path) -> None:
    world = WORLD.replace("esx-[01-02]", f"esx-[101-{100 + MOST + 9}]").replace("esx-01", "esx-101")
    lab = make_lab(cpu={"count": MOST + 5, "spread": True})
    with open_site(tmp_path, world.replace("esx-02", "esx-102")) as site:
        finding = only(judged(site, lab)[1])
        assert site.calls("CheckClone_Task") == MOST
    assert finding.message == f"asked about {MOST} of {MOST + 5} kinds of machine and host"


def test_findings_keep_their_order() -> None:
    plan = Plan("x", "f", ())
    texts = [Finding(Severity.WARNING, "b", "s", "", ""), Finding(Severity.ERROR, "c", "s", "", "")]
    both = replace(plan, findings=(texts[0],)).with_findings([texts[1]])
    assert both.findings == (texts[1], texts[0])
