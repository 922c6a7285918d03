import dataclasses

import pytest

from provision.apply.runner import apply
from provision.errors import PlanBlocked, StalePlan
from provision.plan.model import Finding, Plan, Severity
from tests.unit.apply.site import Site

TAKEN = Finding(Severity.ERROR, "name-taken", "vroom-cpu-1", "a stranger has the name", "rename it")


def test_a_plan_with_an_error_is_refused_before_any_call(site: Site) -> None:
    plan = Plan("vroom", "one", (site.create("cpu-1"),), findings=(TAKEN,))
    with pytest.raises(PlanBlocked, match="name-taken") as caught:
        apply(plan, site.vcenter, lab=site.lab(), replan=lambda *_: plan)
    assert caught.value.fix == "rename it"
    assert site.vcenter.calls == []


def test_a_warning_does_not_stand_in_the_way(site: Site) -> None:
    warning = dataclasses.replace(TAKEN, severity=Severity.WARNING)
    plan = Plan("vroom", "one", (site.create("cpu-1"),), findings=(warning,))
    assert apply(plan, site.vcenter, lab=site.lab(), replan=lambda *_: plan).ok


def test_another_fingerprint_is_a_stale_plan_that_names_what_is_new(site: Site) -> None:
    plan = Plan("vroom", "one", (site.create("gpu-1", vgpu=True), site.create("cpu-1")))
    fresh = Plan("vroom", "two", (site.create("gpu-1", host="esx-02", vgpu=True),), (TAKEN,))
    with pytest.raises(StalePlan) as caught:
        apply(plan, site.vcenter, lab=site.lab(), replan=lambda *_: fresh)
    assert caught.value.why == (
        "vroom-gpu-1: planned create on esx-01 (0000:3b:00.0), now create on esx-02"
        " (0000:3b:00.0); vroom-cpu-1: planned create on esx-01, now nothing;"
        " vroom-cpu-1: a stranger has the name"
    )
    assert site.vcenter.calls == []


def test_a_long_list_of_differences_is_cut(site: Site) -> None:
    plan = Plan("vroom", "one", tuple(site.create(f"cpu-{n}") for n in range(1, 9)))
    with pytest.raises(StalePlan, match="; 3 more"):
        apply(plan, site.vcenter, lab=site.lab(), replan=lambda *_: Plan("vroom", "two", ()))


def test_the_same_actions_on_changed_ground_are_stale_too(site: Site) -> None:
    plan = Plan("vroom", "one", (site.create("cpu-1"),))
    fresh = dataclasses.replace(plan, fingerprint="two")
    with pytest.raises(StalePlan, match="their ground is not"):
        apply(plan, site.vcenter, lab=site.lab(), replan=lambda *_: fresh)
