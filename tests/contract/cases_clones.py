"""Cases about making VMs."""

from __future__ import annotations

import uuid
from typing import Any

from pyVmomi import vim

from tests.contract.site import Site, outcome
from tests.contract.specs import Passthrough, change, devices, extra, option, vgpu


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
        extraConfig=[option("vdl.lab", "vroom")],
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
        "extra": extra(vm),
        "power": site.read(vm, "runtime.powerState"),
        "host": site.read(vm, "runtime.host") == site.host,
        "pool": vm.resourcePool == site.cluster.resourcePool,
        "folder": vm.parent == site.folder,
    }


def clone_with_a_vgpu(site: Site) -> Any:
    vm = site.clone(deviceChange=[change("add", vgpu())])
    return [[d.key > 0, d.backing.vgpu] for d in devices(vm, Passthrough)]


def clone_keeps_the_sources_disk(site: Site) -> Any:
    source = [d.capacityInKB for d in devices(site.vm, vim.vm.device.VirtualDisk)]
    return [d.capacityInKB for d in devices(site.clone(), vim.vm.device.VirtualDisk)] == source


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
        for card in devices(vm, vim.vm.device.VirtualEthernetCard)
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
