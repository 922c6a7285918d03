"""From a host's state and a wish to steps, obstacles and the fate of VMs."""

from dataclasses import replace
from datetime import timedelta

import pytest

from provision.errors import UsageError
from provision.gpu.types import AssignmentPolicy, VgpuMode
from provision.hosts.plan import HostPlan, StepKind, host_plan
from provision.hosts.wish import PassthroughWish, SharedWish, Wish
from provision.plan.model import Severity
from provision.plan.snapshot import Connection, Power
from provision.vsphere.host_port import Claim, HostState
from tests.unit.hosts.states import (
    A100_40,
    BOOTED,
    FIRST,
    NOW,
    SECOND,
    T4,
    THIRD,
    gpu,
    host,
    passed,
    vm,
)

ENTER, TOGGLE, GRAPHICS = (
    StepKind.ENTER_MAINTENANCE,
    StepKind.SET_PASSTHROUGH,
    StepKind.SET_GRAPHICS,
)
LABELS = StepKind.SET_LABELS
REBOOT, WAIT, VERIFY = StepKind.REBOOT, StepKind.WAIT, StepKind.VERIFY
LEAVE = StepKind.LEAVE_MAINTENANCE
PASS_FIRST = PassthroughWish((FIRST,))


def plan(state: HostState, wish: Wish, *, leave: bool = False) -> HostPlan:
    return host_plan(state, wish, NOW, leave=leave)


def kinds(found: HostPlan) -> list[StepKind]:
    return [step.kind for step in found.steps]


def codes(found: HostPlan) -> list[tuple[str, str]]:
    return [(f.code, f.subject) for f in found.findings if f.severity is Severity.ERROR]


def test_passthrough_takes_maintenance_mode_and_a_reboot() -> None:
    found = plan(host(), PASS_FIRST)
    assert kinds(found) == [ENTER, TOGGLE, REBOOT, WAIT, VERIFY, LEAVE]
    assert found.steps[1].passthrough == {FIRST: True}
    assert not found.blocked


def test_a_label_needs_no_reboot_and_comes_after_passthrough() -> None:
    wish = PassthroughWish((FIRST,), "fast")
    found = plan(host(passed(label="slow")), wish)
    assert (kinds(found), found.steps[0].labels) == ([LABELS, VERIFY], {FIRST: "fast"})
    assert kinds(plan(host(), wish)) == [ENTER, TOGGLE, LABELS, REBOOT, WAIT, VERIFY, LEAVE]
    assert plan(host(passed(label="fast")), wish).steps == ()
    assert plan(host(passed(label="fast")), PASS_FIRST).steps == ()


def test_a_label_that_a_vm_may_have_asked_for_stays() -> None:
    wish, user = PassthroughWish((FIRST,), "fast"), ("job",)
    job = replace(host(), vms=(vm(),)).vms
    assert codes(plan(host(passed(label="slow", vm_ids=user), vms=job), wish))[0][0] == "gpu-in-use"
    assert not plan(host(passed(vm_ids=user), vms=job), wish).blocked


def test_nothing_is_done_where_nothing_differs() -> None:
    assert plan(host(passed(), gpu(SECOND)), PASS_FIRST).steps == ()
    assert plan(host(), SharedWish(VgpuMode.SAME_SIZE, AssignmentPolicy.PERFORMANCE)).steps == ()


def test_a_host_that_rebinds_is_neither_emptied_nor_rebooted() -> None:
    state = host(rebind=True, vms=(vm("web"),))
    found = plan(state, PASS_FIRST)
    assert kinds(found) == [TOGGLE, VERIFY]
    assert found.displaced == ()
    half_done = host(passed(active=False), rebind=True)
    assert plan(half_done, PASS_FIRST).steps[0].passthrough == {FIRST: True}


def test_a_setting_that_waits_for_a_reboot_is_not_sent_again() -> None:
    found = plan(host(gpu(enabled=True), gpu(SECOND)), PASS_FIRST)
    assert kinds(found) == [ENTER, REBOOT, WAIT, VERIFY, LEAVE]


def test_equal_cards_are_told_apart_by_address() -> None:
    found = plan(host(gpu(FIRST), gpu(SECOND)), PassthroughWish((SECOND.upper(),)))
    assert found.steps[1].passthrough == {SECOND: True}


