"""Cases about making, changing and running VMs."""

from __future__ import annotations

import uuid
from typing import Any

from pyVmomi import vim

from tests.contract.site import Site, fault, outcome

Passthrough = vim.vm.device.VirtualPCIPassthrough


def _option(key: str, value: str) -> Any:
    return vim.option.OptionValue(key=key, value=value)


def _extra(vm: Any) -> dict[str, str]:
    return {o.key: o.value for o in vm.config.extraConfig if o.key.startswith("vdl.")}


def _change(operation: str, device: Any, *, file: str | None = None) -> Any:
    return vim.vm.device.VirtualDeviceSpec(operation=operation, device=device, fileOperation=file)


def _vgpu(key: int = -1, profile: str = "grid_a100d-10c") -> Any:
    return Passthrough(key=key, backing=Passthrough.VmiopBackingInfo(vgpu=profile))


def _network_card(key: int = -1) -> Any:
    backing = vim.vm.device.VirtualEthernetCard.NetworkBackingInfo(deviceName="VM Network")
    return vim.vm.device.VirtualVmxnet3(key=key, backing=backing)


def _disk(controller: int, unit: int, key: int = -1) -> Any:
    backing = vim.vm.device.VirtualDisk.FlatVer2BackingInfo(diskMode="persistent", fileName="")
    return vim.vm.device.VirtualDisk(
        key=key, controllerKey=controller, unitNumber=unit, capacityInKB=2**20, backing=backing
    )


def _devices(vm: Any, kind: type[Any]) -> list[Any]:
    return [d for d in vm.config.hardware.device if isinstance(d, kind)]


def _clone(site: Site, source: Any = None, name: str = "made", **spec: Any) -> str:
    """Clone and return how that ended."""
    spec.setdefault("location", site.location())
    task = (source or site.vm).CloneVM_Task(
        folder=site.folder, name=name, spec=vim.vm.CloneSpec(**spec)
    )
    return site.ended(task)


def clone_with_a_config(site: Site) -> Any:
    """What the clone call carries is there in the clone."""
    bios, instance = str(uuid.UUID(int=1)), str(uuid.UUID(int=2))
    vm = site.clone(
        numCPUs=3,
        memoryMB=64,
        uuid=bios,
        instanceUuid=instance,
        extraConfig=[_option("vdl.lab", "vroom")],
    )
    config = vm.config
    return {
        "name": vm.name,
        "cpus": config.hardware.numCPU,
        "memory": config.hardware.memoryMB,
        "uuid": config.uuid == bios,
        "instance": config.instanceUuid == instance,
        "found": site.content.searchIndex.FindByUuid(
            uuid=instance, vmSearch=True, instanceUuid=True
        )
        == vm,
        "extra": _extra(vm),
        "power": site.read(vm, "runtime.powerState"),
        "host": site.read(vm, "runtime.host") == site.host,
        "pool": vm.resourcePool == site.cluster.resourcePool,
        "folder": vm.parent == site.folder,
    }


def clone_with_a_vgpu(site: Site) -> Any:
    vm = site.clone(deviceChange=[_change("add", _vgpu())])
    return [[d.key > 0, d.backing.vgpu] for d in _devices(vm, Passthrough)]


def clone_keeps_the_sources_disk(site: Site) -> Any:
    source = [d.capacityInKB for d in _devices(site.vm, vim.vm.device.VirtualDisk)]
    return [d.capacityInKB for d in _devices(site.clone(), vim.vm.device.VirtualDisk)] == source


def clone_has_an_identity_of_its_own(site: Site) -> Any:
    one, other = site.vm.config, site.clone().config
    return {
        "uuid": one.uuid != other.uuid,
        "instance": one.instanceUuid != other.instanceUuid,
        "files": one.files.vmPathName != other.files.vmPathName,
    }


def clone_has_a_mac_address_of_its_own(site: Site) -> Any:
    cards = [
        card
        for vm in (site.vm, site.clone())
        for card in _devices(vm, vim.vm.device.VirtualEthernetCard)
    ]
    return len({card.macAddress for card in cards}) == len(cards)


def clone_locks_memory_and_sets_firmware(site: Site) -> Any:
    vm = site.clone(memoryReservationLockedToMax=True, firmware="efi")
    return [bool(vm.config.memoryReservationLockedToMax), vm.config.firmware]


def clone_to_a_taken_name(site: Site) -> Any:
    return [_clone(site, name="DC0_C0_RP0_VM1"), len(site.folder.childEntity)]


