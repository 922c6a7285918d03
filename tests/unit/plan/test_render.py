from __future__ import annotations

import json

from provision.plan.model import Plan
from provision.plan.planner import plan
from provision.plan.render_json import render_json
from provision.plan.render_text import next_step, render_text
from tests.unit.plan import worlds

HOSTS = {"esx-01": {"cards": {"count": 2}}}


def planned(machines: dict[str, object], world: dict[str, object]) -> Plan:
    lab = worlds.lab({"machines": machines})
    return plan(lab, worlds.snapshot({"hosts": HOSTS, **world}, lab))


def test_text_shows_signs_cards_changes_and_settings() -> None:
    shown = render_text(
        planned(
            {"cpu": {"cpus": 8}, "shared": {"gpu": {"vgpu": "grid_a100d-10c"}}},
            {
                "vms": {
                    "vroom-cpu-1": {"of": "vroom-cpu-1", "host": "esx-01", "made": {"cpus": 4}},
                }
            },
        )
    ).plain
    assert shown == (
        "  + vroom-shared-1: from ubuntu-24.04: 4 CPUs, 16 GiB, 40 GiB disk, grid_a100d-10c\n"
        "      host      esx-01\n"
        "      card      esx-01 0000:10:00.0 grid_a100d-10c\n"
        "      settings  cpuHotAddEnabled=FALSE, firmware=efi, memoryReservationLockedToMax=TRUE, "
        "pciPassthru.64bitMMIOSizeGB=256, pciPassthru.use64bitMMIO=TRUE\n"
        "  ~ vroom-cpu-1: cpus: needs a power cycle\n"
        "      host      esx-01\n"
        "      cpus      4 → 8\n"
        "\n"
        "error: drift-restart: vroom\n"
        "  1 running machine will be shut down, changed and started again: vroom-cpu-1\n"
        "  fix: when what runs in them has ended, confirm it with "
        "`vdl provision --allow-restart`\n"
        "\n"
        "Plan: 1 to create, 1 to update, 0 to replace, 0 to destroy."
    )


def test_text_of_a_blocked_plan_ends_with_what_to_do() -> None:
    blocked = planned({"shared": {"count": 3, "gpu": {"vgpu": "grid_a100d-80c"}}}, {})
    lines = render_text(blocked).plain.splitlines()
    assert "error: gpu-capacity: vroom-shared" in lines
    assert "  esx-01: 2 x A100-80: full of grid_a100d-80c" in lines
    assert lines[-1] == "Plan: 3 to create, 0 to update, 0 to replace, 0 to destroy."
    assert next_step(blocked).startswith("Blocked: nothing can change until the errors above")


def test_text_names_the_numa_node_of_a_card_where_the_host_tells() -> None:
    cards = [{"mode": "passthrough", "numa": 1}]
    shown = planned(
        {"m": {"gpu": {"passthrough": "A100"}}}, {"hosts": {"esx-01": {"cards": cards}}}
    )
    lines = render_text(shown).plain.splitlines()
    assert "      card      esx-01 0000:10:00.0 passthrough, NUMA node 1" in lines


def test_text_without_changes_is_one_line() -> None:
    same = planned({"cpu": {}}, {"vms": {"vroom-cpu-1": {"of": "vroom-cpu-1", "host": "esx-01"}}})
    assert render_text(same).plain.splitlines() == [
        "Plan: 0 to create, 0 to update, 0 to replace, 0 to destroy.",
    ]
    assert next_step(same) == "Nothing to do. Next: vdl configure"
    assert "= vroom-cpu-1: as the lab file says" in render_text(same, verbose=True).plain


def test_text_of_a_large_plan_is_short_unless_it_is_wanted_in_full() -> None:
    large = planned({"cpu": {"count": 41}, "node": {"count": 9}}, {})
    short = render_text(large).plain.splitlines()
    assert [line for line in short if "machines" in line] == [
        "  + vroom-cpu-*: 41 machines: from ubuntu-24.04: 4 CPUs, 16 GiB, 40 GiB disk",
        "  + vroom-node-*: 9 machines: from ubuntu-24.04: 4 CPUs, 16 GiB, 40 GiB disk",
    ]
    assert "  + vroom-cpu-41: " in render_text(large, verbose=True).plain


def test_json_is_the_contract() -> None:
    result = planned({"shared": {"count": 2, "gpu": {"vgpu": "grid_a100d-80c"}}, "cpu": {}}, {})
    document = json.loads(render_json(result))
    assert document["version"] == 1
    assert document["lab"] == "vroom"
    assert document["fingerprint"] == result.fingerprint
    assert document["summary"] == {"create": 3, "update": 0, "replace": 0, "destroy": 0, "none": 0}
    first = document["actions"][0]
    assert first["action"] == "create"
    assert first["machine"] == "vroom-shared-1"
    assert first["host"] == "esx-01"
    assert first["cards"] == [
        {
            "host": "esx-01",
            "address": "0000:10:00.0",
            "profile": "grid_a100d-80c",
            "numa_node": None,
        }
    ]
    assert first["settings"]["pciPassthru.64bitMMIOSizeGB"] == "256"
    assert document["findings"] == []


def test_json_of_findings_has_code_object_and_fix() -> None:
    document = json.loads(render_json(planned({"x": {"gpu": {"vgpu": "grid_x-1c"}}}, {})))
    assert document["findings"][0] == {
        "severity": "error",
        "code": "gpu-unknown",
        "object": "vroom-x",
        "message": "no vGPU profile is called grid_x-1c",
        "fix": document["findings"][0]["fix"],
    }
    assert document["findings"][0]["fix"]


def test_equal_worlds_give_equal_text_whatever_their_order() -> None:
    lab = worlds.lab({"machines": {"a": {"count": 5, "gpu": {"vgpu": "grid_a100d-40c"}}, "b": {}}})
    names = ["esx-01", "esx-02", "esx-03"]
    there = {"hosts": {name: {"cards": {"count": 2}} for name in names}}
    back = {"hosts": {name: {"cards": {"count": 2}} for name in reversed(names)}}
    one = render_json(plan(lab, worlds.snapshot(there, lab)))
    other = render_json(plan(lab, worlds.snapshot(back, lab)))
    assert one == other
