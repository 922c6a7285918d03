"""What stands in the way before placement is even asked: template, room, network, rights."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from provision.plan.model import Finding, Severity
from provision.plan.names import counted, listed
from provision.plan.needs import ModelNeed, Need, PinnedNeed, VgpuNeed
from provision.plan.settings import needs_efi
from provision.plan.snapshot import Connection, Datastore, Host, Network, Snapshot, Template
from provision.spec.model import GroupRequest, Lab, Machine
from provision.spec.units import Size

# Dynamic DirectPath I/O came with hardware version 17, vendor device groups with version 20
# (vSphere 7.0 and 8.0, "Virtual Machine Hardware Versions").
DYNAMIC_HARDWARE = 17
GROUP_HARDWARE = 20
# How guest ids of systems begin that are no Linux (vSphere API reference 8.0U3).
OTHER_SYSTEMS = ("win", "darwin", "freebsd", "solaris", "netware", "unixware", "other64guest")


def find_template(lab: Lab, snapshot: Snapshot) -> Template | None:
    """Return the lab's template, named by its name or its path; None unless exactly one is."""
    found = _templates(lab, snapshot)
    return found[0] if len(found) == 1 else None


def find_datastore(lab: Lab, snapshot: Snapshot) -> Datastore | None:
    """Return the lab's datastore."""
    return next((d for d in snapshot.datastores if d.name == lab.vcenter.datastore), None)


def find_network(lab: Lab, snapshot: Snapshot) -> Network | None:
    """Return the lab's network."""
    return next((n for n in snapshot.networks if n.name == lab.vcenter.network), None)


def preflight(
    lab: Lab, snapshot: Snapshot, made: Sequence[Machine], needs: Mapping[str, Need | None]
) -> Iterator[Finding]:
    """Yield what keeps the plan from being carried out, hosts, cards and privileges aside.

    Args:
        lab: The lab.
        snapshot: The world.
        made: The machines that are created or made again; without any, only what concerns
            existing VMs is checked.
        needs: The GPU need of each machine, by name.
    """
    yield from _places(lab, snapshot)
    if made:
        yield from _template(lab, snapshot, made, needs)
        yield from _datastore(lab, snapshot, made)
    if made or (snapshot.cluster_id is not None and lab.resolve()):
        yield from _network(lab, snapshot)


def _error(code: str, subject: str, message: str, fix: str) -> Finding:
    return Finding(Severity.ERROR, code, subject, message, fix)


def _places(lab: Lab, snapshot: Snapshot) -> Iterator[Finding]:
    where = lab.vcenter
    if snapshot.datacenter_id is None:
        message = f"{snapshot.vcenter.name} has no datacenter of this name"
        fix = "correct vcenter.datacenter in the lab file, or the rights of the user"
        yield _error("datacenter-missing", where.datacenter, message, fix)
    elif snapshot.cluster_id is None or snapshot.resource_pool_id is None:
        message = f"the datacenter {where.datacenter} has no cluster of this name"
        fix = "correct vcenter.cluster in the lab file, or the rights of the user"
        yield _error("cluster-missing", where.cluster, message, fix)
    elif not snapshot.hosts:
        yield _error("host-unavailable", where.cluster, "the cluster has no hosts", "add hosts")


def privileges(snapshot: Snapshot, *, moving: bool) -> Iterator[Finding]:
    """Yield what the user is not allowed to do; `moving` is whether the plan moves a VM."""
    missing = snapshot.privileges_missing
    if moving:
        missing += snapshot.privileges_missing_to_move
    if missing:
        message = f"the user lacks {', '.join(sorted(missing))}"
        fix = "have an administrator add them to the user's role; docs/privileges.md has it"
        yield _error("privilege-missing", snapshot.vcenter.name, message, fix)


def _templates(lab: Lab, snapshot: Snapshot) -> list[Template]:
    return [t for t in snapshot.templates if lab.template in (t.name, t.path)]


def _template(
    lab: Lab, snapshot: Snapshot, made: Sequence[Machine], needs: Mapping[str, Need | None]
) -> Iterator[Finding]:
    found = _templates(lab, snapshot)
    if len(found) > 1:
        paths = listed(sorted(t.path for t in found))
        message = f"{len(found)} templates have this name: {paths}"
        yield _error("template-ambiguous", lab.template, message, "write the path of the one meant")
    elif not found:
        names = listed(sorted(t.name for t in snapshot.templates)) or "none"
        message = f"the datacenter {lab.vcenter.datacenter} has no template of this name"
        yield _error("template-missing", lab.template, message, f"templates here: {names}")
    else:
        yield from _unfit(found[0], made, needs, snapshot.hosts)


