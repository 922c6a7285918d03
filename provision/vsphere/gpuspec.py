"""The GPU devices that a machine shall have, and the changes that bring a VM there."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from pyVmomi import vim

from provision.gpu.catalogue import catalogue
from provision.plan.model import Action
from provision.plan.snapshot import Card, Snapshot
from provision.spec.model import GroupRequest, Machine, PassthroughRequest, VgpuRequest
from provision.vsphere.devices import VmConfig, gpu_devices
from provision.vsphere.port import ActionFailed

_Passthrough = vim.vm.device.VirtualPCIPassthrough
_Spec = vim.vm.device.VirtualDeviceSpec
_GroupInfo = vim.vm.device.VirtualDevice.DeviceGroupInfo

# Every device added in one request needs a key of its own; vCenter replaces negative ones.
FIRST_NEW_KEY = -100
GROUP_KEY = -1

Changes = tuple[list[Any], Any]


@dataclass(frozen=True, slots=True)
class CardFacts:
    """What a backing says about cards: by host and address, and the id of each host's system."""

    cards: Mapping[tuple[str, str], Card] = field(default_factory=dict)
    system_ids: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, snapshot: Snapshot) -> CardFacts:
        """Return the facts of a snapshot's hosts."""
        return cls(
            {(host.name, card.address): card for host in snapshot.hosts for card in host.cards},
            {host.name: host.system_id for host in snapshot.hosts},
        )


def gpu_changes(
    machine: Machine, action: Action, now: VmConfig, cards: CardFacts, members: Sequence[Any]
) -> Changes:
    """Return the device changes, and the device groups where those change (else None).

    What fits already stays, so that asking twice adds nothing. GPUs of no kind that vdl makes
    stay too.

    Args:
        machine: Says what is wanted.
        action: Says which cards were chosen.
        now: The VM as it is.
        cards: The facts behind the chosen cards.
        members: The devices that a wanted device group is made of, as a host offers them.
    """
    if isinstance(machine.gpu, GroupRequest):
        return _group_changes(machine.gpu.group, now, members)
    wanted = _backings(machine, action, cards)
    left = {gpu.key: gpu for gpu in now.gpus if gpu.kind != "other"}
    missing = []
    for backing in wanted:
        new = gpu_devices([_Passthrough(key=0, backing=backing)])[0]
        same = (k for k, g in left.items() if (g.value, g.label) == (new.value, new.label))
        fitting = next(same, None)
        if fitting is None:
            missing.append(backing)
        else:
            del left[fitting]
    added = [_add(n, _Passthrough(backing=backing)) for n, backing in enumerate(missing)]
    return [*_remove(now.devices, left), *added], None


def _group_changes(name: str, now: VmConfig, members: Sequence[Any]) -> Changes:
    own = [gpu for gpu in now.gpus if gpu.kind != "other"]
    if own and {(gpu.kind, gpu.value) for gpu in own} == {("group", name)}:
        return [], None
    added = [
        _add(
            n,
            _Passthrough(
                backing=member.backing,
                deviceGroupInfo=_GroupInfo(groupInstanceKey=GROUP_KEY, sequenceId=n),
            ),
        )
        for n, member in enumerate(members)
    ]
    group = vim.vm.VirtualDeviceGroups.VendorDeviceGroup(
        groupInstanceKey=GROUP_KEY, deviceGroupName=name
    )
    changes = [*_remove(now.devices, {gpu.key for gpu in own}), *added]
    return changes, vim.vm.VirtualDeviceGroups(deviceGroup=[group])


def _add(index: int, device: Any) -> Any:
    device.key = FIRST_NEW_KEY - index
    return _Spec(operation=_Spec.Operation.add, device=device)


def _remove(devices: Sequence[Any], keys: Mapping[int, Any] | set[int]) -> list[Any]:
    return [
        _Spec(operation=_Spec.Operation.remove, device=device)
        for device in devices
        if device.key in keys
    ]


def _backings(machine: Machine, action: Action, cards: CardFacts) -> list[Any]:
    gpu = machine.gpu
    if isinstance(gpu, VgpuRequest):
        return [_Passthrough.VmiopBackingInfo(vgpu=gpu.vgpu) for _ in range(gpu.count)]
    if isinstance(gpu, PassthroughRequest) and gpu.pinned is not None:
        return [_pinned(*gpu.pinned, cards)]
    if isinstance(gpu, PassthroughRequest):
        return [_by_model(gpu, action, cards) for _ in range(gpu.count)]
    return []


def _pinned(host: str, address: str, cards: CardFacts) -> Any:
    card = cards.cards.get((host, address))
    if card is None:
        raise ActionFailed(
            f"{host} has no card at {address}",
            subject=address,
            fix="plan again; `vdl gpus` shows the cards of each host",
        )
    return _Passthrough.DeviceBackingInfo(
        id=address,
        deviceId=f"0x{card.device_id:x}",
        systemId=cards.system_ids.get(host, ""),
        vendorId=_signed(card.vendor_id),
        deviceName=card.name,
    )


def _by_model(request: PassthroughRequest, action: Action, cards: CardFacts) -> Any:
    """Return a backing that takes every form of the chosen cards' model in the cluster.

    A model may come with several PCI ids (PCIe, SXM). Naming all that the cluster has keeps
    HA and DRS free to start the VM elsewhere. With a label, only cards that have it are taken.
    """
    chosen = [cards.cards.get((choice.host, choice.address)) for choice in action.cards]
    found = [catalogue().by_pci(c.vendor_id, c.device_id) for c in chosen if c is not None]
    models = [model for model in found if model is not None]
    models = models or list(catalogue().matching(request.model or ""))
    present = {(card.vendor_id, card.device_id) for card in cards.cards.values()}
    known = {(model.vendor_id, device) for model in models for device in model.device_ids}
    allowed = [
        _Passthrough.AllowedDevice(vendorId=vendor, deviceId=device)
        for vendor, device in sorted(known & present or known)
    ]
    return _Passthrough.DynamicBackingInfo(
        deviceName="", allowedDevice=allowed, customLabel=request.label
    )


def _signed(number: int) -> int:
    """Return an unsigned 16-bit number as a `short` of the vSphere API."""
    return number - 0x10000 if number & 0x8000 else number
