"""Which cards machines end up on, when many power on at once."""

from functools import partial
from pathlib import Path

import pytest

from provision.plan.planner import plan as make_plan
from tests.faults.apply_site import WORLD, assert_converged, gpus, make_lab, open_site


@pytest.mark.parametrize("policy", ["performance", "consolidation"])
def test_every_machine_gets_the_very_card_that_the_plan_shows(tmp_path: Path, policy: str) -> None:
    lab = make_lab(large=gpus(2, "grid_a100d-40c"), small=gpus(6), cpu={"count": 2})
    # Clones of very unlike length would power on in any order, if nothing held them.
    world = WORLD.replace("consolidation", policy).replace("Task: 20 ms", "Task: 10-120 ms", 1)
    with open_site(tmp_path, world) as site:
        plan = site.plan(lab)
        result = site.carry_out(plan, lab)
        assert result.ok, result.error()
        snapshot = site.snapshot(lab)
        names = {vm.id: vm.name for vm in snapshot.vms}
        held = {
            names[use.vm_id]: (host.name, card.address)
            for host in snapshot.hosts
            for card in host.cards
            for use in card.uses
        }
    shown = {a.machine: (c.host, c.address) for a in plan.actions for c in a.cards}
    assert len(shown) == 8
    assert held == shown


@pytest.mark.parametrize("parallel", [1, 32])
def test_cards_are_given_back_before_others_take_them(tmp_path: Path, parallel: int) -> None:
    """A card is locked to one profile until the last of its VMs has gone, which takes longer
    than to clone a new one.
    """
    before, after = make_lab(gpu=gpus(16)), make_lab(new=gpus(4, "grid_a100d-80c"))
    with open_site(tmp_path) as site:
        assert site.provision(before).ok
        replan = partial(make_plan, allow_shrink=True)
        plan = replan(after, site.snapshot(after))
        result = site.carry_out(plan, after, replan=replan, parallel=parallel)
        assert result.ok, result.error()
        assert_converged(after, site.snapshot(after))
