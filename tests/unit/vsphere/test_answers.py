"""What vdl reads of an answer is what pyVmomi reads of it, to the last type."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import pytest
from pyVmomi import VmomiSupport, vim, vmodl
from pyVmomi.SoapAdapter import SoapResponseDeserializer

from provision.simulator.engine.encode import encode_fault, encode_response
from provision.simulator.engine.stub import InProcessStub
from provision.vsphere.answers import Unfamiliar, read_answer, read_quickly
from provision.vsphere.connection import OLDEST
from tests.unit.vsphere.site import Site

NEWEST = "vim.version.v8_0_3_0"
PC = vmodl.query.PropertyCollector
NIC = vim.vm.device.VirtualVmxnet3(key=4000, macAddress="00:50:56:80:00:00")


@dataclass
class Stub:
    """As much of a stub as a reader looks at."""

    version: str

    @staticmethod
    def SupportServerGUIDs() -> bool:  # noqa: N802 - pyVmomi's name
        return False


STUB = Stub(NEWEST)


def alike(mine: Any, theirs: Any) -> bool:
    """Whether two values are the same, and of the same types at every depth."""
    if type(mine) is not type(theirs):
        return False
    if isinstance(mine, VmomiSupport.DataObject):
        return vars(mine).keys() == vars(theirs).keys() and all(
            alike(value, vars(theirs)[name]) for name, value in vars(mine).items()
        )
    if isinstance(mine, list):
        return len(mine) == len(theirs) and all(map(alike, mine, theirs))
    if isinstance(mine, VmomiSupport.ManagedObject):
        return bool(mine == theirs) and mine._stub is theirs._stub  # noqa: SLF001 - public
    return bool(mine == theirs)


def by_pyvmomi(document: bytes, declared: Any, stub: Any = STUB) -> Any:
    return SoapResponseDeserializer(stub).Deserialize(document, declared)


def everything(site: Site) -> Any:
    """Return a page with all properties of all entities of a vCenter."""
    stub = InProcessStub(site.simulator.world)
    content = vim.ServiceInstance("ServiceInstance", stub).RetrieveContent()
    settings = site.settings
    content.sessionManager.Login(settings.username, settings.password.get_secret_value())
    view = content.viewManager.CreateContainerView(content.rootFolder, [], recursive=True)
    through = PC.TraversalSpec(name="view", type=type(view), path="view", skip=False)
    start = PC.ObjectSpec(obj=view, skip=True, selectSet=[through])
    kinds = (vim.ManagedEntity,)
    wanted = [PC.PropertySpec(type=kind, all=True) for kind in kinds]
    spec = PC.FilterSpec(objectSet=[start], propSet=wanted)
    return content.propertyCollector.RetrievePropertiesEx([spec], PC.RetrieveOptions())


@pytest.mark.parametrize("version", [NEWEST, OLDEST])
def test_all_that_a_vcenter_shows_is_read_as_pyvmomi_reads_it(site: Site, version: str) -> None:
    document = encode_response("X", everything(site), PC.RetrieveResult, version)
    stub = Stub(version)
    page = read_quickly(document, PC.RetrieveResult, stub)

    assert {type(content.obj) for content in page.objects} >= {
        vim.VirtualMachine, vim.HostSystem, vim.ClusterComputeResource, vim.Datastore, vim.Folder
    }  # fmt: skip
    assert alike(page, by_pyvmomi(document, PC.RetrieveResult, stub))


@pytest.mark.parametrize(
    "value",
    [
        True,
        "ä <&> \r\n",
        "",
        7,
        VmomiSupport.long(2**40),
        1.5,
        datetime(2026, 5, 4, 3, 2, 1, tzinfo=UTC),
        vim.VirtualMachine.PowerState.poweredOn,
        vim.VirtualMachine("vm-1"),
        NIC,
        VmomiSupport.GetVmodlType("string[]")(["a", ""]),
        VmomiSupport.GetVmodlType("int[]")([1, 2]),
        vim.VirtualMachine.Array([vim.VirtualMachine("vm-1")]),
        vim.vm.device.VirtualDevice.Array([NIC]),
        vim.vm.device.VirtualDevice.Array(),
    ],
    ids=lambda value: type(value).__name__,
)
def test_each_type_of_a_value_is_read_without_help(value: Any) -> None:
    option = vim.option.OptionValue(key="k", value=value)
    document = encode_response("X", option, vim.option.OptionValue, NEWEST)

    found = read_quickly(document, vim.option.OptionValue, STUB)
    assert alike(found, by_pyvmomi(document, vim.option.OptionValue))


@pytest.mark.parametrize("count", [0, 1, 2])
def test_an_array_that_a_method_returns_is_read_whatever_its_length(count: int) -> None:
    declared = vim.VirtualMachine.Array
    value = declared([vim.VirtualMachine(f"vm-{n}") for n in range(count)])
    document = encode_response("X", value, declared, NEWEST)

    assert alike(read_quickly(document, declared, STUB), by_pyvmomi(document, declared))


def test_nothing_is_read_as_none() -> None:
    document = encode_response("X", None, PC.RetrieveResult, NEWEST)
    assert read_quickly(document, PC.RetrieveResult, STUB) is None


def withheld() -> bytes:
    """Return an answer that holds a property back, which says so by a fault."""
    missing = PC.MissingProperty(path="name", fault=vim.fault.NoPermission(privilegeId="X"))
    content = PC.ObjectContent(obj=vim.VirtualMachine("vm-1"), missingSet=[missing])
    return encode_response("X", content, PC.ObjectContent, NEWEST)


PLAIN = encode_response("X", vim.option.OptionValue(key="k", value="v"), object, NEWEST)


@pytest.mark.parametrize(
    ("document", "declared"),
    [
        (encode_fault(vim.fault.InvalidLogin(msg="no"), NEWEST), object),
        (withheld(), PC.ObjectContent),
        (PLAIN.replace(b"<value", b'<value xmlns:xsd="other"'), vim.option.OptionValue),
        (PLAIN.replace(b"<key>k</key>", b"<knob>k</knob>"), vim.option.OptionValue),
        (PLAIN.replace(b"xsd:string", b"xsd:int"), vim.option.OptionValue),
        (PLAIN.replace(b"xsd:string", b"PowerState"), vim.option.OptionValue),
        (PLAIN[:-20], vim.option.OptionValue),
        (b"", vim.option.OptionValue),
    ],
    ids=["fault", "withheld", "two-meanings", "member", "number", "type", "cut", "empty"],
)  # fmt: skip
def test_what_is_not_known_is_left_to_pyvmomi(document: bytes, declared: Any) -> None:
    with pytest.raises(Unfamiliar):
        read_quickly(document, declared, STUB)
    try:
        expected = by_pyvmomi(document, declared)
    except Exception as error:  # noqa: BLE001 - whatever pyVmomi says of it
        with pytest.raises(type(error)):
            read_answer(document, declared, STUB)
    else:
        assert alike(read_answer(document, declared, STUB), expected)
