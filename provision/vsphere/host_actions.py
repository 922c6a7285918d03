"""A real vCenter (or one that behaves like it) behind the port that prepares hosts."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from pyVmomi import vim, vmodl

from provision.deadline import Deadline
from provision.spec.model import Lab
from provision.vsphere import host_claim
from provision.vsphere.calls import SETTLE_SECONDS, Call, Calls
from provision.vsphere.collector import Collector, Found
from provision.vsphere.faults import describe, fault_name, fix_for
from provision.vsphere.host_port import (
    SHARED_DIRECT,
    Claim,
    GraphicsSettings,
    HostState,
    booted_since,
)
from provision.vsphere.host_state import read_host
from provision.vsphere.port import ActionFailed, OutcomeUnknown
from provision.vsphere.retry import pauses, within
from provision.vsphere.session import Session, VCenterAway
from provision.vsphere.tls import ResponseLost
from provision.vsphere.waiter import Values, Waiter

# How often a wait for a host looks whether it was asked to stop.
SLICE_SECONDS = 1.0
# How much longer than vCenter itself vdl waits for a task that was given a timeout.
GRACE_SECONDS = 30.0


class HostActions:
    """Changes hosts; implements `provision.vsphere.host_port.HostPort`."""

    def __init__(
        self, session: Session, collector: Collector, waiter: Waiter, calls: Calls
    ) -> None:
        self._session = session
        self._collector = collector
        self._waiter = waiter
        self._calls = calls

    def read(self, lab: Lab, name: str) -> HostState:
        """Read a host of the lab's cluster.

        Raises:
            UsageError: There is no such host.
        """
        return read_host(self._session, self._collector, lab, name)

    def note(self, host_id: str, claim: Claim, deadline: Deadline) -> None:
        """Write vdl's claim on the host; an empty one is taken away."""
        content, text = self._session.content, host_claim.text_of(claim)

        def written() -> bool:
            key = host_claim.field_key(content, self._collector)
            values = self._host(host_id, "customValue").get("customValue", ())
            return host_claim.value_of(values, key) == text

        def write() -> None:
            key = host_claim.make_field(content, self._collector)
            content.customFieldsManager.SetField(entity=self._ref(host_id), key=key, value=text)

        with within(deadline):
            if not written():
                self._send("noting what vdl does on the host", host_id, write, written, deadline)

    def enter_maintenance(self, host_id: str, deadline: Deadline) -> None:
        """Let no VM run on the host; DRS moves away those that it can."""
        host = self._ref(host_id)
        seconds = max(1, int(deadline.left))
        self._task(
            "entering maintenance mode",
            host_id,
            lambda: host.EnterMaintenanceMode_Task(timeout=seconds, evacuatePoweredOffVms=False),
            lambda: self._in_maintenance(host_id) or None,
            Deadline.after(seconds + GRACE_SECONDS),
        )

    def leave_maintenance(self, host_id: str, deadline: Deadline) -> None:
        """Let VMs run on the host again."""
        host = self._ref(host_id)
        self._task(
            "leaving maintenance mode",
            host_id,
            lambda: host.ExitMaintenanceMode_Task(timeout=max(1, int(deadline.left))),
            lambda: not self._in_maintenance(host_id) or None,
            deadline,
        )

    def set_passthrough(
        self, host_id: str, cards: Mapping[str, bool], deadline: Deadline, *, now: bool
    ) -> None:
        """Set passthrough of the cards at these addresses; `now` asks for it without a reboot."""
        config = [
            vim.host.PciPassthruConfig(id=address, passthruEnabled=enabled, applyNow=now)
            for address, enabled in sorted(cards.items())
        ]

        def done() -> bool:
            infos = self._host(host_id, "config.pciPassthruInfo").get("config.pciPassthruInfo", ())
            return dict(cards).items() <= {i.id: i.passthruEnabled for i in infos}.items()

        with within(deadline):
            system = self._manager(host_id, "configManager.pciPassthruSystem")
            self._send(
                "setting passthrough",
                host_id,
                lambda: system.UpdatePassthruConfig(config=config),
                done,
                deadline,
            )

    def set_labels(self, host_id: str, labels: Mapping[str, str], deadline: Deadline) -> None:
        """Give the cards at these addresses, all set to passthrough, their hardware labels."""
        config = [
            vim.host.PciPassthruConfig(id=address, passthruEnabled=True, hardwareLabel=label)
            for address, label in sorted(labels.items())
        ]

        def done() -> bool:
            infos = self._host(host_id, "config.pciPassthruInfo").get("config.pciPassthruInfo", ())
            return labels.items() <= {i.id: i.hardwareLabel for i in infos}.items()

        with within(deadline):
            system = self._manager(host_id, "configManager.pciPassthruSystem")
            self._send(
                "setting hardware labels",
                host_id,
                lambda: system.UpdatePassthruConfig(config=config),
                done,
                deadline,
            )

    def set_graphics(self, host_id: str, settings: GraphicsSettings, deadline: Deadline) -> None:
        """Make shared direct the host's default graphics type, and set what `settings` says."""
        with within(deadline):
            manager = self._manager(host_id, "configManager.graphicsManager")
            wanted = _merged(self._graphics(host_id), settings)
            self._send(
                "setting how the cards are shared",
                host_id,
                lambda: manager.UpdateGraphicsConfig(config=wanted),
                lambda: _same(self._graphics(host_id), wanted),
                deadline,
            )

    def reboot(self, host_id: str, deadline: Deadline) -> None:
        """Begin to restart the host, which is in maintenance mode."""
        host = self._ref(host_id)
        with within(deadline):
            before = self._host(host_id, "runtime.bootTime").get("runtime.bootTime")

        def under_way() -> bool | None:
            now = self._host(host_id, "runtime.connectionState", "runtime.bootTime")
            away = now.get("runtime.connectionState") != "connected"
            return away or booted_since(now.get("runtime.bootTime"), before) or None

        self._task(
            "rebooting the host",
            host_id,
            # Never by force: vCenter then refuses to reboot under running VMs.
            lambda: host.RebootHost_Task(force=False),
            under_way,
            deadline,
        )

    def wait_for_return(
        self,
        host_id: str,
        booted: datetime | None,
        deadline: Deadline,
        heard: Callable[[str], None],
        stopped: Callable[[], bool],
    ) -> bool:
        """Wait until the host has been away, or has another boot time, and is connected."""
        host, watch, last = self._ref(host_id), _Return(booted), ""
        while True:
            part = Deadline.after(min(SLICE_SECONDS, deadline.left))
            back, values = self._waiter.wait_host(host, watch.back, part)
            state = str(values.get("runtime.connectionState") or last)
            if state != last:
                heard(state)
                last = state
            if back or deadline.passed or stopped():
                return back

    def _ref(self, host_id: str) -> Any:
        return self._session.ref(vim.HostSystem, host_id)

    def _host(self, host_id: str, *paths: str) -> Found:
        ref = self._ref(host_id)
        return self._collector.one(ref, paths) or Found(ref, {})

    def _in_maintenance(self, host_id: str) -> bool:
        path = "runtime.inMaintenanceMode"
        return bool(self._host(host_id, path).get(path))

    def _graphics(self, host_id: str) -> Any:
        path = "config.graphicsConfig"
        return self._host(host_id, path).get(path)

    def _manager(self, host_id: str, path: str) -> Any:
        manager = self._host(host_id, path).get(path)
        if manager is None:
            raise ActionFailed(
                "the host has nothing that manages its cards",
                subject=self._name(host_id),
                why=f"{path} is unset",
                fix="reconnect the host in vCenter, then run the same command again",
            )
        return manager

    def _name(self, host_id: str) -> str:
        return str(self._host(host_id, "name").get("name", host_id))

    def _task(
        self,
        what: str,
        host_id: str,
        send: Callable[[], Any],
        outcome: Callable[[], Any | None],
        deadline: Deadline,
    ) -> None:
        call = Call(
            what=f"{what} failed",
            subject=lambda: self._name(host_id),
            target=self._ref(host_id),
            send=send,
            outcome=outcome,
        )
        self._calls.carry_out(call, deadline)

    def _send(
        self,
        what: str,
        host_id: str,
        send: Callable[[], None],
        done: Callable[[], bool],
        deadline: Deadline,
    ) -> None:
        """Send a mutating call that has no task; where its response is lost, look."""
        try:
            send()
        except vmodl.MethodFault as fault:
            raise ActionFailed(
                f"{what} failed",
                subject=self._name(host_id),
                why=describe(fault),
                fix=fix_for(fault),
                fault=fault_name(fault),
            ) from fault
        except ResponseLost as error:
            self._look(what, host_id, done, str(error), deadline)

    def _look(
        self, what: str, host_id: str, done: Callable[[], bool], why: str, deadline: Deadline
    ) -> None:
        settled = Deadline.after(min(SETTLE_SECONDS, deadline.left))
        waits = pauses()
        try:
            while not done():
                if settled.passed:
                    raise ActionFailed(
                        f"{what} failed: vCenter shows no trace of it",
                        subject=self._name(host_id),
                        why=why,
                        fix="run the same command again",
                    )
                self._session.closed.wait(min(next(waits), settled.left))
        except VCenterAway as error:
            raise OutcomeUnknown(
                f"{what}: no outcome before the deadline",
                subject=host_id,
                why=f"{why}; {error.what}",
                fix="run the same command again: it looks at the host first",
            ) from error