def _unfit(
    template: Template,
    made: Sequence[Machine],
    needs: Mapping[str, Need | None],
    hosts: Sequence[Host],
) -> Iterator[Finding]:
    name = template.name
    efi = [m.name for m in made if _boots_by_efi(needs.get(m.name), hosts)]
    if template.firmware != "efi" and efi:
        message = f"boots by {template.firmware}, but the cards of {listed(efi)} need EFI"
        fix = "install a template with EFI firmware: an installed guest can't be switched"
        yield _error("template-firmware", name, message, fix)
    hardware = max((hardware_needed(m, needs.get(m.name)) for m in made), default=0)
    if template.hardware < hardware:
        message = f"has hardware version {template.hardware}, its machines need {hardware}"
        fix = f"upgrade the template's compatibility to version {hardware} or later"
        yield _error("template-hardware", name, message, fix)
    if not template.tools:
        message = "has no VMware Tools, so a guest would never tell its address"
        yield _error("template-tools", name, message, "install open-vm-tools in the template")
    if not is_64_bit_linux(template.guest_id):
        message = f"is declared as {template.guest_id or 'nothing'}, not as a 64-bit Linux"
        fix = "set the template's guest OS to the Linux that is installed in it"
        yield Finding(Severity.WARNING, "template-guest", name, message, fix)
    small = [m for m in made if m.disk < template.disk]
    if small:
        disk = Size(template.disk)
        message = f"its disk has {disk}, larger than {small[0].disk} of {_groups(small)}"
        yield _error("template-disk", name, message, f"give these machines a disk of {disk}")
    if template.gpus:
        message = f"has {counted(len(template.gpus), 'GPU device')} that every clone would inherit"
        fix = "remove the GPU devices from the template"
        yield _error("template-gpu", name, message, fix)


def is_64_bit_linux(guest_id: str) -> bool:
    """Whether a `VirtualMachineGuestOsIdentifier` means a 64-bit Linux.

    All of these end in `64Guest`, and so do those of other systems.
    """
    return guest_id.endswith("64Guest") and not guest_id.lower().startswith(OTHER_SYSTEMS)


def _groups(machines: Sequence[Machine]) -> str:
    return listed(machine.group for machine in machines)


def _boots_by_efi(need: Need | None, hosts: Sequence[Host]) -> bool:
    if isinstance(need, PinnedNeed):
        return any(
            needs_efi(card)
            for host in hosts
            if host.name == need.host
            for card in host.cards
            if card.address == need.address
        )
    if isinstance(need, VgpuNeed | ModelNeed):
        return need.model is None or need.model.needs_efi
    return need is not None


def hardware_needed(machine: Machine, need: Need | None) -> int:
    """Return the oldest hardware version that the machine's GPU mode works with; 0 for any."""
    if isinstance(machine.gpu, GroupRequest):
        return GROUP_HARDWARE
    return DYNAMIC_HARDWARE if isinstance(need, ModelNeed) else 0


def _datastore(lab: Lab, snapshot: Snapshot, made: Sequence[Machine]) -> Iterator[Finding]:
    name = lab.vcenter.datastore
    store = find_datastore(lab, snapshot)
    if store is None:
        names = listed(sorted(d.name for d in snapshot.datastores)) or "none"
        message = f"the datacenter {lab.vcenter.datacenter} has no datastore of this name"
        yield _error("datastore-missing", name, message, f"datastores here: {names}")
    elif not store.accessible:
        message = "is not accessible"
        yield _error("datastore-missing", name, message, "bring it back or choose another one")
    elif (wanted := disk_wanted(made)) > store.free:
        message = f"{Size(store.free)} free, {counted(len(made), 'machine')} need {Size(wanted)}"
        fix = f"free {Size(wanted - store.free)}, choose another datastore, or make smaller disks"
        yield _error("datastore-space", name, message, fix)


def disk_wanted(made: Sequence[Machine]) -> int:
    """Return the bytes that the disks of new machines may grow to; thin disks count in full."""
    return sum(machine.disk for machine in made)


def _network(lab: Lab, snapshot: Snapshot) -> Iterator[Finding]:
    if find_network(lab, snapshot) is None:
        names = listed(sorted(n.name for n in snapshot.networks)) or "none"
        message = f"the datacenter {lab.vcenter.datacenter} has no network of this name"
        yield _error("network-missing", lab.vcenter.network, message, f"networks here: {names}")


def hosts_in_trouble(hosts: Sequence[Host], used: frozenset[str]) -> Iterator[Finding]:
    """Yield a warning for each host that holds machines of the lab and can't be worked with.

    Args:
        hosts: The hosts of the cluster.
        used: Ids of the hosts where VMs of the lab are.
    """
    for host in sorted(hosts, key=lambda host: host.name):
        if host.id in used and host.connection is not Connection.CONNECTED:
            message = f"is {host.connection.value}; machines of the lab are on it"
            fix = "bring the host back before you rely on these machines"
            yield Finding(Severity.WARNING, "host-unavailable", host.name, message, fix)
