"""A second attempt, where a fault speaks of the moment and not of what was asked for."""

import pytest
from pyVmomi import VmomiSupport, vmodl

from provision.apply.again import PASSING
from provision.apply.events import Event, Phase
from provision.apply.interrupt import StopRequest
from provision.apply.pipeline import Step
from provision.apply.result import Outcome
from provision.plan.model import ActionKind
from provision.vsphere.port import ActionFailed, OutcomeUnknown
from tests.unit.apply.site import Site

BUSY = ActionFailed("the task failed", why="the host did not answer", fault="HostCommunication")
STEPS = ["clone", "prepare_hardware", "attach", "power_on"]


def pass_after(site: Site, failures: int) -> None:
    """Let the refusals of the site end when so many steps have failed."""
    left = failures

    def heed(event: Event) -> None:
        nonlocal left
        left -= event.phase is Phase.FAILED
        if left == 0:
            site.vcenter.refuse.clear()

    site.react = heed


@pytest.mark.parametrize("name", sorted(PASSING))
def test_every_fault_that_may_pass_is_a_fault_of_vsphere(name: str) -> None:
    kinds = []
    for package in ("vim.fault.", "vmodl.fault."):
        try:
            kinds.append(VmomiSupport.GetVmodlType(package + name))
        except KeyError:
            continue
    (kind,) = kinds
    assert issubclass(kind, vmodl.MethodFault)


@pytest.mark.parametrize("method", STEPS)
def test_a_step_that_failed_for_the_moment_is_done_again(site: Site, method: str) -> None:
    site.vcenter.refuse[method, "vroom-gpu-1"] = BUSY
    pass_after(site, 1)
    machine = site.one(site.run(site.create("gpu-1", vgpu=True), pause=0.0), "gpu-1")
    assert (machine.outcome, machine.error) == (Outcome.DONE, None)
    assert machine.note == f"{method.replace('_', ' ')} succeeded at the second attempt"
    assert site.vcenter.count(method) == 2
    assert {name: site.vcenter.count(name) for name in STEPS if name != method} == dict.fromkeys(
        (name for name in STEPS if name != method), 1
    )


def test_a_removal_is_done_again(site: Site) -> None:
    vm = site.add_vm("cpu-1")
    site.vcenter.refuse["destroy", "vroom-cpu-1"] = BUSY
    pass_after(site, 1)
    result = site.run(site.action(ActionKind.DESTROY, "cpu-1", vm=vm), pause=0.0)
    assert result.ok
    assert not site.vcenter.vms


def test_there_is_no_third_attempt(site: Site) -> None:
    site.vcenter.refuse["power_on", "vroom-cpu-1"] = BUSY
    machine = site.one(site.run(site.create("cpu-1"), pause=0.0), "cpu-1")
    assert (machine.outcome, machine.step) == (Outcome.FAILED, Step.POWER_ON)
    assert site.vcenter.count("power_on") == 2


@pytest.mark.parametrize(
    "error",
    [
        ActionFailed("the task failed", why="no room", fault="NoDiskSpace"),
        ActionFailed("the guest is not reachable"),
        OutcomeUnknown("no answer", why="connection reset"),
    ],
)
def test_what_would_fail_again_or_may_have_happened_is_not_done_again(
    site: Site, error: ActionFailed | OutcomeUnknown
) -> None:
    site.vcenter.refuse["power_on", "vroom-cpu-1"] = error
    assert not site.run(site.create("cpu-1"), pause=0.0).ok
    assert site.vcenter.count("power_on") == 1


def test_a_clean_up_is_done_again_and_the_first_error_stays(site: Site) -> None:
    wrong = ActionFailed("the task failed", why="no such device", fault="InvalidDeviceSpec")
    site.vcenter.refuse["attach", "vroom-gpu-1"] = wrong
    site.vcenter.refuse["destroy", "vroom-gpu-1"] = BUSY
    pass_after(site, 2)
    machine = site.one(site.run(site.create("gpu-1", vgpu=True), pause=0.0), "gpu-1")
    assert (machine.outcome, machine.step) == (Outcome.FAILED, Step.ATTACH)
    assert "no such device" in machine.error.text()
    assert machine.clean_up_error is None
    assert not site.vcenter.vms


def test_who_asks_to_stop_waits_for_no_second_attempt(site: Site) -> None:
    stop = StopRequest()
    site.vcenter.refuse["power_on", "vroom-cpu-1"] = BUSY
    site.react = lambda event: stop.request() if event.phase is Phase.NOTE else None
    machine = site.one(site.run(site.create("cpu-1"), stop=stop, pause=3600.0), "cpu-1")
    assert (machine.outcome, machine.step) == (Outcome.FAILED, Step.POWER_ON)
    assert "did not answer" in machine.error.text()
    assert site.vcenter.count("power_on") == 1