def clone_that_powers_on(site: Site) -> Any:
    ended = _clone(site, powerOn=True)
    return [ended, site.read(site.at("DC0/vm/made"), "runtime.powerState")]


def clone_as_template(site: Site) -> Any:
    return [_clone(site, template=True), site.at("DC0/vm/made").config.template]


def pool_of_a_template(site: Site) -> Any:
    site.vm.MarkAsTemplate()
    return site.vm.resourcePool


def clone_of_a_template(site: Site) -> Any:
    site.vm.MarkAsTemplate()
    ended = _clone(site)
    return [ended, site.at("DC0/vm/made").config.template]


def clone_of_a_template_without_a_pool(site: Site) -> Any:
    site.vm.MarkAsTemplate()
    return _clone(site, location=vim.vm.RelocateSpec(host=site.host))


def clone_result(site: Site) -> Any:
    return site.clone() == site.at("DC0/vm/made")


def clone_into_a_folder_of_hosts(site: Site) -> Any:
    spec = vim.vm.CloneSpec(location=site.location())
    folder = site.at("DC0/host")
    return outcome(lambda: site.wait(site.vm.CloneVM_Task(folder=folder, name="made", spec=spec)))


def _create(site: Site, name: str = "new", **config: Any) -> str:
    files = vim.vm.FileInfo(vmPathName="[LocalDS_0]")
    spec = vim.vm.ConfigSpec(
        **{"name": name, "files": files, "numCPUs": 2, "memoryMB": 256, **config}
    )
    pool = site.cluster.resourcePool
    return outcome(lambda: site.wait(site.folder.CreateVM_Task(config=spec, pool=pool)))


def vm_from_nothing(site: Site) -> Any:
    ended = _create(site, guestId="ubuntu64Guest")
    hardware = site.at("DC0/vm/new").config.hardware
    return [ended, hardware.numCPU, hardware.memoryMB, site.at("DC0/vm/new").config.guestId]


def vm_from_nothing_with_a_taken_name(site: Site) -> Any:
    return _create(site, name="DC0_C0_RP0_VM0")


def vm_from_nothing_without_files(site: Site) -> Any:
    return _create(site, files=None)


def vm_from_nothing_on_an_unknown_datastore(site: Site) -> Any:
    return _create(site, files=vim.vm.FileInfo(vmPathName="[nowhere]"))


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
        site.reconfigure(vm, extraConfig=[_option(k, v) for k, v in options.items()])
        seen.append(_extra(vm))
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
    changes = [_change("add", _network_card(-1)), _change("add", _network_card(-2))]
    ended = site.reconfigure(vm, deviceChange=changes)
    cards = _devices(vm, vim.vm.device.VirtualEthernetCard)
    keys = {d.key for d in cards}
    return [ended, len(keys), min(keys) > 0, len({d.macAddress for d in cards})]


def added_vgpus(site: Site) -> Any:
    changes = [_change("add", _vgpu(-1)), _change("add", _vgpu(-2))]
    ended = site.reconfigure(site.vm, deviceChange=changes)
    keys = {d.key for d in _devices(site.vm, Passthrough)}
    return [ended, len(keys), min(keys) > 0]


def ranges_of_device_keys(site: Site) -> Any:
    """Each kind of device has keys of its own range."""
    changes = [_change("add", _vgpu(-1)), _change("add", _network_card(-2))]
    site.reconfigure(site.vm, deviceChange=changes)
    kinds = (Passthrough, vim.vm.device.VirtualEthernetCard)
    return [[d.key for d in _devices(site.vm, kind)] for kind in kinds]


def devices_added_under_one_key(site: Site) -> Any:
    changes = [_change("add", _vgpu(-1)), _change("add", _vgpu(-1))]
    ended = site.reconfigure(site.vm, deviceChange=changes)
    return [ended, len(_devices(site.vm, Passthrough))]


def added_disk(site: Site) -> Any:
    vm = site.vm
    controller = _devices(vm, vim.vm.device.VirtualSCSIController)[0].key
    added = _change("add", _disk(controller, 1), file="create")
    ended = site.reconfigure(vm, deviceChange=[added])
    disks = _devices(vm, vim.vm.device.VirtualDisk)
    return [ended, len(disks), disks[-1].capacityInKB, disks[-1].unitNumber]