def test_a_model_means_all_its_cards_and_must_mean_one_model() -> None:
    mixed = host(gpu(FIRST), gpu(SECOND, T4), gpu(THIRD))
    found = plan(mixed, PassthroughWish(("A100-80",)))
    assert found.steps[1].passthrough == {FIRST: True, THIRD: True}
    with pytest.raises(UsageError, match=r"A100-40 or A100-80[\s\S]*--passthrough A100-40"):
        plan(host(gpu(FIRST), gpu(SECOND, A100_40)), PassthroughWish(("A100",)))
    with pytest.raises(UsageError, match=f"no card H100[\\s\\S]*{FIRST} \\(A100-80\\)"):
        plan(host(), PassthroughWish(("H100",)))


def test_a_card_that_no_catalogue_knows_is_found_by_its_name() -> None:
    found = plan(host(gpu(FIRST, 0x0001), gpu(SECOND)), PassthroughWish(("nvidia card",)))
    assert found.steps[1].passthrough == {FIRST: True, SECOND: True}


@pytest.mark.parametrize(
    ("state", "wish", "settings"),
    [
        (host(default_graphics="shared"), SharedWish(), "default graphics type shared →"),
        (host(), SharedWish(policy=AssignmentPolicy.CONSOLIDATION), "assignment policy perf"),
        (host(), SharedWish(VgpuMode.MIXED_SIZE), f"vGPU mode of {FIRST} sameSize → mixedSize"),
        (host(gpu(next_graphics="shared", graphics="shared")), SharedWish(), "graphics type of"),
    ],
)
def test_graphics_settings_take_an_empty_host_and_a_reboot(
    state: HostState, wish: Wish, settings: str
) -> None:
    found = plan(state, wish)
    assert kinds(found) == [ENTER, GRAPHICS, REBOOT, WAIT, VERIFY, LEAVE]
    assert settings in found.steps[1].reason


def test_shared_takes_all_cards_out_of_passthrough() -> None:
    found = plan(host(passed(), passed(SECOND), gpu(THIRD)), SharedWish())
    assert found.steps[1].passthrough == {FIRST: False, SECOND: False}
    assert GRAPHICS not in kinds(found)


def test_a_mode_is_set_on_each_card_and_left_where_none_is_asked_for() -> None:
    (step,) = (s for s in plan(host(), SharedWish(VgpuMode.MIXED_SIZE)).steps if s.kind is GRAPHICS)
    assert step.graphics.modes == {FIRST: VgpuMode.MIXED_SIZE, SECOND: VgpuMode.MIXED_SIZE}
    (step,) = (
        s for s in plan(host(default_graphics="shared"), SharedWish()).steps if s.kind is GRAPHICS
    )
    assert step.graphics.modes == {FIRST: None, SECOND: None}


def test_a_policy_that_vdl_has_set_since_the_last_boot_still_waits_for_one() -> None:
    wish = SharedWish(policy=AssignmentPolicy.PERFORMANCE)
    noted = host(claim=Claim(booted=BOOTED), in_maintenance=True)
    assert kinds(plan(noted, wish)) == [REBOOT, WAIT, VERIFY]
    rebooted = replace(noted, booted=BOOTED + timedelta(minutes=9))
    assert plan(rebooted, wish).steps == ()


@pytest.mark.parametrize(
    ("state", "mode", "said"),
    [
        (host(), VgpuMode.MIG, "can only be turned on on the host itself"),
        (host(gpu(vgpu_mode=VgpuMode.MIG)), VgpuMode.SAME_SIZE, "can only be turned off"),
        (host(gpu(device_id=T4)), VgpuMode.MIG, "the card has no MIG"),
        (host(gpu(device_id=T4)), VgpuMode.MIXED_SIZE, "Ampere"),
        (host(api_version="8.0.2.0"), VgpuMode.MIXED_SIZE, "8.0 Update 3"),
    ],
)
def test_a_vgpu_mode_that_vsphere_cannot_set_is_refused(
    state: HostState, mode: VgpuMode, said: str
) -> None:
    found = plan(state, SharedWish(mode))
    assert found.blocked
    assert said in found.findings[0].message


