"""What only `QueryConfigTarget` and `QueryConfigOptionEx` tell.

The cluster is asked once. Single hosts are asked only for what the cluster's answer can't
say, and only where the lab needs it: which host offers a device group, and a pinned card's
system id.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

from pyVmomi import vim

from provision.plan.snapshot import DeviceGroupInfo, Host, VgpuProfileInfo
from provision.spec.model import GroupRequest, Lab, PassthroughRequest, VgpuRequest
from provision.vsphere.devices import gpu_devices
from provision.vsphere.session import Session

GIB = 2**30
# A few at a time: these calls are rare, and vCenter has other work.
TARGET_QUERIES = 8


def profiles(target: Any) -> tuple[VgpuProfileInfo, ...]:
    """Return the vGPU profiles of a `QueryConfigTarget` answer.

    A framebuffer below 1 GiB is 0 there; the catalogue knows better.
    """
    return tuple(
        VgpuProfileInfo(info.profileName, info.fbSizeInGib * GIB, info.profileSharing == "mig")
        for info in target.vgpuProfileInfo or ()
    )


def groups(target: Any) -> tuple[DeviceGroupInfo, ...]:
    """Return the vendor device groups of a `QueryConfigTarget` answer."""
    return tuple(
        DeviceGroupInfo(
            info.deviceGroupName,
            gpu_devices([part.device for part in info.componentDeviceInfo or ()]),
        )
        for info in target.vendorDeviceGroupInfo or ()
    )


def groups_by_host(
    session: Session, browser: Any, hosts: Sequence[str]
) -> dict[str, tuple[DeviceGroupInfo, ...]]:
    """Return the device groups that each of these hosts (ids) offers; one call a host."""
    answers = _targets(session, browser, hosts)
    return {id_: groups(answer) for id_, answer in answers.items()}


def complete(
    session: Session, browser: Any, target: Any, hosts: tuple[Host, ...], lab: Lab
) -> tuple[Host, ...]:
    """Return the hosts with device groups, system ids and vGPU limits where the lab needs them.

    Args:
        session: Where to ask.
        browser: The cluster's environment browser.
        target: Its answer for the whole cluster.
        hosts: The hosts as far as their properties tell.
        lab: Who needs what.
    """
    hosts = _with_groups(session, browser, target, hosts, lab)
    hosts = _with_system_ids(session, browser, hosts, lab)
    return _with_most_vgpus(browser, hosts, lab)


def _with_groups(
    session: Session, browser: Any, target: Any, hosts: tuple[Host, ...], lab: Lab
) -> tuple[Host, ...]:
    """Add which device groups each host offers, where the lab asks for one.

    The cluster's answer does not say which host offers a group, so this alone asks hosts one
    by one: those with cards, and only for a group that the cluster has.
    """
    wanted = {m.gpu.group for m in lab.resolve() if isinstance(m.gpu, GroupRequest)}
    if not wanted:
        return hosts
    offered = groups(target)
    if wanted.isdisjoint(group.name for group in offered):
        # Nobody has it; what there is instead belongs into the finding.
        return tuple(replace(host, device_groups=offered) if host.cards else host for host in hosts)
    by_host = groups_by_host(session, browser, [host.id for host in hosts if host.cards])
    return tuple(replace(host, device_groups=by_host.get(host.id, ())) for host in hosts)


def _with_system_ids(
    session: Session, browser: Any, hosts: tuple[Host, ...], lab: Lab
) -> tuple[Host, ...]:
    """Add the system id that a pinned card's backing needs, of the hosts with pinned cards."""
    pinned = {
        m.gpu.pinned[0]
        for m in lab.resolve()
        if isinstance(m.gpu, PassthroughRequest) and m.gpu.pinned is not None
    }
    asked = [host.id for host in hosts if host.name in pinned]
    ids = {
        id_: next((info.systemId for info in answer.pciPassthrough or () if info.systemId), "")
        for id_, answer in _targets(session, browser, asked).items()
    }
    return tuple(replace(host, system_id=ids.get(host.id, "")) for host in hosts)


def _targets(session: Session, browser: Any, hosts: Sequence[str]) -> dict[str, Any]:
    def ask(host: str) -> Any:
        return browser.QueryConfigTarget(session.ref(vim.HostSystem, host))

    if not hosts:
        return {}
    with ThreadPoolExecutor(TARGET_QUERIES) as pool:
        answers = list(pool.map(ask, hosts))
    return {host: answer for host, answer in zip(hosts, answers, strict=True) if answer}


def _with_most_vgpus(browser: Any, hosts: tuple[Host, ...], lab: Lab) -> tuple[Host, ...]:
    """Add how many vGPUs one VM may have, where the lab asks for more than one."""
    if not any(isinstance(m.gpu, VgpuRequest) and m.gpu.count > 1 for m in lab.resolve()):
        return hosts
    answer = browser.QueryConfigOptionEx()
    kind = vim.vm.device.VirtualPCIPassthroughOption.VmiopBackingOption
    options = answer.hardwareOptions.virtualDeviceOption if answer else ()
    most = max(
        (
            backing.maxInstances
            for option in options
            for backing in option.backingOption or ()
            if isinstance(backing, kind)
        ),
        default=1,
    )
    return tuple(replace(host, max_vgpus_per_vm=most) for host in hosts)