def removed_device(site: Site) -> Any:
    vm = site.vm
    site.reconfigure(vm, deviceChange=[_change("add", _vgpu())])
    (device,) = _devices(vm, Passthrough)
    ended = site.reconfigure(vm, deviceChange=[_change("remove", device)])
    return [ended, len(_devices(vm, Passthrough))]


def edited_device(site: Site) -> Any:
    """A vGPU gets another profile and keeps its key."""
    vm = site.vm
    site.reconfigure(vm, deviceChange=[_change("add", _vgpu())])
    (device,) = _devices(vm, Passthrough)
    device.backing.vgpu = "grid_a100d-20c"
    ended = site.reconfigure(vm, deviceChange=[_change("edit", device)])
    (edited,) = _devices(vm, Passthrough)
    return [ended, edited.key == device.key, edited.backing.vgpu]


def removal_of_an_unknown_device(site: Site) -> Any:
    return site.reconfigure(site.vm, deviceChange=[_change("remove", _vgpu(key=13099))])


def edit_of_an_unknown_device(site: Site) -> Any:
    return site.reconfigure(site.vm, deviceChange=[_change("edit", _vgpu(key=13099))])


def card_on_an_unknown_network(site: Site) -> Any:
    card = _network_card()
    card.backing.deviceName = "nowhere"
    return site.reconfigure(site.vm, deviceChange=[_change("add", card)])


def disk_without_a_controller(site: Site) -> Any:
    change = _change("add", _disk(controller=9999, unit=0), file="create")
    return site.reconfigure(site.vm, deviceChange=[change])


def device_groups(site: Site) -> Any:
    """Members of a vendor device group come together and keep its name."""
    info = vim.vm.device.VirtualDevice.DeviceGroupInfo
    members = [_vgpu(-1 - n, "grid_a100d-80c") for n in range(2)]
    for n, member in enumerate(members):
        member.deviceGroupInfo = info(groupInstanceKey=-1, sequenceId=n)
    group = vim.vm.VirtualDeviceGroups.VendorDeviceGroup(
        groupInstanceKey=-1, deviceGroupName="Nvidia:2@grid_a100d-80c%NVLink"
    )
    ended = site.reconfigure(
        site.vm,
        deviceChange=[_change("add", member) for member in members],
        deviceGroups=vim.vm.VirtualDeviceGroups(deviceGroup=[group]),
    )
    groups = site.vm.config.deviceGroups
    return [ended, [g.deviceGroupName for g in groups.deviceGroup] if groups else None]


def power_states(site: Site) -> Any:
    """What is possible in which power state."""
    vm = site.vm
    steps = (
        ("off: off", vm.PowerOffVM_Task),
        ("off: reset", vm.ResetVM_Task),
        ("off: suspend", vm.SuspendVM_Task),
        ("off: on", vm.PowerOnVM_Task),
        ("on: on", vm.PowerOnVM_Task),
        ("on: reset", vm.ResetVM_Task),
        ("on: destroy", vm.Destroy_Task),
        ("on: suspend", vm.SuspendVM_Task),
        ("suspended: on", vm.PowerOnVM_Task),
        ("on: off", vm.PowerOffVM_Task),
    )
    return {name: outcome(lambda step=step: site.wait(step())) for name, step in steps}


def power_state_is_shown(site: Site) -> Any:
    vm, seen = site.vm, []
    for step in (vm.PowerOnVM_Task, vm.SuspendVM_Task, vm.PowerOnVM_Task, vm.PowerOffVM_Task):
        site.wait(step())
        paths = ("runtime.powerState", "summary.runtime.powerState")
        seen.append([str(site.read(vm, path)) for path in paths])
    return seen


def guest_operations_of_a_vm_that_is_off(site: Site) -> Any:
    vm = site.vm
    return [fault(vm.ShutdownGuest), fault(vm.RebootGuest)]


def guest_operations_without_tools(site: Site) -> Any:
    vm = site.power_on(site.vm)
    return [fault(vm.ShutdownGuest), fault(vm.RebootGuest)]


def destroyed_vm(site: Site) -> Any:
    vm = site.vm
    ended = site.ended(vm.Destroy_Task())
    return [ended, site.at("DC0/vm/DC0_C0_RP0_VM0"), fault(lambda: vm.name), fault(vm.Destroy_Task)]


def unregistered_vm(site: Site) -> Any:
    vm = site.vm
    vm.UnregisterVM()
    return [site.at("DC0/vm/DC0_C0_RP0_VM0"), fault(lambda: vm.name)]


