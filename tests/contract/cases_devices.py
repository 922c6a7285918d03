"""Cases about reconfiguring VMs."""

from __future__ import annotations

from typing import Any

from pyVmomi import vim

from tests.contract.site import Site
from tests.contract.specs import (
    Passthrough,
    change,
    devices,
    disk,
    extra,
    network_card,
    option,
    vgpu,
)


def reconfigured_size(site: Site) -> Any:
    ended = site.reconfigure(site.vm, numCPUs=4, memoryMB=128)
    hardware = site.vm.config.hardware
    return [ended, hardware.numCPU, hardware.memoryMB]


def reconfigured_name(site: Site) -> Any:
    return [site.reconfigure(site.vm, name="other"), site.at("DC0/vm/other") is not None]


def reconfigured_to_a_taken_name(site: Site) -> Any:
    return site.reconfigure(site.vm, name="DC0_C0_RP0_VM1")


def reconfigured_extra_config(site: Site) -> Any:
    """Set, change, remove by an empty value; what is not named stays."""
    vm, seen = site.vm, []
    for options in (
        {"vdl.a": "1", "vdl.b": "2"},
        {"vdl.a": "3"},
        {"vdl.b": ""},
    ):
        site.reconfigure(vm, extraConfig=[option(k, v) for k, v in options.items()])
        seen.append(extra(vm))
    return seen


def reconfigured_with_an_old_change_version(site: Site) -> Any:
    vm = site.vm
    old = vm.config.changeVersion
    first = site.reconfigure(vm, numCPUs=2, changeVersion=old)
    return [first, site.reconfigure(vm, numCPUs=4, changeVersion="1970-01-01T00:00:00.0Z")]


def reconfigured_memory_is_locked(site: Site) -> Any:
    ended = site.reconfigure(site.vm, memoryReservationLockedToMax=True)
    return [ended, site.vm.config.memoryReservationLockedToMax]


def reconfigured_memory_reservation(site: Site) -> Any:
    allocation = vim.ResourceAllocationInfo(reservation=32)
    ended = site.reconfigure(site.vm, memoryAllocation=allocation)
    return [ended, site.vm.config.memoryAllocation.reservation]


def reservation_of_more_than_the_memory(site: Site) -> Any:
    allocation = vim.ResourceAllocationInfo(reservation=2**20)
    return site.reconfigure(site.vm, memoryAllocation=allocation)


def reconfigured_annotation_and_firmware(site: Site) -> Any:
    ended = site.reconfigure(site.vm, annotation="a note", firmware="efi")
    return [ended, site.vm.config.annotation, site.vm.config.firmware]


def added_network_cards(site: Site) -> Any:
    """Two cards under two negative keys get keys and MAC addresses of their own."""
    vm = site.vm
    changes = [change("add", network_card(-1)), change("add", network_card(-2))]
    ended = site.reconfigure(vm, deviceChange=changes)
    cards = devices(vm, vim.vm.device.VirtualEthernetCard)
    keys = {d.key for d in cards}
    return [ended, len(keys), min(keys) > 0, len({d.macAddress for d in cards})]


def added_vgpus(site: Site) -> Any:
    changes = [change("add", vgpu(-1)), change("add", vgpu(-2))]
    ended = site.reconfigure(site.vm, deviceChange=changes)
    keys = {d.key for d in devices(site.vm, Passthrough)}
    return [ended, len(keys), min(keys) > 0]


def ranges_of_device_keys(site: Site) -> Any:
    """Each kind of device has keys of its own range."""
    changes = [change("add", vgpu(-1)), change("add", network_card(-2))]
    site.reconfigure(site.vm, deviceChange=changes)
    kinds = (Passthrough, vim.vm.device.VirtualEthernetCard)
    return [[d.key for d in devices(site.vm, kind)] for kind in kinds]


def devices_added_under_one_key(site: Site) -> Any:
    changes = [change("add", vgpu(-1)), change("add", vgpu(-1))]
    ended = site.reconfigure(site.vm, deviceChange=changes)
    return [ended, len(devices(site.vm, Passthrough))]


def added_disk(site: Site) -> Any:
    vm = site.vm
    controller = devices(vm, vim.vm.device.VirtualSCSIController)[0].key
    added = change("add", disk(controller, 1), file="create")
    ended = site.reconfigure(vm, deviceChange=[added])
    disks = devices(vm, vim.vm.device.VirtualDisk)
    return [ended, len(disks), disks[-1].capacityInKB, disks[-1].unitNumber]


def removed_device(site: Site) -> Any:
    vm = site.vm
    site.reconfigure(vm, deviceChange=[change("add", vgpu())])
    (device,) = devices(vm, Passthrough)
    ended = site.reconfigure(vm, deviceChange=[change("remove", device)])
    return [ended, len(devices(vm, Passthrough))]


def edited_device(site: Site) -> Any:
    """A vGPU gets another profile and keeps its key."""
    vm = site.vm
    site.reconfigure(vm, deviceChange=[change("add", vgpu())])
    (device,) = devices(vm, Passthrough)
    device.backing.vgpu = "grid_a100d-20c"
    ended = site.reconfigure(vm, deviceChange=[change("edit", device)])
    (edited,) = devices(vm, Passthrough)
    return [ended, edited.key == device.key, edited.backing.vgpu]


def removal_of_an_unknown_device(site: Site) -> Any:
    return site.reconfigure(site.vm, deviceChange=[change("remove", vgpu(key=13099))])


def edit_of_an_unknown_device(site: Site) -> Any:
    return site.reconfigure(site.vm, deviceChange=[change("edit", vgpu(key=13099))])


def card_on_an_unknown_network(site: Site) -> Any:
    card = network_card()
    card.backing.deviceName = "nowhere"
    return site.reconfigure(site.vm, deviceChange=[change("add", card)])


def disk_without_a_controller(site: Site) -> Any:
    added = change("add", disk(controller=9999, unit=0), file="create")
    return site.reconfigure(site.vm, deviceChange=[added])


def device_groups(site: Site) -> Any:
    """Members of a vendor device group come together and keep its name."""
    info = vim.vm.device.VirtualDevice.DeviceGroupInfo
    members = [vgpu(-1 - n, "grid_a100d-80c") for n in range(2)]
    for n, member in enumerate(members):
        member.deviceGroupInfo = info(groupInstanceKey=-1, sequenceId=n)
    group = vim.vm.VirtualDeviceGroups.VendorDeviceGroup(
        groupInstanceKey=-1, deviceGroupName="Nvidia:2@grid_a100d-80c%NVLink"
    )
    ended = site.reconfigure(
        site.vm,
        deviceChange=[change("add", member) for member in members],
        deviceGroups=vim.vm.VirtualDeviceGroups(deviceGroup=[group]),
    )
    groups = site.vm.config.deviceGroups
    return [ended, [g.deviceGroupName for g in groups.deviceGroup] if groups else None]
