"""Findings about what old hosts lack, and about hosts whose cards are set up by halves."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from provision.gpu.types import CardMode
from provision.plan.model import Finding, Severity
from provision.plan.names import counted, listed
from provision.plan.needs import ModelNeed, Need, VgpuNeed, model_of
from provision.plan.placement import Placed
from provision.plan.preflight import hardware_needed
from provision.plan.snapshot import Host, Snapshot, Template
from provision.plan.versions import (
    DEVICE_GROUPS,
    VGPU_MODE,
    has,
    most_pci_devices,
    newest_hardware,
)
from provision.spec.model import GroupRequest, Machine


def compatibility(
    made: Sequence[Machine],
    needs: Mapping[str, Need | None],
    placed: Sequence[Placed],
    template: Template | None,
    snapshot: Snapshot,
) -> Iterator[Finding]:
    """Yield what keeps new machines from running where they are planned.

    Args:
        made: The machines that are created or made again.
        needs: The GPU need of each machine, by name.
        placed: Where placement has put machines.
        template: What they are cloned from.
        snapshot: The world.
    """
    yield from _device_groups(made, snapshot)
    if template is not None:
        new = {machine.name: machine for machine in made}
        homes = [(new[p.request.machine], p.host) for p in placed if p.request.machine in new]
        yield from _hardware(homes, needs, template)
        yield from _devices(homes, needs, template)
    if any(isinstance(needs.get(machine.name), VgpuNeed) for machine in made):
        yield from _vgpu_modes(snapshot.hosts)
        yield from _mixed(snapshot.hosts)


def _device_groups(made: Sequence[Machine], snapshot: Snapshot) -> Iterator[Finding]:
    asking = [machine.name for machine in made if isinstance(machine.gpu, GroupRequest)]
    versions = {host.api_version for host in snapshot.hosts}
    if not asking or not versions:
        return
    vcenter = snapshot.vcenter.api_version
    old = not any(has(version, DEVICE_GROUPS) for version in versions)
    if has(vcenter, DEVICE_GROUPS) and not old:
        return
    which = f"the hosts run {listed(sorted(versions))}" if old else f"vCenter runs {vcenter}"
    message = f"device groups came with vSphere 8.0; {which}"
    fix = "upgrade vCenter and hosts to 8.0 or later, or ask for single cards with gpu.count"
    yield _error("version-device-groups", listed(asking), message, fix)


def _hardware(
    homes: Sequence[tuple[Machine, Host]], needs: Mapping[str, Need | None], template: Template
) -> Iterator[Finding]:
    """Yield an error for each host that does not run its machines' hardware version."""
    wanted: dict[str, tuple[Host, int, list[str]]] = {}
    for machine, host in homes:
        hardware = max(template.hardware, hardware_needed(machine, needs.get(machine.name)))
        newest = newest_hardware(host.api_version)
        if newest is not None and newest < hardware:
            wanted.setdefault(host.name, (host, hardware, []))[2].append(machine.name)
    for name, (host, hardware, machines) in sorted(wanted.items()):
        newest = newest_hardware(host.api_version)
        message = (
            f"ESXi {host.api_version} runs hardware versions up to {newest}; "
            f"{listed(machines)} would have {hardware}"
        )
        fix = "upgrade the host, name another one by `host:`"
        if hardware == template.hardware:
            fix = f"{fix}, or use a template of hardware version {newest} or older"
        yield _error("version-hardware", name, message, fix)


def _devices(
    homes: Sequence[tuple[Machine, Host]], needs: Mapping[str, Need | None], template: Template
) -> Iterator[Finding]:
    """Yield an error for each group whose machines have more cards than their host allows."""
    told = set()
    for machine, host in homes:
        need = needs.get(machine.name)
        count = need.count if isinstance(need, VgpuNeed | ModelNeed) else 0
        hardware = max(template.hardware, hardware_needed(machine, need))
        most = most_pci_devices(host.api_version, hardware)
        if most is not None and count > most and machine.group not in told:
            told.add(machine.group)
            message = (
                f"{machine.name} wants {count} cards; a VM of hardware version {hardware} on "
                f"ESXi {host.api_version} may have {counted(most, 'PCI device')}"
            )
            fix = f"ask for {most} cards at most, or upgrade {host.name} and the template"
            yield _error("version-devices", machine.group, message, fix)


def _vgpu_modes(hosts: Sequence[Host]) -> Iterator[Finding]:
    old = [host for host in hosts if _shared(host) and not has(host.api_version, VGPU_MODE)]
    if old:
        versions = listed(sorted({host.api_version for host in old}))
        message = (
            f"ESXi {versions} does not tell in which vGPU mode a card is; "
            "every card is taken for sameSize, none for mixedSize or MIG"
        )
        fix = "upgrade to 8.0 Update 3 or later where profiles of several sizes or MIG are wanted"
        names = listed(sorted(host.name for host in old))
        yield Finding(Severity.WARNING, "version-vgpu-mode", names, message, fix)


def _shared(host: Host) -> bool:
    return any(card.mode is CardMode.SHARED for card in host.cards)


def _mixed(hosts: Sequence[Host]) -> Iterator[Finding]:
    """Yield a warning for each host in shared direct of which some card is an exception."""
    for host in sorted(hosts, key=lambda host: host.name):
        left = [
            card.address
            for card in host.cards
            if card.mode is CardMode.NONE and (model := model_of(card)) and model.vgpu
        ]
        if host.shared_direct and left and _shared(host):
            message = f"of its cards, {listed(left)} are not in shared direct and give no vGPUs"
            fix = f"vdl host prepare {host.name} --shared"
            yield Finding(Severity.WARNING, "graphics-mixed", host.name, message, fix)


def _error(code: str, subject: str, message: str, fix: str) -> Finding:
    return Finding(Severity.ERROR, code, subject, message, fix)