def unregistering_a_running_vm(site: Site) -> Any:
    return fault(site.power_on(site.vm).UnregisterVM)


def template_and_back(site: Site) -> Any:
    vm = site.vm
    vm.MarkAsTemplate()
    as_template = vm.config.template
    vm.MarkAsVirtualMachine(pool=site.cluster.resourcePool, host=site.host)
    return [as_template, vm.config.template, vm.resourcePool == site.cluster.resourcePool]


def template_is_powered_on(site: Site) -> Any:
    vm = site.vm
    vm.MarkAsTemplate()
    return outcome(lambda: site.wait(vm.PowerOnVM_Task()))


def running_vm_becomes_a_template(site: Site) -> Any:
    return fault(site.power_on(site.vm).MarkAsTemplate)


def vm_is_made_a_vm(site: Site) -> Any:
    return fault(lambda: site.vm.MarkAsVirtualMachine(pool=site.cluster.resourcePool))


def hardware_of_a_running_vm(site: Site) -> Any:
    """Without hot-add, CPUs stay as they are while the VM runs."""
    return site.reconfigure(site.power_on(site.vm), numCPUs=2)


def vgpu_of_a_running_vm(site: Site) -> Any:
    """PCI passthrough devices can't be added to a VM that runs."""
    return site.reconfigure(site.power_on(site.vm), deviceChange=[_change("add", _vgpu())])


def running_vm_without_room_for_its_vgpu(site: Site) -> Any:
    """No host here has a card."""
    vm = site.vm
    site.reconfigure(vm, memoryReservationLockedToMax=True, deviceChange=[_change("add", _vgpu())])
    return outcome(lambda: site.wait(vm.PowerOnVM_Task()))


def hardware_upgrade(site: Site) -> Any:
    return [site.ended(site.vm.UpgradeVM_Task("vmx-20")), site.vm.config.version]


def hardware_upgrade_twice(site: Site) -> Any:
    site.wait(site.vm.UpgradeVM_Task("vmx-20"))
    return site.ended(site.vm.UpgradeVM_Task("vmx-20"))


def hardware_upgrade_of_a_running_vm(site: Site) -> Any:
    return site.ended(site.power_on(site.vm).UpgradeVM_Task("vmx-20"))


def hardware_upgrade_to_an_unknown_version(site: Site) -> Any:
    return site.ended(site.vm.UpgradeVM_Task("vmx-99"))


def relocation(site: Site) -> Any:
    vm, other = site.vm, site.at("DC0/host/DC0_C0/DC0_C0_H1")
    ended = site.ended(vm.RelocateVM_Task(vim.vm.RelocateSpec(host=other)))
    return [ended, site.read(vm, "runtime.host") == other, vm in other.vm, vm in site.host.vm]


def maintenance_mode(site: Site) -> Any:
    host = site.host
    entered = site.ended(host.EnterMaintenanceMode_Task(timeout=0))
    inside = host.runtime.inMaintenanceMode
    left = site.ended(host.ExitMaintenanceMode_Task(timeout=0))
    return [entered, inside, left, host.runtime.inMaintenanceMode]


def snapshot_of_a_vm_with_a_vgpu(site: Site) -> Any:
    vm = site.vm
    site.reconfigure(vm, deviceChange=[_change("add", _vgpu())])
    task = vm.CreateSnapshot_Task(name="s", memory=False, quiesce=False)
    return site.ended(task)


def config_target(site: Site) -> Any:
    """What a cluster can give to VMs: the datastores and networks of its hosts."""
    target = site.cluster.environmentBrowser.QueryConfigTarget(host=site.host)
    return [[d.name for d in target.datastore], [n.name for n in target.network]]


def newest_hardware_version(site: Site) -> Any:
    browser = site.cluster.environmentBrowser
    (default,) = (o.key for o in browser.QueryConfigOptionDescriptor() if o.defaultConfigOption)
    return default


def graphics_and_passthrough_settings(site: Site) -> Any:
    """The managers that prepare a host's cards, and a card that is not there."""
    manager = site.host.configManager
    unknown = vim.host.PciPassthruConfig(id="0000:ff:00.0", passthruEnabled=True)
    return [
        manager.graphicsManager is not None,
        manager.pciPassthruSystem is not None
        and fault(lambda: manager.pciPassthruSystem.UpdatePassthruConfig([unknown])),
    ]


def host_reboot(site: Site) -> Any:
    host = site.host
    return outcome(lambda: site.wait(host.RebootHost_Task(force=True)))
