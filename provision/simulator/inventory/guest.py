"""The guest of a VM: what stands behind it, and what VMware Tools tell of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from provision.simulator.guests.backend import GuestReport

if TYPE_CHECKING:
    from provision.simulator.inventory.vmview import VmView

# What a guest takes to shut down or to restart, in seconds of the world's time.
SHUTDOWN_SECONDS = 0.2


class Guest:
    """A guest. `published` are the settings that it tells of itself while it runs."""

    def __init__(self, vm: VmView) -> None:
        self._vm = vm
        self._boots = 0
        self.up = False
        self.hostname: str | None = None
        self.addresses: tuple[str, ...] = ()
        self.published: dict[str, str] = {}

    def boot(self) -> None:
        """Start the guest of a VM that was powered on; without VMware Tools it stays silent."""
        vm = self._vm
        self._boots += 1
        boot = self._boots
        if not vm.config.tools:
            return

        def ready(report: GuestReport) -> None:
            with vm.world.lock:
                if boot == self._boots and not vm.world.closing:
                    self._report(report)

        if vm.config.addresses is not None:
            ready(GuestReport(vm.name, vm.config.addresses))
            return
        guestinfo = {k: v for k, v in vm.config.extra.items() if k.startswith("guestinfo.")}
        vm.inventory.guests.start(vm.moid, vm.name, guestinfo, ready)

    def _report(self, report: GuestReport) -> None:
        self.up = True
        self.hostname = report.hostname
        self.addresses = tuple(report.addresses)
        self.published = dict(report.guestinfo)
        self._vm.touch()

    def end(self) -> None:
        """End the guest of a VM that has lost its power."""
        self._boots += 1
        self.up = False
        self.hostname = None
        self.addresses = ()
        self.published = {}
        if self._vm.config.tools and self._vm.config.addresses is None:
            self._vm.inventory.guests.stop(self._vm.moid)
