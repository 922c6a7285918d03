import ast
from itertools import islice
from pathlib import Path

import pytest
from pyVmomi import VmomiSupport

import provision.vsphere
from provision.deadline import Deadline
from provision.vsphere.retry import REPEATABLE, current_deadline, pauses, within
from tests.faults.apply_kill import changes_something

# Where pyVmomi's name of a method is not that of vSphere's WSDL.
PYVMOMI_SAYS = {"RetrieveContent": "RetrieveServiceContent"}

# What a repeatable method may begin with: it reads, or it makes something that only the
# session has.
HARMLESS = ("Query", "Retrieve", "Find", "Has", "CreateContainerView", "CreateListView")
OF_THE_SESSION = ("CreateFilter", "CreatePropertyCollector")


@pytest.mark.parametrize("name", sorted(REPEATABLE))
def test_every_entry_of_the_table_is_a_method_of_vsphere_that_changes_nothing(name: str) -> None:
    method = VmomiSupport.GetWsdlMethod("urn:vim25", name)
    assert not method.info.isTask
    assert name.startswith((*HARMLESS, *OF_THE_SESSION))


def methods_that_vdl_calls() -> set[str]:
    """Return every name in the vCenter room's code that is a method of vSphere."""
    room = Path(provision.vsphere.__file__).parent
    trees = [ast.parse(file.read_text(encoding="utf-8")) for file in room.glob("*.py")]
    names = {n.attr for tree in trees for n in ast.walk(tree) if isinstance(n, ast.Attribute)}
    names = {PYVMOMI_SAYS.get(name, name) for name in names}
    known = VmomiSupport._wsdlMethodMap  # noqa: SLF001 - pyVmomi offers no list of methods
    return {name for name in names if ("urn:vim25", name) in known}


def test_no_method_that_vdl_calls_and_that_changes_something_is_in_the_table() -> None:
    changing = {name for name in methods_that_vdl_calls() if changes_something(name)}
    assert changing >= {"CloneVM_Task", "ReconfigVM_Task", "PowerOnVM_Task", "CreateFolder"}
    assert changing >= {"Destroy_Task", "ShutdownGuest", "RebootHost_Task"}
    assert not changing & REPEATABLE


def test_the_table_has_no_method_that_vdl_does_not_call() -> None:
    assert methods_that_vdl_calls() >= REPEATABLE


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
