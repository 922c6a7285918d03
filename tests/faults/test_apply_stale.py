"""A world that changes between plan and apply, and strangers in the way."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from pyVmomi import vim

from provision.apply.result import Outcome
from provision.errors import PlanBlocked, StalePlan
from provision.plan.model import Plan
from provision.plan.planner import plan as make_plan
from provision.plan.snapshot import Snapshot
from provision.spec.model import Lab
from provision.vsphere.session import Session
from tests.faults.apply_site import WORLD, Site, gpus, make_lab, open_site, wait_for_task


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    with open_site(tmp_path) as site:
        yield site


def rename(site: Site, moid: str, name: str) -> None:
    """Rename a VM as someone else would, and wait until it is done."""
    with Session(site.settings) as session:
        wait_for_task(session.ref(vim.VirtualMachine, moid).Rename_Task(newName=name))


def test_fault_10_cards_taken_by_strangers_make_the_plan_stale(site: Site) -> None:
    lab = make_lab(gpu=gpus(2))
    plan = site.plan(lab)
    assert site.provision(make_lab("other", gpu=gpus(3))).ok
    sent = site.sent("CloneVM_Task")
    with pytest.raises(StalePlan, match="world has changed"):
        site.carry_out(plan, lab)
    assert site.sent("CloneVM_Task") == sent


def test_fault_12_a_template_renamed_since_the_plan_makes_it_stale(site: Site) -> None:
    lab = make_lab(cpu={"count": 1})
    plan = site.plan(lab)
    rename(site, plan.template_id, "ubuntu-old")
    with pytest.raises(StalePlan, match=r"ubuntu-24\.04"):
        site.carry_out(plan, lab)
    assert site.sent("CloneVM_Task") == 0


def test_fault_15_a_stranger_that_has_the_name_blocks_the_plan(tmp_path: Path) -> None:
    lab = make_lab(stranger={"count": 1})
    world = WORLD.replace("stranger:", "vroom-stranger-1:")
    with open_site(tmp_path, world) as site:
        before = site.snapshot(lab).vms
        with pytest.raises(PlanBlocked, match="name-taken"):
            site.provision(lab)
        assert site.snapshot(lab).vms == before


def test_fault_15_a_stranger_that_takes_the_name_in_mid_apply_is_left_alone(tmp_path: Path) -> None:
    lab = make_lab(cpu={"count": 1})
    with open_site(
        tmp_path, WORLD.replace("{host: esx-01,", "{host: esx-01, folder: vdl,")
    ) as site:
        _lose_the_name(site, lab)


def _lose_the_name(site: Site, lab: Lab) -> None:
    (stranger,) = site.snapshot(lab).vms

    def replan(lab: Lab, snapshot: Snapshot) -> Plan:
        rename(site, stranger.id, "vroom-cpu-1")
        return make_plan(lab, snapshot)

    machine = site.carry_out(site.plan(lab), lab, replan=replan).machines[0]
    assert machine.outcome is Outcome.FAILED
    assert machine.error.fault == "DuplicateName"
    (found,) = site.snapshot(lab).vms
    assert (found.id, found.name, found.lab) == (stranger.id, "vroom-cpu-1", None)
    assert found.power == stranger.power
