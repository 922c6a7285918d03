"""What vSphere tells of the GPUs of one or several hosts, before any VM exists."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from pyVmomi import vim

from provision.gpu.catalogue import CardModel
from provision.simulator.inventory import limits
from provision.simulator.inventory.cards import Card, offered

if TYPE_CHECKING:
    from provision.simulator.inventory.host import Host

_Passthrough = vim.vm.device.VirtualPCIPassthrough


def pci_passthrough(hosts: Iterable[Host]) -> list[Any]:
    """Return the cards that can be passed through by address."""
    return [
        vim.vm.PciPassthroughInfo(
            name=card.model.name, pciDevice=card.pci_device(), systemId=host.uuid
        )
        for host in hosts
        for card in host.cards
        if card.passable
    ]


def dynamic_passthrough(hosts: Iterable[Host]) -> list[Any]:
    """Return the kinds of cards that can be passed through by model, with their labels."""
    kinds = {
        (card.model.key, card.label): card for host in hosts for card in host.cards if card.passable
    }
    return [
        vim.vm.DynamicPassthroughInfo(
            name=card.model.name,
            vendorName="NVIDIA Corporation",
            deviceName=card.model.name,
            customLabel=card.label,
            vendorId=card.model.vendor_id,
            deviceId=card.device_id,
        )
        for card in kinds.values()
    ]


def _cards(hosts: Iterable[Host]) -> list[Card]:
    return [card for host in hosts for card in host.cards]


def shared_types(hosts: Iterable[Host]) -> list[Any]:
    """Return the vGPU profiles on offer by name."""
    return [
        vim.vm.PciSharedGpuPassthroughInfo(name=name, vgpu=name)
        for name in sorted(offered(_cards(hosts)))
    ]


def _device_vendor(model: CardModel) -> int:
    """Return the PCI ids as `VgpuDeviceInfo` has them: device above, vendor below."""
    return model.device_ids[0] << 16 | model.vendor_id


def vgpu_devices(hosts: Iterable[Host]) -> list[Any]:
    """Return what each kind of card can be shared as."""
    models = {card.model.key: card.model for card in _cards(hosts) if card.shareable}
    return [
        vim.vm.VgpuDeviceInfo(
            name=model.name,
            deviceName=model.name,
            deviceVendorId=_device_vendor(model),
            maxFbSizeInGib=model.framebuffer_gib,
            timeSlicedCapable=True,
            migCapable=model.mig is not None,
            computeProfileCapable=True,
            quadroProfileCapable=False,
        )
        for model in models.values()
    ]


def vgpu_profiles(hosts: Iterable[Host]) -> list[Any]:
    """Return the vGPU profiles on offer with their framebuffer."""
    return [
        vim.vm.VgpuProfileInfo(
            name=name,
            profileName=name,
            deviceVendorId=_device_vendor(model),
            fbSizeInGib=profile.framebuffer_mib // 1024,
            profileSharing="mig" if profile.mig else "timeSliced",
            profileClass="compute",
        )
        for name, (model, profile) in sorted(offered(_cards(hosts)).items())
    ]


def vendor_groups(hosts: Iterable[Host]) -> list[Any]:
    """Return the vendor device groups on offer, each with the devices it is made of."""
    found: dict[str, tuple[str, int]] = {}
    for host in hosts:
        if not limits.has(host.world.settings.api_version, limits.DEVICE_GROUPS_SINCE):
            continue
        found.update(host.device_groups)
    return [
        vim.vm.VendorDeviceGroupInfo(
            name=name,
            deviceGroupName=name,
            deviceGroupDescription=f"{members} whole cards joined by NVLink",
            componentDeviceInfo=[_component(profile, n) for n in range(members)],
        )
        for name, (profile, members) in sorted(found.items())
    ]


def _component(profile: str, sequence: int) -> Any:
    return vim.vm.VendorDeviceGroupInfo.ComponentDeviceInfo(
        type="pciPassthru",
        vendorName="NVIDIA Corporation",
        deviceName=profile,
        isConfigurable=False,
        device=_Passthrough(
            key=-1,
            backing=_Passthrough.VmiopBackingInfo(vgpu=profile),
            deviceGroupInfo=vim.vm.device.VirtualDevice.DeviceGroupInfo(
                groupInstanceKey=-1, sequenceId=sequence
            ),
        ),
    )
