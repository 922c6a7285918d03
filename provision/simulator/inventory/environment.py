"""The environment browser of a cluster: what VMs may be made of on which host."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pyVmomi import vim

from provision.simulator.engine.objects import SimObject, method
from provision.simulator.engine.schema import build
from provision.simulator.inventory import faults, gpuinfo, limits

if TYPE_CHECKING:
    from provision.simulator.engine.call import Call
    from provision.simulator.inventory.compute import Cluster
    from provision.simulator.inventory.host import Host

_PassthroughOption = vim.vm.device.VirtualPCIPassthroughOption


class EnvironmentBrowser(SimObject):
    """`cluster.environmentBrowser`; a VM's own browser is that of its cluster."""

    wsdl_type = vim.EnvironmentBrowser
    prefix = "envbrowser"

    def __init__(self, cluster: Cluster) -> None:
        self.cluster = cluster
        super().__init__(cluster.world, f"envbrowser-{cluster.moid}")

    def _hosts(self, host: Any) -> list[Host]:
        """Return the host asked for, or every host that vCenter reaches."""
        if host is None:
            return [h for h in self.cluster.hosts if h.connection == "connected"]
        found = self.cluster.inventory.host(host)
        if found.cluster is not self.cluster:
            raise faults.invalid_argument("host", f"{found.name} is not in {self.cluster.name}.")
        return [found]

    @method("QueryConfigTarget")
    def query_target(self, _: Call, host: Any = None) -> Any:
        """Return the devices, networks and datastores of a host, or of all hosts together."""
        hosts = self._hosts(host)
        return vim.vm.ConfigTarget(
            numCpus=max((2 * h.cpus for h in hosts), default=0),
            numCpuCores=max((h.cpus for h in hosts), default=0),
            numNumaNodes=max((h.sockets for h in hosts), default=0),
            maxCpusPerHost=max((2 * h.cpus for h in hosts), default=0),
            smcPresent=False,
            maxMemMBOptimalPerf=max((h.memory for h in hosts), default=0) // 2**20,
            supportedMaxMemMB=limits.MAX_MEMORY_MB,
            pciPassthrough=gpuinfo.pci_passthrough(hosts),
            dynamicPassthrough=gpuinfo.dynamic_passthrough(hosts),
            sharedGpuPassthroughTypes=gpuinfo.shared_types(hosts),
            vgpuDeviceInfo=gpuinfo.vgpu_devices(hosts),
            vgpuProfileInfo=gpuinfo.vgpu_profiles(hosts),
            vendorDeviceGroupInfo=gpuinfo.vendor_groups(hosts),
            datastore=self._datastores(hosts),
            network=self._networks(hosts),
        )

    @staticmethod
    def _datastores(hosts: list[Host]) -> list[Any]:
        stores = dict.fromkeys(store for host in hosts for store in host.datastores)
        return [
            vim.vm.DatastoreInfo(
                name=store.name,
                datastore=store.summary(),
                capability=store.capability(),
                maxFileSize=64 * 2**40,
                mode="readWrite",
            )
            for store in stores
        ]

    @staticmethod
    def _networks(hosts: list[Host]) -> list[Any]:
        networks = dict.fromkeys(network for host in hosts for network in host.networks)
        return [vim.vm.NetworkInfo(name=n.name, network=n.summary()) for n in networks]

    @method("QueryConfigOptionDescriptor")
    def query_descriptor(self, _: Call) -> list[Any]:
        """Return the hardware versions that VMs may have, the newest one last."""
        newest = limits.newest_hardware(self.world.settings.api_version)
        return [
            vim.vm.ConfigOptionDescriptor(
                key=f"vmx-{number:02}",
                description=f"Hardware version {number}",
                host=self.cluster.host(),
                createSupported=True,
                defaultConfigOption=number == newest,
                runSupported=True,
                upgradeSupported=True,
            )
            for number in limits.hardware_versions(self.world.settings.api_version)
        ]

    @method("QueryConfigOption")
    def query_option(self, _: Call, key: str | None = None, host: Any = None) -> Any:
        """Return the limits of a hardware version on a host."""
        return self._option(key, host)

    @method("QueryConfigOptionEx")
    def query_option_ex(self, _: Call, spec: Any = None) -> Any:
        """Return the limits of a hardware version on a host."""
        return self._option(spec.key, spec.host) if spec else self._option(None, None)

    def _option(self, key: str | None, host: Any) -> Any:
        hosts = self._hosts(host)
        api = self.world.settings.api_version
        number = limits.hardware_number(key) if key else limits.newest_hardware(api)
        if number not in limits.hardware_versions(api):
            raise faults.invalid_argument("key", f"There is no hardware version {key}.")
        # Built without pyVmomi's checks: what has nothing to do with GPUs stays unset.
        return build(
            vim.vm.ConfigOption,
            version=f"vmx-{number:02}",
            description=f"Hardware version {number}",
            hardwareOptions=build(
                vim.vm.VirtualHardwareOption,
                hwVersion=number,
                virtualDeviceOption=[self._passthrough_option(hosts)],
                memoryMB=vim.option.LongOption(min=4, max=limits.MAX_MEMORY_MB, defaultValue=1024),
            ),
        )

    def _passthrough_option(self, hosts: list[Host]) -> Any:
        most = limits.max_vgpus(self.world.settings.api_version)
        return _PassthroughOption(
            type=vim.vm.device.VirtualPCIPassthrough,
            deprecated=False,
            plugAndPlay=False,
            hotRemoveSupported=False,
            backingOption=[
                _PassthroughOption.VmiopBackingOption(
                    type=vim.vm.device.VirtualPCIPassthrough.VmiopBackingInfo,
                    vgpu=vim.option.StringOption(defaultValue=info.vgpu),
                    maxInstances=most,
                )
                for info in gpuinfo.shared_types(hosts)
            ],
        )
