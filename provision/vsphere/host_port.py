"""What host preparation needs of a vCenter. `provision.vsphere.host_actions` is the real one.

No method ever sends a mutating call twice: where the response to one was lost, the method
looks at the host and reports what it finds.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Protocol

from provision.deadline import Deadline
from provision.gpu.types import AssignmentPolicy, VgpuMode
from provision.plan.snapshot import Connection, GpuDevice, Power
from provision.spec.model import Lab

SHARED_DIRECT = "sharedDirect"
# A host computes its boot time from its uptime, so that it may move a little with the clock.
BOOT_JITTER = timedelta(seconds=5)


@dataclass(frozen=True, slots=True)
class GpuState:
    """One card (PCI function) of a host: what it is set to, and what it is now.

    Attributes:
        capable: Whether the host can pass the card through at all.
        enabled: Whether passthrough is set.
        active: Whether passthrough is real: the setting as of the last reboot.
        listed: Whether the host knows the card as a graphics device, whose settings can change.
        graphics: The graphics type that is real; `direct` while the card is passed through.
        next_graphics: The graphics type that is set.
        vgpu_mode: The vGPU mode that is real; None where the host does not tell one.
        next_vgpu_mode: The vGPU mode that is set; None where the host does not tell one.
        vm_ids: The powered-on VMs that hold the card or a part of it.
        label: Its hardware label.
    """

    address: str
    vendor_id: int
    device_id: int
    name: str
    capable: bool = True
    enabled: bool = False
    active: bool = False
    listed: bool = True
    graphics: str = SHARED_DIRECT
    next_graphics: str = SHARED_DIRECT
    vgpu_mode: VgpuMode | None = None
    next_vgpu_mode: VgpuMode | None = None
    vm_ids: tuple[str, ...] = ()
    label: str | None = None


@dataclass(frozen=True, slots=True)
class HostVm:
    """A VM that is registered on the host. `agent` is one that vCenter itself takes care of."""

    id: str
    name: str
    power: Power
    devices: tuple[GpuDevice, ...] = ()
    agent: bool = False


@dataclass(frozen=True, slots=True)
class Claim:
    """What vdl has noted on the host about a preparation that is not finished.

    Attributes:
        maintenance: When vdl put the host into maintenance mode.
        booted: The boot time of the host when vdl changed what only a reboot makes real.
    """

    maintenance: datetime | None = None
    booted: datetime | None = None


@dataclass(frozen=True, slots=True)
class HostState:
    """All of a host that its preparation depends on.

    Attributes:
        rebind: Whether passthrough changes become real without a reboot.
        profiles: The vGPU profiles on offer.
        evacuates: Whether DRS moves running VMs away when maintenance mode is entered.
        staying: Why DRS does not, in words.
    """

    id: str
    name: str
    connection: Connection
    in_maintenance: bool
    api_version: str
    default_graphics: str
    policy: AssignmentPolicy
    booted: datetime | None = None
    rebind: bool = False
    gpus: tuple[GpuState, ...] = ()
    profiles: tuple[str, ...] = ()
    vms: tuple[HostVm, ...] = ()
    evacuates: bool = False
    staying: str = ""
    claim: Claim = Claim()
    privileges_missing: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class GraphicsSettings:
    """How the host shall share its cards.

    Attributes:
        policy: None leaves it as it is.
        modes: The cards that shall be shared direct, each with its vGPU mode; a mode of None
            leaves the card's as it is.
    """

    policy: AssignmentPolicy | None = None
    modes: Mapping[str, VgpuMode | None] = field(default_factory=dict)


def booted_since(now: datetime | None, before: datetime | None) -> bool:
    """Tell whether a host has booted between two readings of its boot time."""
    return now is not None and before is not None and now - before > BOOT_JITTER


class HostPort(Protocol):
    """The vCenter as host preparation sees it. Raises `ActionFailed` or `OutcomeUnknown`."""

    def read(self, lab: Lab, name: str) -> HostState:
        """Read a host of the lab's cluster.

        Raises:
            UsageError: There is no such host.
        """

    def note(self, host_id: str, claim: Claim, deadline: Deadline) -> None:
        """Write vdl's claim on the host; an empty one is taken away."""

    def enter_maintenance(self, host_id: str, deadline: Deadline) -> None:
        """Let no VM run on the host; DRS moves away those that it can."""

    def leave_maintenance(self, host_id: str, deadline: Deadline) -> None:
        """Let VMs run on the host again."""

    def set_passthrough(
        self, host_id: str, cards: Mapping[str, bool], deadline: Deadline, *, now: bool
    ) -> None:
        """Set passthrough of the cards at these addresses; `now` asks for it without a reboot."""

    def set_labels(self, host_id: str, labels: Mapping[str, str], deadline: Deadline) -> None:
        """Give the cards at these addresses, all set to passthrough, their hardware labels."""

    def set_graphics(self, host_id: str, settings: GraphicsSettings, deadline: Deadline) -> None:
        """Make shared direct the host's default graphics type, and set what `settings` says."""

    def reboot(self, host_id: str, deadline: Deadline) -> None:
        """Begin to restart the host, which is in maintenance mode."""

    def wait_for_return(
        self,
        host_id: str,
        booted: datetime | None,
        deadline: Deadline,
        heard: Callable[[str], None],
        stopped: Callable[[], bool],
    ) -> bool:
        """Wait until the host has been away, or has another boot time, and is connected.

        Args:
            host_id: The host.
            booted: Its boot time before the reboot.
            deadline: When to give up.
            heard: Called with the connection state at each change.
            stopped: Asked at least once a second; true ends the wait.

        Returns:
            Whether the host is back.
        """
