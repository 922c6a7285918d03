"""Snapshots in, inventories out: each case is a file in tests/data/guests/inventory."""

import ipaddress
import zlib
from pathlib import Path
from typing import Any

import pytest
import yaml

from provision.errors import VdlError
from provision.gpu.types import CardMode
from provision.guests.inventory import build_inventory, static_inventory
from provision.guests.machines import guests_of, usable
from provision.plan.snapshot import (
    AssignmentPolicy,
    Card,
    CardUse,
    Connection,
    DeviceGroupInfo,
    GpuDevice,
    Host,
    Power,
    VgpuProfileInfo,
    Vm,
)

CASES = sorted((Path(__file__).parents[2] / "data/guests/inventory").glob("*.yaml"))
GIB = 2**30


def own_address(name: str) -> ipaddress.IPv4Address:
    """An address that only a machine of this name has."""
    return ipaddress.IPv4Address("10.0.0.0") + zlib.crc32(name.encode()) % 2**24


def make_vm(fields: dict[str, Any]) -> Vm:
    machine = fields.get("machine", fields["name"])
    return Vm(
        id=fields.get("id", f"vm-{fields['name']}"),
        name=fields["name"],
        path=f"/DC0/vm/{fields['name']}",
        instance_uuid=f"uuid-{fields['name']}",
        power=Power(fields.get("power", "on")),
        host_id=fields.get("host"),
        cpus=2,
        memory=GIB,
        memory_reserved=0,
        gpus=tuple(GpuDevice(key=i, **gpu) for i, gpu in enumerate(fields.get("gpus", []))),
        stamps={"vdl.lab": fields.get("lab", "vroom"), "vdl.machine": machine},
        addresses=tuple(fields.get("addresses", [str(own_address(fields["name"]))])),
        guestinfo=fields.get("guestinfo", {}),
    )


def make_host(fields: dict[str, Any]) -> Host:
    return Host(
        id=fields["id"],
        name=fields["name"],
        connection=Connection.CONNECTED,
        in_maintenance=False,
        cpus=64,
        memory=1024 * GIB,
        memory_reserved=0,
        api_version="8.0.3.0",
        shared_direct=True,
        policy=AssignmentPolicy.PERFORMANCE,
        cards=tuple(
            Card(
                address=card["address"],
                vendor_id=0x10DE,
                device_id=0x20B5,
                name=card["name"],
                mode=CardMode(card["mode"]),
                framebuffer=card["framebuffer_gib"] * GIB,
                uses=tuple(CardUse(vm_id) for vm_id in card.get("used_by", [])),
            )
            for card in fields.get("cards", [])
        ),
        profiles=tuple(
            VgpuProfileInfo(name, gib * GIB) for name, gib in fields.get("profiles", {}).items()
        ),
        device_groups=tuple(
            DeviceGroupInfo(name, tuple(GpuDevice(key=-i, **one) for i, one in enumerate(members)))
            for name, members in fields.get("device_groups", {}).items()
        ),
    )


@pytest.mark.parametrize("path", CASES, ids=lambda path: path.stem)
def test_case(path: Path) -> None:
    case = yaml.safe_load(path.read_text())
    vms = [make_vm(vm) for vm in case["vms"]]
    hosts = [make_host(host) for host in case.get("hosts", [])]
    simulated = case.get("simulated", False)

    inventory = build_inventory("vroom", vms, hosts=hosts, simulated=simulated)
    _, left_out = guests_of("vroom", vms, simulated=simulated)

    groups = {name: group["hosts"] for name, group in inventory.items() if name[0] not in "_a"}
    assert groups == case.get("groups", {})
    for machine, expected in case.get("variables", {}).items():
        variables = inventory["_meta"]["hostvars"][machine]
        assert {name: variables.get(name) for name in expected} == expected
    assert left_out.keys() == case.get("left_out", {}).keys()
    for machine, words in case.get("left_out", {}).items():
        assert words in left_out[machine]


def test_fault_45_a_name_from_vcenter_is_never_a_template() -> None:
    vm = make_vm({"name": "vroom-cpu-1", "host": "host-1"})
    host = make_host({"id": "host-1", "name": "{{ lookup('pipe', 'id') }}"})
    with pytest.raises(VdlError, match="vdl_host"):
        build_inventory("vroom", [vm], hosts=[host])


def test_a_static_inventory_holds_the_same_hosts_and_groups() -> None:
    inventory = build_inventory(
        "vroom", [make_vm({"name": "vroom-cpu-1", "addresses": ["10.0.0.5"]})]
    )
    static = static_inventory(inventory)["all"]
    assert static["hosts"]["vroom-cpu-1"]["ansible_host"] == "10.0.0.5"
    assert static["children"]["group_cpu"]["hosts"] == {"vroom-cpu-1": None}


@pytest.mark.parametrize(
    ("address", "simulated", "expected"),
    [
        ("10.1.2.3", False, True),
        ("2001:db8::5", False, True),
        ("fe80::1", False, False),
        ("fe80::1%eth0", False, False),
        ("2001:db8::5%$(id)", False, False),
        ("169.254.3.4", False, False),
        ("127.0.0.1", False, False),
        ("127.64.0.1", True, True),
        ("192.168.122.1", False, False),
        ("172.17.0.1", False, False),
        ("0.0.0.0", True, False),  # noqa: S104 - the point is that it is refused
        ("10.0.0.5 -oProxyCommand=id", False, False),
        ("", False, False),
    ],
)
def test_which_addresses_lead_to_a_guest(address: str, *, simulated: bool, expected: bool) -> None:
    assert usable(address, simulated=simulated) is expected


def test_only_a_simulated_guest_that_boots_has_a_system_to_manage() -> None:
    served = make_vm({"name": "vroom-cpu-1", "addresses": ["127.64.0.1"]})
    booted = make_vm({"name": "vroom-cpu-2", "addresses": ["198.18.7.2"]})
    inventory = build_inventory("vroom", [served, booted], simulated=True)
    own, other = inventory["_meta"]["hostvars"].values()
    assert own["vdl_simulated"]
    assert other["vdl_simulated"]
    assert (own["vdl_managed"], "payload_python" in own) == (False, True)
    assert (other["vdl_managed"], "payload_python" in other) == (True, False)


def test_machines_that_report_one_address_are_left_out() -> None:
    vms = [
        make_vm({"name": f"vroom-cpu-{n}", "addresses": [address]})
        for n, address in enumerate(["10.0.0.5", "10.0.0.6", "10.0.0.5"], start=1)
    ]
    guests, left_out = guests_of("vroom", vms)
    assert [guest.name for guest in guests] == ["vroom-cpu-2"]
    said = "vroom-cpu-1 and vroom-cpu-3 report the same address, 10.0.0.5: look at their networks"
    assert left_out == {"vroom-cpu-1": said, "vroom-cpu-3": said}
