"""The guest of a VM: what stands behind it, and what VMware Tools tell of it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from provision.simulator.guests.backend import GuestGpu, GuestReport, Start

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

    def boot(self, on_off: Callable[[], None]) -> None:
        """Start the guest of a VM that was powered on; without VMware Tools it stays silent.

        `on_off` is called if the guest switches itself off.
        """
        vm = self._vm
        self._boots += 1
        boot = self._boots
        if not vm.config.tools:
            return

        def ready(report: GuestReport) -> None:
            with vm.world.lock:
                if boot == self._boots and not vm.world.closing:
                    self._report(report)

        def off() -> None:
            with vm.world.lock:
                if boot == self._boots and not vm.world.closing:
                    on_off()

        if vm.config.addresses is not None:
            ready(GuestReport(vm.name, vm.config.addresses))
            return
        guestinfo = {k: v for k, v in vm.config.extra.items() if k.startswith("guestinfo.")}
        start = Start(vm.moid, vm.name, guestinfo, ready, off, tuple(_gpus(vm)))
        vm.inventory.guests.start(start)

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


def _gpus(vm: VmView) -> Iterator[GuestGpu]:
    """Yield the GPUs of a running VM as its guest sees them."""
    for card in vm.host.cards:
        sizes = {profile.name: profile.framebuffer_mib for profile in card.offers}
        for hold in card.holds:
            if hold.vm is vm:
                whole = card.model.framebuffer_gib * 1024
                yield GuestGpu(
                    name=_gpu_name(hold.profile) if hold.profile else card.model.name,
                    vendor_id=card.model.vendor_id,
                    device_id=card.device_id,
                    framebuffer=sizes[hold.profile] if hold.profile else whole,
                    profile=hold.profile,
                )


def _gpu_name(profile: str) -> str:
    """Return what nvidia-smi calls a vGPU in its guest: `NVIDIA A100D-10C`."""
    return f"NVIDIA {profile.partition('_')[2].upper()}"
