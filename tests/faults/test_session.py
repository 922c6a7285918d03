"""Sessions that end, logins that are refused, certificates that change: faults 1, 2, 3, 26."""

import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from pydantic import SecretStr

from provision.deadline import Deadline
from provision.errors import NoConnection
from provision.simulator.server import Simulator
from provision.vsphere.session import Session
from provision.vsphere.vcenter import VCenter
from tests.unit.vsphere.site import WORLD, Site, build, make_lab, open_site, soon

SLOW = "latency: {CloneVM_Task: 700 ms, PowerOnVM_Task: 700 ms}\n" + WORLD
IDLE_SECONDS = 0.3
IDLE = f"vcenter: {{session_timeout: {IDLE_SECONDS} s}}\n" + WORLD
# Far more than a refused login may take, and enough for any number of further attempts.
MANY = 8


@pytest.fixture
def slow(tmp_path: Path) -> Iterator[Site]:
    with open_site(tmp_path, SLOW) as site:
        yield site


def until(condition: Callable[[], bool]) -> None:
    end = Deadline.after(10)
    while not condition():
        assert not end.passed
        time.sleep(0.01)


def test_fault_01_a_session_that_idles_out_costs_one_login_and_nothing_twice(
    tmp_path: Path,
) -> None:
    with open_site(tmp_path, IDLE) as site, site.ready(make_lab()) as (vcenter, plan):
        action = plan.actions[0]
        vm = vcenter.clone(plan, action, soon())
        logins = site.calls("Login")
        until(lambda: site.sessions() == 0)
        vcenter.power_on(vm, soon())
        assert site.calls("Login") == logins + 1
        assert vcenter.wait_for_guest(vm, soon()).addresses
        assert site.calls("CloneVM_Task") == 1


@pytest.mark.parametrize("method", ["CloneVM_Task", "PowerOnVM_Task"])
def test_fault_02_a_session_ended_in_mid_task_costs_one_login_and_the_task_is_waited_for(
    slow: Site, method: str
) -> None:
    lab = make_lab(shared={"count": 1, "gpu": {"vgpu": "grid_a100d-10c"}})
    with slow.ready(lab) as (vcenter, plan), ThreadPoolExecutor(1) as pool:
        job = pool.submit(build, vcenter, plan, plan.actions[0])
        until(lambda: slow.calls(method) == 1)
        slow.simulator.terminate_sessions()
        vm = job.result(20)
        assert vm == slow.simulator.vm(plan.actions[0].machine).moid
        assert slow.calls(method) == 1
        assert slow.calls("Login") == 2
        assert slow.simulator.vms().count(plan.actions[0].machine) == 1


def test_fault_02_a_session_ended_before_a_change_is_renewed_before_it_is_sent_again(
    slow: Site,
) -> None:
    with slow.ready(make_lab()) as (vcenter, plan):
        slow.break_(on="CloneVM_Task", nth=1, terminate="sessions")
        build(vcenter, plan, plan.actions[0])
        # The first call was refused for want of a session: it did nothing.
        assert slow.calls("CloneVM_Task") == 2
        assert slow.simulator.vms().count("vroom-cpu-1") == 1


def test_fault_03_a_wrong_password_is_tried_once(tmp_path: Path) -> None:
    with open_site(tmp_path) as site:
        with pytest.raises(NoConnection, match="refused the login"):
            Session(site.with_(password=SecretStr("wrong")))
        assert site.calls("Login") == 1


def test_fault_03_a_password_changed_in_mid_apply_stops_all_threads_after_one_attempt(
    tmp_path: Path,
) -> None:
    with open_site(tmp_path) as site, VCenter(site.settings) as vcenter:
        vcenter.snapshot(make_lab())
        site.break_(on="Login", fault="InvalidLogin")
        site.simulator.terminate_sessions()
        attempts = site.calls("Login")

        def refused(_: int) -> bool:
            with pytest.raises(NoConnection, match="refused the login"):
                vcenter.find_vm("00000000-0000-0000-0000-000000000000")
            return True

        with ThreadPoolExecutor(MANY) as pool:
            assert all(pool.map(refused, range(2 * MANY)))
        assert site.calls("Login") == attempts + 1


def test_fault_03_who_waits_for_a_task_hears_of_the_refused_login(slow: Site) -> None:
    with slow.ready(make_lab()) as (vcenter, plan), ThreadPoolExecutor(1) as pool:
        job = pool.submit(vcenter.clone, plan, plan.actions[0], soon())
        until(lambda: slow.calls("CloneVM_Task") == 1)
        slow.break_(on="Login", fault="InvalidLogin")
        slow.simulator.terminate_sessions()
        with pytest.raises(NoConnection, match="refused the login"):
            job.result(10)


@pytest.fixture
def impostor(tmp_path: Path) -> Iterator[Simulator]:
    """Something else that speaks TLS, where the vCenter was."""
    with Simulator.from_text(WORLD, folder=tmp_path / "impostor") as simulator:
        yield simulator


def _pins(site: Site) -> dict[str, object]:
    return {"ca_file": None, "thumbprint": site.door.thumbprint}


@pytest.mark.parametrize("pinned", [True, False])
def test_fault_26_the_wrong_certificate_is_refused_before_a_credential_leaves(
    slow: Site, impostor: Simulator, *, pinned: bool
) -> None:
    door = impostor.serve()
    changes = _pins(slow) if pinned else {}
    with pytest.raises(NoConnection, match="no credential was sent") as raised:
        VCenter(slow.with_(server=door.server, **changes))
    assert door.thumbprint.replace(":", "").lower() in raised.value.text().replace(":", "").lower()
    assert not impostor.world.calls


@pytest.mark.parametrize("pinned", [True, False])
def test_fault_26_a_certificate_that_changes_in_mid_apply_gets_no_cookie(
    tmp_path: Path, impostor: Simulator, *, pinned: bool
) -> None:
    with open_site(tmp_path) as site:
        session = Session(site.with_(**_pins(site)) if pinned else site.settings)
        site.simulator.close()
        impostor.serve(site.door.server)
        with pytest.raises(NoConnection, match="no credential was sent"):
            session.content.rootFolder.CreateFolder("never")
        session.close()
        assert not impostor.world.calls
