from itertools import islice

import pytest
from pyVmomi import VmomiSupport

from provision.deadline import Deadline
from provision.vsphere.retry import REPEATABLE, current_deadline, pauses, within

# What a repeatable method may begin with: it reads, or it makes something that only the
# session has.
HARMLESS = ("Query", "Retrieve", "Find", "Has", "CreateContainerView", "CreateListView")
OF_THE_SESSION = ("CreateFilter", "CreatePropertyCollector")


@pytest.mark.parametrize("name", sorted(REPEATABLE))
def test_every_entry_of_the_table_is_a_method_of_vsphere_that_changes_nothing(name: str) -> None:
    method = VmomiSupport.GetWsdlMethod("urn:vim25", name)
    assert not method.info.isTask
    assert name.startswith((*HARMLESS, *OF_THE_SESSION))


@pytest.mark.parametrize(
    "name", ["CloneVM_Task", "ReconfigVM_Task", "PowerOnVM_Task", "Destroy_Task", "CreateFolder"]
)
def test_what_changes_the_world_is_not_in_the_table(name: str) -> None:
    assert VmomiSupport.GetWsdlMethod("urn:vim25", name)
    assert name not in REPEATABLE


def test_pauses_grow_and_stay_bounded() -> None:
    found = list(islice(pauses(), 20))
    assert found[0] <= 0.1
    assert all(0 < pause <= 5 for pause in found)
    assert min(found[-5:]) > max(found[:3])


def test_the_nearest_deadline_counts() -> None:
    near, far = Deadline.after(1), Deadline.after(100)
    with within(near):
        with within(far):
            assert current_deadline(50) == near
        assert current_deadline(50) == near
    assert current_deadline(50).left > 40
