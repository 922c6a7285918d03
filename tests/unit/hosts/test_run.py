"""Carrying a host's plan out on a simulated vCenter."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from provision.errors import PlanBlocked, StalePlan, UsageError
from provision.gpu.types import AssignmentPolicy, VgpuMode
from provision.hosts.plan import host_plan
from provision.hosts.run import HostOptions, prepare
from provision.hosts.wish import PassthroughWish, SharedWish
from provision.vsphere.host_claim import FIELD
from tests.faults.apply_site import wait_for_task
from tests.faults.host_site import ALL, FIRST, LAB, HostSite, open_host_site

WHOLE = [
    "enter-maintenance",
    "set-passthrough",
    "reboot",
    "wait-for-return",
    "verify",
    "leave-maintenance",
]


@pytest.fixture
def hosts(tmp_path: Path) -> Iterator[HostSite]:
    with open_host_site(tmp_path) as site:
        yield site


def note(hosts: HostSite, name: str) -> str:
    """Return what the vSphere Client shows of vdl's note on a host."""
    with hosts.administrator(name) as host, hosts.site.vcenter() as vcenter:
        fields = {one.key: one.name for one in vcenter.session.content.customFieldsManager.field}
        values = {fields[one.key]: one.value for one in host.customValue}
    return str(values.get(FIELD, ""))


def test_a_host_is_emptied_set_rebooted_verified_and_given_back(hosts: HostSite) -> None:
    assert hosts.prepare("esx-01").error is None
    assert hosts.taken() == WHOLE
    state, plan = hosts.look("esx-01")
    assert [(gpu.enabled, gpu.active) for gpu in state.gpus] == [(True, True), (True, True)]
    assert (state.in_maintenance, plan.steps, note(hosts, "esx-01")) == (False, (), "")
    assert "web" not in {vm.name for vm in state.vms}


def test_one_of_two_equal_cards_is_passed_through_and_back(hosts: HostSite) -> None:
    assert hosts.prepare("esx-01", PassthroughWish((FIRST,))).error is None
    assert [gpu.active for gpu in hosts.look("esx-01")[0].gpus] == [True, False]
    assert hosts.prepare("esx-01", SharedWish()).error is None
    state = hosts.look("esx-01")[0]
    assert [(gpu.active, gpu.graphics) for gpu in state.gpus] == [(False, "sharedDirect")] * 2


def test_mode_and_policy_are_set_together(hosts: HostSite) -> None:
    wish = SharedWish(VgpuMode.MIXED_SIZE, AssignmentPolicy.CONSOLIDATION)
    assert hosts.prepare("esx-01", wish).error is None
    state = hosts.look("esx-01")[0]
    assert state.policy is AssignmentPolicy.CONSOLIDATION
    assert {gpu.vgpu_mode for gpu in state.gpus} == {VgpuMode.MIXED_SIZE}
    assert hosts.site.sent("RebootHost_Task") == 1


def test_a_card_leaves_passthrough_for_mixed_size_with_one_reboot(hosts: HostSite) -> None:
    hosts.prepare("esx-01")
    assert hosts.prepare("esx-01", SharedWish(VgpuMode.MIXED_SIZE)).error is None
    assert {gpu.vgpu_mode for gpu in hosts.look("esx-01")[0].gpus} == {VgpuMode.MIXED_SIZE}
    assert hosts.site.sent("RebootHost_Task") == 2


def test_a_nimble_host_is_neither_emptied_nor_rebooted(hosts: HostSite) -> None:
    assert hosts.prepare("nimble").error is None
    assert hosts.taken() == ["set-passthrough", "verify"]
    for method in ("EnterMaintenanceMode_Task", "RebootHost_Task", "AddCustomFieldDef"):
        assert hosts.site.sent(method) == 0


def test_an_administrators_maintenance_mode_is_theirs_to_leave(hosts: HostSite) -> None:
    hosts.enter_maintenance("esx-01")
    assert hosts.prepare("esx-01").error is None
    assert hosts.taken() == WHOLE[1:-1]
    assert hosts.look("esx-01")[0].in_maintenance
    assert hosts.prepare("esx-01", leave=True).error is None
    assert hosts.taken()[-1] == "leave-maintenance"
    assert not hosts.look("esx-01")[0].in_maintenance


def test_an_old_note_does_not_claim_a_later_maintenance_mode(hosts: HostSite) -> None:
    noted: list[str] = []

    def stopped() -> bool:
        noted[:] = hosts.taken()
        return bool(noted)

    hosts.prepare("esx-01", stopped=stopped)
    assert "maintenance=" in note(hosts, "esx-01")
    with hosts.administrator("esx-01") as host:
        wait_for_task(host.ExitMaintenanceMode_Task(timeout=0))
    assert hosts.prepare("esx-01").error is None
    assert note(hosts, "esx-01") == ""


def test_a_strangers_gpu_vm_is_named_and_nothing_is_touched(hosts: HostSite) -> None:
    with pytest.raises(PlanBlocked):
        hosts.prepare("esx-02")
    plan = hosts.look("esx-02")[1]
    assert "job" in plan.findings[0].message
    for method in ("EnterMaintenanceMode_Task", "UpdatePassthruConfig", "PowerOffVM_Task"):
        assert hosts.site.sent(method) == 0


def test_a_host_that_has_changed_since_the_plan_is_left_alone(hosts: HostSite) -> None:
    state, plan = hosts.look("esx-01")
    hosts.enter_maintenance("esx-01")
    with hosts.site.vcenter() as vcenter, pytest.raises(StalePlan):
        prepare(plan, ALL, LAB, vcenter.hosts, HostOptions())
    assert host_plan(replace(state, in_maintenance=True), ALL, datetime.now(UTC)) != plan
    assert hosts.site.sent("UpdatePassthruConfig") == 0


def test_a_user_without_the_privileges_is_told_which(tmp_path: Path) -> None:
    world = """
vcenter:
  users:
    admin@vsphere.local: {password: secret, privileges: [System.View, System.Read]}
DC0: {clusters: {gpu: {hosts: {esx-01: {cards: {model: A100-80}}}}}}
"""
    with open_host_site(tmp_path, world) as hosts:
        found = [finding.message for finding in hosts.look("esx-01")[1].findings]
    assert found == [
        f"the user lacks {name}"
        for name in (
            "Global.SetCustomField on the host that is prepared",
            "Host.Config.Maintenance on the host that is prepared",
            "Host.Config.PciPassthru on the host that is prepared",
            "Host.Config.Settings on the host that is prepared",
            "Global.ManageCustomFields on the vCenter's root folder",
        )
    ]


def test_an_unknown_host_or_cluster_is_named(hosts: HostSite) -> None:
    with pytest.raises(UsageError, match="esx-01, esx-02, lost, nimble"):
        hosts.look("esx-99")
    other = LAB.model_copy(update={"vcenter": LAB.vcenter.model_copy(update={"cluster": "x"})})
    with hosts.site.vcenter() as vcenter, pytest.raises(UsageError, match="DC0/x"):
        vcenter.hosts.read(other, "esx-01")
