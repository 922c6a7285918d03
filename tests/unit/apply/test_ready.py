"""How many steps may work on a host or a datastore at a time."""

import threading
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from provision.apply.events import Event, Phase
from provision.apply.pipeline import Step
from provision.apply.ready import Ready, places_of
from provision.plan.model import ActionKind
from tests.unit.apply.site import Hold, Site

ESX1, ESX2, VSAN = ("host", "host-1"), ("host", "host-2"), ("datastore", "datastore-1")


def test_who_comes_first_in_the_plan_goes_first() -> None:
    ready = Ready()
    for index, machine in enumerate(("c", "a", "b")):
        ready.add(machine, (False, index), frozenset({ESX1} if machine == "a" else {ESX2}))
    assert [ready.pop() for _ in range(4)] == ["c", "a", "b", None]


def test_a_full_host_lets_machines_of_other_hosts_pass() -> None:
    ready = Ready(per_host=1)
    ready.begin(frozenset({ESX1}))
    ready.add("waits", (False, 0), frozenset({ESX1}))
    ready.add("passes", (False, 1), frozenset({ESX2}))
    assert (ready.pop(), ready.pop(), len(ready)) == ("passes", None, 1)
    ready.end(frozenset({ESX1}))
    assert ready.pop() == "waits"


def test_a_full_datastore_holds_clones_and_nothing_else(site: Site) -> None:
    action = replace(site.create("cpu-1"), host_id="host-1", datastore_id="datastore-1")
    ready = Ready(per_datastore=1)
    ready.begin(frozenset({VSAN}))
    ready.add("clone", (False, 0), places_of(action, Step.CLONE))
    ready.add("power on", (False, 1), places_of(action, Step.POWER_ON))
    assert (ready.pop(), ready.pop()) == ("power on", None)


@pytest.mark.parametrize("step", [Step.GUEST, Step.FOLLOW])
def test_who_only_waits_takes_no_room(site: Site, step: Step) -> None:
    assert places_of(site.create("cpu-1"), step) == frozenset()


def test_what_is_replaced_goes_from_its_old_host_and_comes_to_its_new_one(site: Site) -> None:
    vm = site.add_vm("cpu-1", host_id="host-1")
    action = replace(site.action(ActionKind.REPLACE, "cpu-1", vm=vm), host_id="host-2")
    assert places_of(action, Step.DESTROY) == {ESX1}
    assert places_of(action, Step.CLONE) == {ESX2}


PLACES = st.frozensets(st.sampled_from([ESX1, ESX2, VSAN]))


@given(st.lists(PLACES, max_size=30), st.integers(1, 3), st.integers(1, 3))
def test_no_place_is_ever_overcrowded_and_everybody_gets_through(
    wishes: list[frozenset[tuple[str, str]]], per_host: int, per_datastore: int
) -> None:
    ready, running, done = Ready(per_host, per_datastore), [], 0
    for index, places in enumerate(wishes):
        ready.add(str(index), (False, index), places)
    while done < len(wishes):
        while (machine := ready.pop()) is not None:
            running.append(wishes[int(machine)])
            ready.begin(running[-1])
        for place, most in ((ESX1, per_host), (ESX2, per_host), (VSAN, per_datastore)):
            assert sum(place in places for places in running) <= most
        ready.end(running.pop())
        done += 1
    assert not running


def test_a_run_keeps_the_limit_of_a_host(site: Site, barrier: Hold) -> None:
    """Two hosts with room for one each: the second machine of a host begins after the first."""
    held = barrier("clone", "cpu-1")
    other = threading.Event()

    def let_go(event: Event) -> None:
        if event.machine == "vroom-cpu-4" and event.phase is Phase.DONE:
            other.set()

    site.react = let_go
    thread = threading.Thread(target=lambda: (held.reached.wait(5), other.wait(5), held.go.set()))
    thread.start()
    result = site.run(
        site.create("cpu-1", host="esx-01"),
        site.create("cpu-2", host="esx-01"),
        site.create("cpu-3", host="esx-02"),
        site.create("cpu-4", host="esx-02"),
        per_host=1,
    )
    thread.join()
    assert result.ok
    order = [name for method, name in site.vcenter.calls if method == "clone"]
    assert order.index("vroom-cpu-4") < order.index("vroom-cpu-2")
