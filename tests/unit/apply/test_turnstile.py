from hypothesis import given, settings
from hypothesis import strategies as st

from provision.apply.result import Outcome
from provision.apply.turnstile import Turnstile
from provision.plan.model import Action, ActionKind
from provision.plan.snapshot import STAMP_LAB, STAMP_MACHINE, Power
from provision.spec.model import LabelledCards, PassthroughRequest, VgpuRequest
from provision.vsphere.port import ActionFailed
from tests.unit.apply.site import Site

VGPU = VgpuRequest(vgpu="grid_a100d-10c")


def destroy(site: Site, machine: str, **vm: object) -> Action:
    found = site.add_vm(machine, gpu=VGPU, **vm)
    return site.action(ActionKind.DESTROY, machine, vm=found)


def test_the_first_of_a_host_passes_and_the_next_is_parked(site: Site) -> None:
    turnstile = Turnstile([site.create("gpu-1", vgpu=True), site.create("gpu-2", vgpu=True)])
    assert turnstile.blocker("vroom-gpu-1") is None
    assert turnstile.blocker("vroom-gpu-2") == "vroom-gpu-1"
    turnstile.park("vroom-gpu-2")
    assert turnstile.passed("vroom-gpu-1") == ("vroom-gpu-2",)


def test_machines_without_a_gpu_never_wait(site: Site) -> None:
    turnstile = Turnstile([site.create("gpu-1", vgpu=True), site.create("cpu-1")])
    assert turnstile.blocker("vroom-cpu-1") is None


def test_whole_cards_wait_for_cards_given_back_but_not_for_each_other(site: Site) -> None:
    whole = PassthroughRequest(passthrough="A100")
    actions = [site.action(ActionKind.CREATE, f"direct-{n}", gpu=whole) for n in (1, 2)]
    turnstile = Turnstile([destroy(site, "old-1"), *actions])
    for n in (1, 2):
        assert turnstile.blocker(f"vroom-direct-{n}") == "vroom-old-1"
        turnstile.park(f"vroom-direct-{n}")
    assert turnstile.gave_back("vroom-old-1") == ("vroom-direct-1", "vroom-direct-2")


def test_whole_cards_have_an_order_where_they_are_asked_for_in_unlike_ways(site: Site) -> None:
    labelled = PassthroughRequest(passthrough=LabelledCards(label="fast"))
    anyone = PassthroughRequest(passthrough="A100")
    actions = [
        site.action(ActionKind.CREATE, "fast-1", gpu=labelled),
        site.action(ActionKind.CREATE, "any-1", gpu=anyone),
    ]
    turnstile = Turnstile(actions)
    assert turnstile.blocker("vroom-fast-1") is None
    assert turnstile.blocker("vroom-any-1") == "vroom-fast-1"


def test_a_vm_that_is_off_holds_nothing(site: Site) -> None:
    turnstile = Turnstile(
        [destroy(site, "old-1", power=Power.OFF), site.create("gpu-1", vgpu=True)]
    )
    assert turnstile.blocker("vroom-gpu-1") is None


def test_cards_of_another_host_do_not_matter(site: Site) -> None:
    old = destroy(site, "old-1", host_id="host-esx-02")
    turnstile = Turnstile([old, site.create("gpu-1", vgpu=True)])
    assert turnstile.holds("vroom-old-1")
    assert turnstile.blocker("vroom-gpu-1") is None


KINDS = st.sampled_from([ActionKind.CREATE, ActionKind.REPLACE, ActionKind.UPDATE])
MACHINES = st.lists(
    st.tuples(KINDS, st.integers(1, 3), st.integers(1, 3), st.booleans()), max_size=12
)


@settings(max_examples=60, deadline=None)
@given(machines=MACHINES, parallel=st.integers(1, 4))
def test_any_plan_ends_and_powers_on_in_order(
    machines: list[tuple[ActionKind, int, int, bool]], parallel: int
) -> None:
    """Whatever waits for whatever: no deadlock, and each host sees the order of the plan."""
    site = Site()
    actions = []
    for n, (kind, host, old_host, fails) in enumerate(machines, start=1):
        vm = None
        if kind is not ActionKind.CREATE:
            where = host if kind is ActionKind.UPDATE else old_host
            stamps = {STAMP_LAB: "vroom", STAMP_MACHINE: f"vroom-gpu-{n}"}
            vm = site.add_vm(f"gpu-{n}", gpu=VGPU, host_id=f"host-esx-{where}", stamps=stamps)
        actions.append(site.action(kind, f"gpu-{n}", host=f"esx-{host}", gpu=VGPU, vm=vm))
        if fails:
            site.vcenter.refuse["prepare_hardware", f"vroom-gpu-{n}"] = ActionFailed("refused")
    result = site.run(*actions, parallel=parallel)
    assert {m.outcome for m in result.machines} <= {Outcome.DONE, Outcome.FAILED}
    for host in {action.host for action in actions}:
        planned = [a.machine for a in actions if a.host == host]
        powered = [name for name in site.vcenter.powered if name in planned]
        assert powered == [name for name in planned if name in powered]
