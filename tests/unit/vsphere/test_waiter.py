import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from pyVmomi import vim

from provision.deadline import Deadline
from provision.vsphere.collector import moid
from provision.vsphere.session import Session
from provision.vsphere.waiter import Waiter
from tests.unit.vsphere.site import Site, open_site, soon

WORLD = """
latency: {Rename_Task: 200 ms}
DC0:
  clusters:
    plain:
      hosts: {esx-01: {}}
      vms: {"job-[01-20]": {}}
"""


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    with open_site(tmp_path, WORLD) as site:
        yield site


@pytest.fixture
def session(site: Site) -> Iterator[Session]:
    with site.session() as session:
        yield session


@pytest.fixture
def waiter(session: Session) -> Iterator[Waiter]:
    waiter = Waiter(session)
    yield waiter
    waiter.close()


def vms(site: Site, session: Session) -> list[vim.VirtualMachine]:
    names = [f"job-{n:02}" for n in range(1, 21)]
    return [session.ref(vim.VirtualMachine, site.simulator.vm(name).moid) for name in names]


def test_many_threads_share_one_outstanding_wait(
    site: Site, session: Session, waiter: Waiter
) -> None:
    def rename(vm: vim.VirtualMachine) -> str:
        end = waiter.wait_task(vm.Rename_Task(f"new-{moid(vm)}"), soon())
        assert end is not None
        return end.state

    with ThreadPoolExecutor(20) as pool:
        assert set(pool.map(rename, vms(site, session))) == {"success"}
    assert site.calls("CreatePropertyCollector") == 1
    assert waiter.waits_for() == set()


def test_a_failed_task_brings_its_fault(site: Site, session: Session, waiter: Waiter) -> None:
    vm = vms(site, session)[0]
    end = waiter.wait_task(vm.Rename_Task("job-02"), soon())
    assert end is not None
    assert end.state == "error"
    assert isinstance(end.fault, vim.fault.DuplicateName)


def test_a_deadline_that_comes_first_ends_the_wait(
    site: Site, session: Session, waiter: Waiter
) -> None:
    site.break_(on="Rename_Task", nth=1, hang=True)
    task = vms(site, session)[0].Rename_Task("never")
    assert waiter.wait_task(task, Deadline.after(0.3)) is None


def test_an_unknown_task_is_gone(session: Session, waiter: Waiter) -> None:
    end = waiter.wait_task(session.ref(vim.Task, "task-4711"), soon())
    assert end is not None
    assert end.state == "gone"


def test_a_task_that_is_forgotten_before_the_first_look_at_it_is_gone(tmp_path: Path) -> None:
    world = WORLD.replace("latency: {", "latency: {WaitForUpdatesEx: 500 ms, ")
    forgetful = "vcenter: {task_retention: 0 s}" + world
    with open_site(tmp_path, forgetful) as site, site.session() as session:
        waiter = Waiter(session)
        end = waiter.wait_task(vms(site, session)[0].Rename_Task("new"), soon())
        waiter.close()
    assert end is not None
    assert end.state == "gone"


def test_a_vm_is_watched_until_it_is_as_wanted(
    site: Site, session: Session, waiter: Waiter
) -> None:
    vm = vms(site, session)[0]
    with ThreadPoolExecutor(1) as pool:
        on = pool.submit(
            waiter.wait_vm, vm, lambda v: v["runtime.powerState"] == "poweredOn", soon()
        )
        vm.PowerOnVM_Task()
        found, values = on.result(20)
    assert found
    assert values["runtime.powerState"] == "poweredOn"


def test_a_vm_that_is_already_as_wanted_is_not_waited_for_twice(
    site: Site, session: Session, waiter: Waiter
) -> None:
    vm = vms(site, session)[0]
    for _ in range(3):
        assert waiter.wait_vm(vm, lambda v: v["runtime.powerState"] == "poweredOff", soon())[0]


def test_two_threads_may_wait_for_different_things_of_one_vm(
    site: Site, session: Session, waiter: Waiter
) -> None:
    vm = vms(site, session)[0]

    def until(state: str) -> bool:
        return waiter.wait_vm(vm, lambda v: v["runtime.powerState"] == state, soon())[0]

    with ThreadPoolExecutor(2) as pool:
        jobs = [pool.submit(until, state) for state in ("poweredOn", "poweredOff")]
        assert jobs[1].result(20)
        vm.PowerOnVM_Task()
        assert jobs[0].result(20)


def test_a_vm_that_is_deleted_while_it_is_watched_is_gone(
    site: Site, session: Session, waiter: Waiter
) -> None:
    vm = vms(site, session)[0]
    with ThreadPoolExecutor(1) as pool:
        job = pool.submit(waiter.wait_vm, vm, lambda _: False, soon())
        while not waiter.waits_for():
            time.sleep(0.01)
        vm.Destroy_Task()
        assert job.result(20) == (False, {})


@pytest.mark.parametrize(
    "fault",
    [
        {"on": "WaitForUpdatesEx", "nth": 2, "lose": "response"},
        {"on": "WaitForUpdatesEx", "nth": 2, "terminate": "sessions"},
        {"on": "WaitForUpdatesEx", "nth": 2, "fault": "vmodl.query.InvalidCollectorVersion"},
        {"on": "ModifyListView", "nth": 1, "terminate": "sessions"},
        {"on": "ModifyListView", "nth": 1, "lose": "response"},
        {"on": "CreateFilter", "nth": 1, "lose": "response"},
    ],
    ids=lambda fault: " ".join(map(str, fault.values())),
)
def test_a_lost_wait_goes_on_with_the_same_tasks(
    site: Site, session: Session, waiter: Waiter, fault: dict[str, object]
) -> None:
    site.break_(**fault)
    tasks = [vm.Rename_Task(f"new-{moid(vm)}") for vm in vms(site, session)]
    with ThreadPoolExecutor(20) as pool:
        ends = list(pool.map(lambda task: waiter.wait_task(task, soon()), tasks))
    assert [end.state for end in ends if end] == ["success"] * 20
    assert site.calls("Rename_Task") == 20
