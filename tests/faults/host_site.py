"""A simulated vCenter behind HTTPS whose hosts are prepared, and what its tests do with it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from pyVmomi import vim

from provision.gpu.types import AssignmentPolicy
from provision.hosts.plan import HostPlan, host_plan
from provision.hosts.run import HostDeadlines, HostEvent, HostOptions, HostResult, Phase, prepare
from provision.hosts.wish import PassthroughWish, SharedWish, Wish
from provision.vsphere.host_port import HostState
from tests.faults.apply_site import Site, make_lab, open_site, wait_for_task

FIRST = "0000:3b:00.0"
WORLD = """
guests: none
latency: {default: 1 ms, RebootHost_Task: 300 ms}
DC0:
  templates: {ubuntu-24.04: {}}
  clusters:
    gpu:
      hosts:
        esx-[01-02]: {cards: {count: 2, model: A100-80}}
        lost: {cards: {count: 2, model: A100-80}, reboots: false}
        nimble: {cards: {count: 2, model: A100-80}, rebind: true}
      vms:
        web: {host: esx-01, memory: 8 GiB, power: "on"}
        job: {host: esx-02, memory: 8 GiB, power: "on", gpu: {vgpu: grid_a100d-10c}}
  datastores: {vsan: 20 TiB}
"""
LAB = make_lab(cpu={})
ALL = PassthroughWish(("A100-80",))
CONSOLIDATE = SharedWish(policy=AssignmentPolicy.CONSOLIDATION)
SHORT = HostDeadlines(enter_maintenance=5.0, come_back=2.0, verify=5.0)


@dataclass
class HostSite:
    """A running simulator and short ways to prepare its hosts."""

    site: Site
    events: list[HostEvent] = field(default_factory=list)

    def look(self, name: str, wish: Wish = ALL) -> tuple[HostState, HostPlan]:
        """Return a host as it is, and the steps that the wish asks for."""
        with self.site.vcenter() as vcenter:
            state = vcenter.hosts.read(LAB, name)
        return state, host_plan(state, wish, datetime.now(UTC))

    def prepare(self, name: str, wish: Wish = ALL, **options: Any) -> HostResult:
        """Plan and carry out."""
        given = HostOptions(**{"deadlines": SHORT, "on_event": self.events.append, **options})
        with self.site.vcenter() as vcenter:
            state = vcenter.hosts.read(LAB, name)
            plan = host_plan(state, wish, given.now(), leave=given.leave)
            return prepare(plan, wish, LAB, vcenter.hosts, given)

    @contextmanager
    def administrator(self, name: str) -> Iterator[Any]:
        """Give the managed object of a host, as somebody else than vdl has it."""
        host_id = self.look(name)[0].id
        with self.site.vcenter() as vcenter:
            yield vcenter.session.ref(vim.HostSystem, host_id)

    def enter_maintenance(self, name: str) -> None:
        """Put a host into maintenance mode, as an administrator does by hand."""
        with self.administrator(name) as host:
            wait_for_task(host.EnterMaintenanceMode_Task(timeout=0))

    def taken(self) -> list[str]:
        """Return the steps that were done."""
        return [event.step.value for event in self.events if event.phase is Phase.DONE]


@contextmanager
def open_host_site(folder: Path, world: str = WORLD) -> Iterator[HostSite]:
    """Serve a world until the block ends."""
    with open_site(folder, world) as site:
        yield HostSite(site)
