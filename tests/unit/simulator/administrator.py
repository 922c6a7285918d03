"""What an administrator does to a simulated vCenter, in few words."""

from __future__ import annotations

import time
from typing import Any

from pyVmomi import vim

from provision.simulator.server import Simulator

Passthrough = vim.vm.device.VirtualPCIPassthrough
LONGEST_WAIT = 10.0


class Administrator:
    """A stock pyVmomi client of a simulator, logged in."""

    def __init__(self, simulator: Simulator, stub: Any = None) -> None:
        self.simulator = simulator
        service = vim.ServiceInstance("ServiceInstance", stub or simulator.stub())
        self.content = service.RetrieveContent()
        self.content.sessionManager.Login(simulator.username, simulator.password)

    def at(self, path: str) -> Any:
        """Return the object at an inventory path."""
        return self.content.searchIndex.FindByInventoryPath(path)

    @property
    def cluster(self) -> Any:
        """The cluster of the little worlds here."""
        return self.at("DC0/host/gpu")

    def host(self, name: str) -> Any:
        """Return a host by name."""
        return self.at(f"DC0/host/gpu/{name}")

    def vm(self, name: str) -> Any:
        """Return a VM or template by name."""
        return self.at(f"DC0/vm/{name}")

    def wait(self, task: Any) -> Any:
        """Return a task's result, or raise its error."""
        end = time.monotonic() + LONGEST_WAIT
        while task.info.state in ("queued", "running") and time.monotonic() < end:
            time.sleep(0.01)
        if task.info.state != "success":
            raise task.info.error or TimeoutError(task.info.descriptionId)
        return task.info.result

    def clone(self, name: str, host: str | None = "esx-01", **config: Any) -> Any:
        """Clone the template u24; `config` are fields of the ConfigSpec."""
        location = vim.vm.RelocateSpec(pool=self.cluster.resourcePool)
        if host is not None:
            location.host = self.host(host)
        spec = vim.vm.CloneSpec(location=location, config=vim.vm.ConfigSpec(**config))
        folder = self.at("DC0/vm")
        return self.wait(self.vm("u24").CloneVM_Task(folder=folder, name=name, spec=spec))

    def reconfigure(self, vm: Any, **config: Any) -> Any:
        """Reconfigure a VM; `config` are fields of the ConfigSpec."""
        return self.wait(vm.ReconfigVM_Task(vim.vm.ConfigSpec(**config)))

    def power_on(self, vm: Any) -> Any:
        """Power a VM on."""
        return self.wait(vm.PowerOnVM_Task())


def option(key: str, value: str) -> Any:
    """Return an entry of extraConfig."""
    return vim.option.OptionValue(key=key, value=value)


def mmio(size_gb: int) -> list[Any]:
    """Return the settings for 64-bit MMIO."""
    return [
        option("pciPassthru.use64bitMMIO", "TRUE"),
        option("pciPassthru.64bitMMIOSizeGB", str(size_gb)),
    ]


def add(device: Any, key: int = -1) -> Any:
    """Return the change that adds a device."""
    device.key = key
    return vim.vm.device.VirtualDeviceSpec(operation="add", device=device)


def vgpu(profile: str) -> Any:
    """Return a vGPU device."""
    return Passthrough(backing=Passthrough.VmiopBackingInfo(vgpu=profile))


def by_model(device_id: int, label: str | None = None) -> Any:
    """Return a device for any NVIDIA card with this PCI device id."""
    allowed = Passthrough.AllowedDevice(vendorId=0x10DE, deviceId=device_id)
    backing = Passthrough.DynamicBackingInfo(allowedDevice=[allowed], customLabel=label)
    return Passthrough(backing=backing)


def by_address(host: Any, address: str) -> Any:
    """Return a device for the card at an address of a host, as its discovery describes it."""
    target = host.parent.environmentBrowser.QueryConfigTarget(host=host)
    cards = {entry.pciDevice.id: entry for entry in target.pciPassthrough}
    card = cards[address]
    return pinned(address, card.pciDevice.deviceId & 0xFFFF, card.systemId)


def pinned(address: str, device_id: int, system_id: str) -> Any:
    """Return a device for the card at an address of the host with this system id."""
    backing = Passthrough.DeviceBackingInfo(
        id=address,
        deviceId=f"0x{device_id:04x}",
        systemId=system_id,
        vendorId=0x10DE,
        deviceName="GPU",
    )
    return Passthrough(backing=backing)


def edit(device: Any) -> Any:
    """Return the change that edits a device."""
    return vim.vm.device.VirtualDeviceSpec(operation="edit", device=device)


def remove(device: Any) -> Any:
    """Return the change that removes a device."""
    return vim.vm.device.VirtualDeviceSpec(operation="remove", device=device)


def settings(vm: Any) -> dict[str, str]:
    """Return a VM's `extraConfig`."""
    return {entry.key: entry.value for entry in vm.config.extraConfig}


def gpus(vm: Any) -> list[Any]:
    """Return a VM's passthrough devices."""
    return [d for d in vm.config.hardware.device if isinstance(d, Passthrough)]


def the(kind: type[Any], vm: Any) -> Any:
    """Return the only device of a kind."""
    (found,) = (d for d in vm.config.hardware.device if isinstance(d, kind))
    return found
