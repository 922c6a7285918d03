"""The larger values that a VM shows, built when they are asked for."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pyVmomi import vim

from provision.simulator.engine.schema import build
from provision.simulator.inventory.devices import VgpuBacking, _dev
from provision.simulator.inventory.vmconfig import guest_name

if TYPE_CHECKING:
    from provision.simulator.inventory.vmview import VmView

MHZ = 2600


def runtime(vm: VmView) -> Any:
    """Return host, power and question."""
    return vim.vm.RuntimeInfo(
        host=vm.host.ref,
        connectionState=vm.connection_state(),
        powerState=vm.power,
        faultToleranceState="notConfigured",
        toolsInstallerMounted=False,
        bootTime=vm.boot_time,
        question=question(vm),
        maxCpuUsage=vm.config.cpus * MHZ,
        maxMemoryUsage=vm.config.memory_mb,
        numMksConnections=0,
        recordReplayState="inactive",
        cleanPowerOff=not vm.on,
        onlineStandby=False,
        consolidationNeeded=False,
    )


def question(vm: VmView) -> Any:
    """Return the question that the VM waits on; None where it waits on none."""
    if vm.question is None:
        return None
    choices = [
        vim.ElementDescription(key=str(n), label=label, summary=label)
        for n, label in enumerate(("Yes", "No"))
    ]
    return vim.vm.QuestionInfo(
        id=f"question-{vm.moid}",
        text=vm.question,
        choice=vim.option.ChoiceOption(choiceInfo=choices, defaultIndex=0),
    )


def guest(vm: VmView) -> Any:
    """Return what VMware Tools report."""
    up = vm.guest.up
    return vim.vm.GuestInfo(
        toolsStatus=_tools_status(vm),
        toolsVersionStatus2=tools_version(vm),
        toolsRunningStatus=vm.tools_running(),
        toolsVersion="12389" if vm.config.tools else "0",
        guestId=vm.config.guest_id if up else None,
        guestFamily="linuxGuest" if up else None,
        guestFullName=guest_name(vm.config.guest_id) if up else None,
        hostName=vm.guest.hostname,
        ipAddress=vm.ip_address(),
        net=net(vm),
        guestState="running" if up else "notRunning",
        guestOperationsReady=up,
        interactiveGuestOperationsReady=False,
        guestStateChangeSupported=up,
        hwVersion=vm.config.version,
    )


def tools_version(vm: VmView) -> str:
    """Return whether VMware Tools are installed, and current."""
    return "guestToolsCurrent" if vm.config.tools else "guestToolsNotInstalled"


def _tools_status(vm: VmView) -> str:
    if not vm.config.tools:
        return "toolsNotInstalled"
    return "toolsOk" if vm.guest.up else "toolsNotRunning"


def net(vm: VmView) -> list[Any]:
    """Return the network card with its addresses, as far as the guest reports any."""
    if not vm.guest.addresses:
        return []
    entries = [
        build(
            vim.net.IpConfigInfo.IpAddress, ipAddress=a, prefixLength=_prefix(a), state="preferred"
        )
        for a in vm.guest.addresses
    ]
    nic = build(
        vim.vm.GuestInfo.NicInfo,
        network=vm.config.network.name,
        ipAddress=list(vm.guest.addresses),
        macAddress=vm.config.mac,
        connected=True,
        deviceConfigId=4000,
        ipConfig=build(vim.net.IpConfigInfo, ipAddress=entries),
    )
    return [nic]


def _prefix(address: str) -> int:
    return 64 if ":" in address else 16


def summary(vm: VmView) -> Any:
    """Return what lists of VMs show."""
    return vim.vm.Summary(
        vm=vm.ref,
        runtime=runtime(vm),
        guest=vim.vm.Summary.GuestSummary(
            guestId=vm.config.guest_id,
            guestFullName=guest_name(vm.config.guest_id),
            toolsStatus=_tools_status(vm),
            toolsRunningStatus=vm.tools_running(),
            hostName=vm.guest.hostname,
            ipAddress=vm.ip_address(),
        ),
        config=summary_config(vm),
        storage=vim.vm.Summary.StorageSummary(
            committed=vm.config.disks_size,
            uncommitted=0,
            unshared=vm.config.disks_size,
            timestamp=vm.config.created,
        ),
        quickStats=quick_stats(vm),
        overallStatus="green",
    )


def quick_stats(vm: VmView) -> Any:
    """Return heartbeat and seconds since power-on."""
    since = vm.boot_time
    up = int((vm.world.clock.now() - since).total_seconds()) if since else None
    return build(vim.vm.Summary.QuickStats, guestHeartbeatStatus=vm.heartbeat(), uptimeSeconds=up)


def summary_config(vm: VmView) -> Any:
    """Return name, size and UUIDs; of a VM that is being made only its name."""
    config = vm.config
    if not vm.made:
        return vim.vm.Summary.ConfigSummary(name=vm.name, template=False, vmPathName="")
    devices = config.own_devices
    nics = [d for d in devices or () if isinstance(d, _dev.VirtualEthernetCard)]
    disks = [d for d in devices or () if isinstance(d, _dev.VirtualDisk)]
    return vim.vm.Summary.ConfigSummary(
        name=vm.name,
        template=config.template,
        vmPathName=config.files().vmPathName,
        memorySizeMB=config.memory_mb,
        cpuReservation=0,
        memoryReservation=config.reservation_mb,
        numCpu=config.cpus,
        numEthernetCards=1 if devices is None else len(nics),
        numVirtualDisks=1 if devices is None else len(disks),
        uuid=config.uuid,
        instanceUuid=config.instance_uuid,
        guestId=config.guest_id,
        guestFullName=guest_name(config.guest_id),
        annotation=config.annotation,
        numVmiopBackings=sum(isinstance(d.backing, VgpuBacking) for d in config.gpus),
        hwVersion=config.version,
    )


def storage(vm: VmView) -> Any:
    """Return what the VM takes on its datastore."""
    usage = vim.vm.StorageInfo.UsageOnDatastore(
        datastore=vm.config.datastore.ref,
        committed=vm.config.disks_size,
        uncommitted=0,
        unshared=vm.config.disks_size,
    )
    return vim.vm.StorageInfo(perDatastoreUsage=[usage], timestamp=vm.config.created)
