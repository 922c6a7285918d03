"""SOAP in and out, held against pyVmomi's own reader and writer."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from pyVmomi import VmomiSupport, vim, vmodl
from pyVmomi.SoapAdapter import SoapResponseDeserializer, SoapStubAdapter

from provision.simulator.engine.decode import decode_request
from provision.simulator.engine.encode import encode_fault, encode_response
from provision.simulator.engine.schema import freeze

NEWEST = "vim.version.v8_0_3_0"
PC = vmodl.query.PropertyCollector


def through_the_wire(value: Any, declared: Any) -> Any:
    document = encode_response("Test", value, declared, NEWEST)
    return SoapResponseDeserializer(None).Deserialize(document, declared)


def request(method: str, *arguments: Any, this: Any) -> bytes:
    info = VmomiSupport.GetWsdlMethod("urn:vim25", method).info
    padded = [*arguments, *[None] * (len(info.params) - len(arguments))]
    stub = SoapStubAdapter(host="localhost", version=NEWEST)
    return bytes(stub.SerializeRequest(this, info, padded))


DEVICE = vim.vm.device.VirtualPCIPassthrough(
    key=-1,
    backing=vim.vm.device.VirtualPCIPassthrough.DynamicBackingInfo(
        deviceName="",
        allowedDevice=[
            vim.vm.device.VirtualPCIPassthrough.AllowedDevice(vendorId=0x10DE, deviceId=0x20B5)
        ],
    ),
)
CLONE = vim.vm.CloneSpec(
    location=vim.vm.RelocateSpec(
        pool=vim.ResourcePool("resgroup-1"),
        host=vim.HostSystem("host-1"),
        diskMoveType="moveAllDiskBackingsAndAllowSharing",
    ),
    powerOn=False,
    template=False,
    config=vim.vm.ConfigSpec(
        name="<vm> & \"quotes\" 'too' \u00e4\u4e2d",
        numCPUs=8,
        memoryMB=2**33,
        annotation="two\nlines\r\n",
        extraConfig=[
            vim.option.OptionValue(key="text", value="x"),
            vim.option.OptionValue(key="number", value=7),
        ],
        deviceChange=[vim.vm.device.VirtualDeviceSpec(operation="add", device=DEVICE)],
    ),
)


def test_a_clone_spec_arrives_as_it_was_sent() -> None:
    this = vim.VirtualMachine("vm-1")
    decoded = decode_request(
        request("CloneVM_Task", vim.Folder("group-v1"), "new", CLONE, this=this)
    )

    assert decoded.moid == "vm-1"
    assert decoded.info.wsdlName == "CloneVM_Task"
    assert decoded.arguments["folder"] == vim.Folder("group-v1")
    assert decoded.arguments["name"] == "new"
    spec = decoded.arguments["spec"]
    sent = CLONE.config.annotation
    # XML turns a carriage return and line feed into a line feed.
    assert spec.config.annotation == sent.replace("\r\n", "\n")
    spec.config.annotation = sent
    assert freeze(spec) == freeze(CLONE)


@pytest.mark.parametrize(
    "value",
    [
        vim.option.OptionValue(key="k", value=True),
        vim.option.OptionValue(key="k", value=VmomiSupport.long(2**40)),
        vim.option.OptionValue(key="k", value=1.5),
        vim.option.OptionValue(key="k", value=datetime(2026, 5, 4, 3, 2, 1, tzinfo=UTC)),
        vim.option.OptionValue(key="k", value=VmomiSupport.binary(b"\x00\xff")),
        vim.option.OptionValue(key="k", value=vim.VirtualMachine.PowerState.poweredOn),
        vim.option.OptionValue(key="k", value=vim.VirtualMachine("vm-1")),
        vim.option.OptionValue(key="k", value=DEVICE),
        vim.option.OptionValue(key="k", value=VmomiSupport.GetVmodlType("string[]")(["a", "b"])),
        vim.option.OptionValue(key="k", value=VmomiSupport.GetVmodlType("int[]")([1, 2])),
        vim.option.OptionValue(key="k", value=vim.VirtualMachine.Array([vim.VirtualMachine("x")])),
        vim.option.OptionValue(key="k", value=vim.vm.device.VirtualDevice.Array([DEVICE])),
    ],
    ids=lambda value: type(value.value).__name__,
)
def test_values_of_any_type_go_there_and_back(value: Any) -> None:
    answered = through_the_wire(value, vim.option.OptionValue)
    asked = decode_request(
        request("UpdateOptions", [value], this=vim.option.OptionManager("om"))
    ).arguments["changedValue"][0]

    assert freeze(answered) == freeze(value)
    assert freeze(asked) == freeze(value)


def test_references_in_any_type_are_named_as_all_clients_know_them() -> None:
    prop = vmodl.DynamicProperty(name="host", val=vim.HostSystem("host-1"))
    many = vmodl.DynamicProperty(name="hosts", val=vim.HostSystem.Array([vim.HostSystem("h")]))

    one = encode_response("Test", prop, vmodl.DynamicProperty, NEWEST).decode()
    assert '<val xsi:type="ManagedObjectReference" type="HostSystem">host-1</val>' in one
    array = encode_response("Test", many, vmodl.DynamicProperty, NEWEST).decode()
    assert '<val xsi:type="ArrayOfManagedObjectReference"><ManagedObjectReference type=' in array


def test_text_survives_markup_and_what_xml_has_no_room_for() -> None:
    assert through_the_wire("a<b>&c\r\n]]>", str) == "a<b>&c\r\n]]>"
    assert through_the_wire("bell\x07", str) == "bell?"


def test_types_and_methods_are_written_by_name() -> None:
    info = vim.TaskInfo(
        key="task-1",
        name=vim.VirtualMachine.Clone,
        state="error",
        descriptionId="x",
        eventChainId=1,
    )
    info.error = vim.fault.NoDiskSpace(file="f", datastore="ds", msg="full")
    info.reason = vim.TaskReasonUser(userName="me")
    back = through_the_wire(info, vim.TaskInfo)

    assert back.name.info.wsdlName == "CloneVM_Task"
    assert isinstance(back.error, vim.fault.NoDiskSpace)
    assert (back.error.datastore, back.error.msg) == ("ds", "full")
    assert isinstance(back.reason, vim.TaskReasonUser)
    spec = PC.PropertySpec(type=vim.VirtualMachine, pathSet=["name"])
    assert freeze(through_the_wire(spec, PC.PropertySpec)) == freeze(spec)


def test_a_fault_has_its_type_its_properties_and_its_message() -> None:
    cause = vim.fault.InvalidState(msg="deeper")
    fault = vim.fault.NoDiskSpace(file="f", datastore="ds", msg="no <room>", faultCause=cause)
    back = SoapResponseDeserializer(None).Deserialize(encode_fault(fault, NEWEST), object)

    assert isinstance(back, vim.fault.NoDiskSpace)
    assert (back.file, back.datastore, back.msg) == ("f", "ds", "no <room>")
    assert isinstance(back.faultCause, vim.fault.InvalidState)
    assert back.faultCause.msg == "deeper"


def test_nothing_is_an_empty_response() -> None:
    document = encode_response("Logout", None, type(None), NEWEST)

    assert b'<LogoutResponse xmlns="urn:vim25"></LogoutResponse>' in document


def options(value: str, *, declare: str = "") -> bytes:
    return (
        '<Envelope xmlns="http://schemas.xmlsoap.org/soap/envelope/"><Body>'
        f'<UpdateOptions xmlns="urn:vim25" xmlns:i="http://www.w3.org/2001/XMLSchema-instance" '
        f'{declare}><_this type="OptionManager">om</_this><changedValue i:type="OptionValue">'
        f"<key>k</key>{value}</changedValue></UpdateOptions></Body></Envelope>"
    ).encode()


def test_undeclared_prefixes_of_simple_types_are_understood() -> None:
    (option,) = decode_request(options('<value i:type="xsd:int">7</value>')).arguments[
        "changedValue"
    ]

    assert (option.value, type(option.value)) == (7, int)


@pytest.mark.parametrize(
    "value",
    [
        '<value i:type="xsd:int">seven</value>',
        '<value i:type="xsd:int">4294967296</value>',
        '<value i:type="xsd:boolean">perhaps</value>',
        '<value i:type="xsd:dateTime">yesterday</value>',
        '<value i:type="xsd:base64Binary">!!!</value>',
        '<value i:type="VirtualMachinePowerState">sleeping</value>',
        '<value i:type="NoSuchType">x</value>',
        '<value i:type="VirtualMachineConfigSpec"><nonsense/></value>',
        '<value i:type="VirtualMachineConfigSpec"><files i:type="CloneSpec"/></value>',
        '<value i:type="xsd:int">7</value><value i:type="xsd:int">7</value>',
        "<nonsense/>",
    ],
)
def test_values_that_are_none_of_their_type_are_refused(value: str) -> None:
    with pytest.raises(vmodl.fault.InvalidRequest):
        decode_request(options(value, declare='xmlns:xsd="http://www.w3.org/2001/XMLSchema"'))
