"""The larger values that a host shows, built when they are asked for."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pyVmomi import vim
from pyVmomi.VmomiSupport import short

from provision.simulator.inventory.cards import signed

if TYPE_CHECKING:
    from provision.simulator.inventory.host import Host

MHZ = 2600
VENDOR = "vdl"
MODEL = "Simulated GPU server"
CPU = "Simulated CPU @ 2.60GHz"
NETWORK_CARD = "0000:01:00.0"


def summary(host: Host) -> Any:
    """Return what lists of hosts show."""
    return vim.host.Summary(
        host=host.ref,
        hardware=hardware_summary(host),
        runtime=host.runtime(),
        config=vim.host.Summary.ConfigSummary(
            name=host.name,
            port=443,
            product=product(host),
            vmotionEnabled=True,
            faultToleranceEnabled=False,
        ),
        quickStats=vim.host.Summary.QuickStats(
            overallCpuUsage=0,
            overallMemoryUsage=sum(vm.config.memory_mb for vm in host.running),
            uptime=int((host.world.clock.now() - host.boot_time).total_seconds()),
        ),
        overallStatus="green",
        rebootRequired=any(card.reboot_pending for card in host.cards),
    )


def hardware_summary(host: Host) -> Any:
    """Return the size of the host."""
    return vim.host.Summary.HardwareSummary(
        vendor=VENDOR,
        model=MODEL,
        uuid=host.uuid,
        memorySize=host.memory,
        cpuModel=CPU,
        cpuMhz=MHZ,
        numCpuPkgs=host.sockets,
        numCpuCores=host.cpus,
        numCpuThreads=2 * host.cpus,
        numNics=2,
        numHBAs=1,
    )


def product(host: Host) -> Any:
    """Return which ESXi it runs: that of the vCenter's own version."""
    api = host.world.settings.api_version
    version = ".".join(api.split(".")[:3])
    return vim.AboutInfo(
        name="VMware ESXi",
        fullName=f"VMware ESXi {version} (simulated by vdl)",
        vendor=VENDOR,
        version=version,
        build="1",
        osType="vmnix-x86",
        productLineId="embeddedEsx",
        apiType="HostAgent",
        apiVersion=api,
    )


def system_info(host: Host) -> Any:
    """Return maker, model and UUID."""
    return vim.host.SystemInfo(vendor=VENDOR, model=MODEL, uuid=host.uuid)


def cpu_info(host: Host) -> Any:
    """Return packages, cores and threads."""
    return vim.host.CpuInfo(
        numCpuPackages=host.sockets,
        numCpuCores=host.cpus,
        numCpuThreads=2 * host.cpus,
        hz=MHZ * 10**6,
    )


def numa_info(host: Host) -> Any:
    """Return a NUMA node for each socket, with the PCI devices nearest to it."""
    nodes = max(host.sockets, 1 + max((card.numa for card in host.cards), default=0))
    size, threads = host.memory // nodes, 2 * host.cpus // nodes
    return vim.host.NumaInfo(
        type="NUMA",
        numNodes=nodes,
        numaNode=[
            vim.host.NumaNode(
                typeId=n,
                cpuID=[short(i) for i in range(n * threads, (n + 1) * threads)],
                memorySize=size,
                memoryRangeBegin=n * size,
                memoryRangeLength=size,
                pciId=[card.address for card in host.cards if card.numa == n],
            )
            for n in range(nodes)
        ],
    )


def network_card() -> Any:
    """Return the PCI device of a network card: not everything on the bus is a GPU."""
    return vim.host.PciDevice(
        id=NETWORK_CARD,
        classId=0x0200,
        bus=1,
        slot=0,
        function=0,
        vendorId=signed(0x8086),
        subVendorId=signed(0x8086),
        vendorName="Intel Corporation",
        deviceId=signed(0x1592),
        subDeviceId=0,
        deviceName="Ethernet Controller E810-C",
        deviceClassName="Ethernet controller",
    )


def hardware(host: Host) -> Any:
    """Return all of the hardware."""
    return vim.host.HardwareInfo(
        systemInfo=system_info(host),
        cpuInfo=cpu_info(host),
        cpuPkg=[_package(host, n) for n in range(host.sockets)],
        memorySize=host.memory,
        numaInfo=numa_info(host),
        smcPresent=False,
        pciDevice=host.pci_device(),
    )


def _package(host: Host, index: int) -> Any:
    threads = 2 * host.cpus // host.sockets
    return vim.host.CpuPackage(
        index=index,
        vendor="intel",
        hz=MHZ * 10**6,
        busHz=10**8,
        description=CPU,
        threadId=[short(n) for n in range(index * threads, (index + 1) * threads)],
    )


def bindings(host: Host) -> list[Any]:
    """Return which device of which VM holds which card."""
    return [
        vim.host.AssignableHardwareBinding(
            instanceId=f"pcipassthru:{card.address}:{hold.vm.moid}:{hold.key}",
            vm=hold.vm.ref,
            pciId=card.address,
            deviceKey=hold.key,
        )
        for card in host.cards
        for hold in card.holds
    ]


def config(host: Host) -> Any:
    """Return the configuration as far as the simulator has one."""
    return vim.host.ConfigInfo(
        host=host.ref,
        product=product(host),
        pciPassthruInfo=host.passthru.info(),
        graphicsInfo=[card.graphics_info() for card in host.cards],
        graphicsConfig=host.graphics.config(),
        sharedPassthruGpuTypes=host.graphics.profile_names(),
        sharedGpuCapabilities=host.graphics.capabilities(),
        assignableHardwareBinding=bindings(host),
    )


def capability(host: Host) -> Any:
    """Return what the host supports; what does not matter to GPUs is at its usual value."""
    made = vim.host.Capability()
    for info in made._GetPropertyList():  # noqa: SLF001 - pyVmomi documents it as public
        if info.type is bool:
            setattr(made, info.name, True)
    made.deviceRebindWithoutRebootSupported = host.rebind
    made.assignableHardwareSupported = True
    made.maxSupportedVcpus = 768
    made.maxHostRunningVms = 1024
    made.supportedVmfsMajorVersion = [6]
    return made
