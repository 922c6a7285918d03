from __future__ import annotations

import json
import uuid

from hypothesis import given
from hypothesis import strategies as st

from provision.plan.identity import instance_uuid, stamps
from tests.unit.plan import worlds

NAMES = st.text("abc-", min_size=1, max_size=6)


def test_the_instance_uuid_never_changes() -> None:
    """Every VM made so far is found through it, so this value is part of the contract."""
    found = instance_uuid(worlds.VCENTER, "vroom", "vroom-cpu-1")
    assert found == "cf5d3487-c0d8-5b0e-9115-fda44f71d722"
    assert uuid.UUID(found).version == 5


@given(st.tuples(NAMES, NAMES, NAMES), st.tuples(NAMES, NAMES, NAMES))
def test_other_machines_have_other_uuids(
    one: tuple[str, str, str], other: tuple[str, str, str]
) -> None:
    assert (instance_uuid(*one) == instance_uuid(*other)) == (one == other)


def test_stamps_name_the_owner_and_what_the_vm_was_made_from() -> None:
    machine = worlds.lab({}).resolve()[0]
    found = stamps(machine)
    assert found["vdl.lab"] == "vroom"
    assert found["vdl.machine"] == "vroom-cpu-1"
    assert found["vdl.spec"] == machine.digest
    assert json.loads(found["vdl.resolved"])["template"] == "ubuntu-24.04"