def test_mig_that_is_on_already_is_nothing_to_do() -> None:
    found = plan(host(gpu(vgpu_mode=VgpuMode.MIG)), SharedWish(VgpuMode.MIG))
    assert (found.steps, found.blocked) == ((), False)


def test_sameSize_is_all_that_older_releases_know() -> None:  # noqa: N802 - vSphere's word
    old = host(gpu(vgpu_mode=None), api_version="7.0.3.0")
    assert plan(old, SharedWish(VgpuMode.SAME_SIZE)).steps == ()


def test_cards_in_use_and_vms_that_cannot_move_are_refused_by_name() -> None:
    state = host(
        gpu(FIRST, vm_ids=("job",)),
        gpu(SECOND),
        vms=(
            vm("job", "grid_a100d-10c"),
            vm("nic", "other"),
            vm("web"),
            vm("off", power=Power.OFF),
        ),
    )
    found = plan(state, PassthroughWish((SECOND,)))
    assert codes(found) == [("gpu-in-use", f"esx-01 {FIRST} (A100-80)"), ("vm-immovable", "nic")]
    assert "job" in found.findings[0].message
    assert {one.vm: one.what.split()[0] for one in found.displaced} == {
        "job": "has", "nic": "has", "web": "DRS",
    }  # fmt: skip


def test_a_rebind_asks_only_for_the_cards_that_change() -> None:
    state = host(
        gpu(FIRST, vm_ids=("job",)), gpu(SECOND), vms=(vm("job", "grid_a100d-10c"),), rebind=True
    )
    assert not plan(state, PassthroughWish((SECOND,))).blocked
    assert codes(plan(state, PASS_FIRST)) == [("gpu-in-use", f"esx-01 {FIRST} (A100-80)")]


def test_vms_stay_where_drs_moves_none_but_agents_are_vcenters_business() -> None:
    state = host(
        vms=(vm("vCLS-1", agent=True), vm("web")), evacuates=False, staying="the cluster has no DRS"
    )
    found = plan(state, PASS_FIRST)
    assert codes(found) == [("vm-running", "web")]
    assert "no DRS" in found.findings[0].message


@pytest.mark.parametrize(
    ("state", "code"),
    [
        (host(connection=Connection.NOT_RESPONDING), "host-unavailable"),
        (host(gpu(capable=False)), "passthrough-incapable"),
        (host(privileges_missing=("Host.Config.Maintenance on host",)), "privilege-missing"),
    ],
)
def test_what_else_stands_in_the_way(state: HostState, code: str) -> None:
    assert [found for found, _ in codes(plan(state, PASS_FIRST))] == [code]


def test_a_host_without_cards_and_one_without_a_vgpu_manager_say_so() -> None:
    assert codes(plan(replace(host(), gpus=()), SharedWish())) == [("gpu-unknown", "esx-01")]
    (finding,) = plan(host(profiles=()), SharedWish()).findings
    assert (finding.severity, finding.code) == (Severity.WARNING, "vgpu-manager-missing")


def test_maintenance_mode_of_an_administrator_is_used_and_left_to_them() -> None:
    found = plan(host(in_maintenance=True), PASS_FIRST)
    assert kinds(found) == [TOGGLE, REBOOT, WAIT, VERIFY]
    assert [f.code for f in found.findings] == ["host-maintenance"]
    assert kinds(plan(host(in_maintenance=True), PASS_FIRST, leave=True))[-1] is LEAVE


def test_maintenance_mode_that_vdl_entered_lately_is_left_again() -> None:
    def entered(hours: int) -> HostState:
        claim = Claim(maintenance=NOW - timedelta(hours=hours))
        return host(passed(), in_maintenance=True, claim=claim)

    assert kinds(plan(entered(1), PASS_FIRST)) == [LEAVE]
    assert kinds(plan(entered(25), PASS_FIRST)) == []
    assert plan(entered(25), PASS_FIRST).findings[0].code == "host-maintenance"


def test_a_host_that_vdl_sent_into_a_reboot_is_waited_for() -> None:
    claim = Claim(maintenance=NOW, booted=BOOTED)
    state = host(
        gpu(enabled=True), claim=claim, in_maintenance=True, connection=Connection.NOT_RESPONDING
    )
    found = plan(state, PASS_FIRST)
    assert kinds(found) == [WAIT, VERIFY, LEAVE]
    assert not found.blocked
