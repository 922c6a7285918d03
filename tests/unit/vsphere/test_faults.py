import pytest
from pyVmomi import vim, vmodl

from provision.vsphere.faults import describe, fault_name, fix_for

MESSAGE = vmodl.LocalizableMessage(key="k", message="vGPU does not fit.")


def test_a_fault_is_named_and_quoted_once() -> None:
    fault = vim.fault.InsufficientGraphicsResourcesFault(
        msg="vGPU does not fit.", faultMessage=[MESSAGE]
    )
    assert describe(fault) == "InsufficientGraphicsResourcesFault: vGPU does not fit"
    assert "vdl gpus" in fix_for(fault)


def test_a_fault_without_words_is_its_name() -> None:
    assert describe(vim.fault.Timedout()) == fault_name(vim.fault.Timedout()) == "Timedout"


def test_a_full_datastore_is_named() -> None:
    text = describe(vim.fault.NoDiskSpace(datastore="vsan", msg="Insufficient disk space."))
    assert text == "NoDiskSpace: Insufficient disk space; datastore vsan"


def test_missing_privileges_are_listed_with_their_object() -> None:
    missing = vim.fault.NoPermission.EntityPrivileges(
        entity=vim.VirtualMachine("vm-7"), privilegeIds=["VirtualMachine.Config.Memory"]
    )
    fault = vim.fault.NoPermission(
        object=vim.VirtualMachine("vm-7"),
        privilegeId="VirtualMachine.Config.CPUCount",
        missingPrivileges=[missing],
    )
    assert describe(fault) == (
        "NoPermission: missing VirtualMachine.Config.CPUCount, VirtualMachine.Config.Memory on vm-7"
    )
    assert "role" in fix_for(fault)


def test_causes_follow() -> None:
    inner = vim.fault.InsufficientMemoryResourcesFault(
        unreserved=1, requested=2, msg="Not enough memory."
    )
    outer = vim.fault.GenericVmConfigFault(reason="Power-on failed", faultCause=inner)
    assert describe(outer) == (
        "GenericVmConfigFault: Power-on failed, because of "
        "InsufficientMemoryResourcesFault: Not enough memory"
    )


def test_a_fault_that_causes_itself_comes_to_an_end() -> None:
    fault = vim.fault.GenericVmConfigFault(reason="loop")
    fault.faultCause = fault
    assert describe(fault).count("loop") == 4


@pytest.mark.parametrize(
    ("fault", "word"),
    [
        (vim.fault.DuplicateName(name="x", object=vim.VirtualMachine("vm-1")), "the name x"),
        (vmodl.fault.InvalidArgument(invalidProperty="spec.name"), "property spec.name"),
        (
            vim.fault.InvalidPowerState(requestedState="poweredOn", existingState="suspended"),
            "suspended",
        ),
    ],
)
def test_what_a_fault_carries_is_shown(fault: vmodl.MethodFault, word: str) -> None:
    assert word in describe(fault)
