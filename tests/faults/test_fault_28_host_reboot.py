"""Fault 28: a host that vdl reboots never comes back, or vdl is stopped on the way."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from provision.errors import Interrupted
from provision.hosts.plan import StepKind
from provision.plan.snapshot import Connection
from provision.vsphere.port import OutcomeUnknown
from tests.faults.host_site import CONSOLIDATE, FIRST, HostSite, open_host_site

TO_REBOOT = [StepKind.ENTER_MAINTENANCE, StepKind.SET_PASSTHROUGH, StepKind.REBOOT]
AFTER_IT = [StepKind.WAIT, StepKind.VERIFY, StepKind.LEAVE_MAINTENANCE]


@pytest.fixture
def hosts(tmp_path: Path) -> Iterator[HostSite]:
    with open_host_site(tmp_path) as site:
        yield site


def repair(hosts: HostSite, name: str) -> None:
    """Bring a host up as somebody at its console does."""
    simulator = hosts.site.simulator
    with simulator.world.lock:
        simulator.host(name).come_up()


def sent(hosts: HostSite, method: str) -> int:
    return hosts.site.sent(method)


def test_fault_28_a_host_that_stays_away_is_reported_with_its_state(hosts: HostSite) -> None:
    result = hosts.prepare("lost")
    assert [step.kind for step in result.done] == TO_REBOOT
    assert [step.kind for step in result.left] == AFTER_IT
    assert result.error is not None
    for words in (
        "did not come back within 2 s",
        "notResponding",
        "entered by vdl",
        "run the same",
    ):
        assert words in result.error.text()
    assert sent(hosts, "ExitMaintenanceMode_Task") == 0
    assert (result.state.connection, result.state.in_maintenance) == (
        Connection.NOT_RESPONDING,
        True,
    )


@pytest.mark.parametrize("repaired_before", [True, False], ids=["back", "still-away"])
def test_fault_28_a_rerun_goes_on_once_the_host_is_back(
    hosts: HostSite, *, repaired_before: bool
) -> None:
    hosts.prepare("lost")
    hosts.events.clear()
    if repaired_before:
        repair(hosts, "lost")
    else:
        hosts.site.simulator.world.later(0.5, hosts.site.simulator.host("lost").come_up)
    result = hosts.prepare("lost")
    assert result.error is None
    assert hosts.taken()[-1] == "leave-maintenance"
    assert sent(hosts, "RebootHost_Task") == 1
    state, plan = hosts.look("lost")
    assert (state.in_maintenance, plan.steps) == (False, ())
    assert [gpu.active for gpu in state.gpus] == [True, True]


def test_fault_28_maintenance_mode_is_not_left_where_the_setting_is_not_real(
    hosts: HostSite,
) -> None:
    hosts.prepare("lost")
    simulator = hosts.site.simulator
    with simulator.world.lock:
        host = simulator.host("lost")
        host.come_up()
        host.card(FIRST).active = False
        host.reboots = True
    state, plan = hosts.look("lost")
    assert state.in_maintenance
    assert plan.steps[0].kind is StepKind.REBOOT
    assert hosts.prepare("lost").error is None
    assert hosts.look("lost")[1].steps == ()


def stop_at(step: StepKind, hosts: HostSite) -> Callable[[], bool]:
    """Return what says to stop as soon as a step has begun."""
    return lambda: any(event.step is step for event in hosts.events)


@pytest.mark.parametrize(
    "step",
    [
        StepKind.ENTER_MAINTENANCE,
        StepKind.SET_PASSTHROUGH,
        StepKind.REBOOT,
        StepKind.WAIT,
        StepKind.VERIFY,
    ],
)
def test_fault_28_a_stop_at_any_step_is_reported_and_a_rerun_goes_on(
    hosts: HostSite, step: StepKind
) -> None:
    name = "lost" if step is StepKind.WAIT else "esx-01"
    stopped = hosts.prepare(name, stopped=stop_at(step, hosts))
    assert isinstance(stopped.error, Interrupted)
    assert "in maintenance mode (entered by vdl), and stays so" in stopped.error.text()
    assert stopped.left
    if name == "lost":
        repair(hosts, name)
    assert hosts.prepare(name).error is None
    state, plan = hosts.look(name)
    assert (state.in_maintenance, plan.steps) == (False, ())
    for method in ("EnterMaintenanceMode_Task", "UpdatePassthruConfig", "RebootHost_Task"):
        assert sent(hosts, method) == 1


def test_fault_28_a_policy_waits_for_its_reboot_across_runs(hosts: HostSite) -> None:
    stopped = hosts.prepare("esx-01", CONSOLIDATE, stopped=stop_at(StepKind.SET_GRAPHICS, hosts))
    assert isinstance(stopped.error, Interrupted)
    state, plan = hosts.look("esx-01", CONSOLIDATE)
    assert state.policy is CONSOLIDATE.policy
    assert plan.steps[0].kind is StepKind.REBOOT
    assert hosts.prepare("esx-01", CONSOLIDATE).error is None
    assert (sent(hosts, "UpdateGraphicsConfig"), sent(hosts, "RebootHost_Task")) == (1, 1)
    assert hosts.look("esx-01", CONSOLIDATE)[1].steps == ()


@pytest.mark.parametrize(
    "method",
    [
        "EnterMaintenanceMode_Task",
        "UpdatePassthruConfig",
        "RebootHost_Task",
        "ExitMaintenanceMode_Task",
        "AddCustomFieldDef",
        "SetField",
    ],
)
def test_fault_06_no_step_is_sent_again_when_its_answer_is_lost(
    hosts: HostSite, method: str
) -> None:
    hosts.site.break_(on=method, nth=1, lose="response")
    assert hosts.prepare("esx-01").error is None
    assert hosts.look("esx-01")[1].steps == ()
    # Entered, reboot noted, reboot over, given back.
    assert sent(hosts, method) == (4 if method == "SetField" else 1)


def test_fault_23_maintenance_mode_that_takes_too_long_changes_nothing_else(
    hosts: HostSite,
) -> None:
    hosts.site.break_(on="EnterMaintenanceMode_Task", fault="Timedout")
    result = hosts.prepare("esx-01")
    assert result.error is not None
    assert "Timedout" in result.error.text()
    assert not isinstance(result.error, OutcomeUnknown)
    assert sent(hosts, "UpdatePassthruConfig") == 0
    assert not hosts.look("esx-01")[0].in_maintenance


def test_fault_11_a_host_that_is_away_for_other_reasons_is_refused(hosts: HostSite) -> None:
    with hosts.administrator("esx-01") as host:
        host.DisconnectHost_Task()
    hosts.site.settle()
    plan = hosts.look("esx-01")[1]
    assert [finding.code for finding in plan.findings] == ["host-unavailable"]
    assert plan.steps == ()