@dataclass(slots=True)
class _Return:
    """Whether a host has come back, judged by what vCenter tells of it one by one."""

    booted: datetime | None
    away: bool = False

    def back(self, values: Values) -> bool:
        """Take in what vCenter tells now."""
        if values.get("runtime.connectionState") != "connected":
            self.away = True
            return False
        return self.away or booted_since(values.get("runtime.bootTime"), self.booted)


def _merged(now: Any, settings: GraphicsSettings) -> Any:
    """Return the graphics configuration with the wanted settings; what it has else, stays.

    A vGPU mode that is not sent remains as it is (`HostGraphicsConfig.DeviceType.vgpuMode`).
    """
    kinds = {one.deviceId: one.graphicsType for one in now.deviceType or ()}
    kinds.update(dict.fromkeys(settings.modes, SHARED_DIRECT))
    wanted = {address: mode.value for address, mode in settings.modes.items() if mode}
    return vim.host.GraphicsConfig(
        hostDefaultGraphicsType=SHARED_DIRECT,
        sharedPassthruAssignmentPolicy=settings.policy or now.sharedPassthruAssignmentPolicy,
        deviceType=[
            vim.host.GraphicsConfig.DeviceType(
                deviceId=address, graphicsType=kind, vgpuMode=wanted.get(address)
            )
            for address, kind in sorted(kinds.items())
        ],
    )


def _same(now: Any, wanted: Any) -> bool:
    types = {one.deviceId: one for one in now.deviceType or ()}
    return (
        now.hostDefaultGraphicsType == wanted.hostDefaultGraphicsType
        and now.sharedPassthruAssignmentPolicy == wanted.sharedPassthruAssignmentPolicy
        and all(
            one.deviceId not in types or types[one.deviceId].graphicsType == one.graphicsType
            for one in wanted.deviceType or ()
        )
    )
