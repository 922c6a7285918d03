"""An in-memory vCenter that keeps the rules which `apply` relies on, and a site to try it on."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace

from provision.apply.events import Event
from provision.apply.result import MachineResult, Result
from provision.apply.runner import Options, apply
from provision.deadline import Deadline
from provision.errors import VdlError
from provision.plan.identity import instance_uuid
from provision.plan.model import Action, ActionKind, CardChoice, Change, Plan
from provision.plan.snapshot import (
    STAMP_LAB,
    STAMP_MACHINE,
    STAMP_SPEC,
    GpuDevice,
    Power,
    Snapshot,
    VCenterIdentity,
    Vm,
)
from provision.spec.model import GpuRequest, Lab, Machine, VgpuRequest
from provision.spec.units import Size
from provision.vsphere.port import ActionFailed, GuestReport

LAB = "vroom"
VCENTER = VCenterIdentity("0b1c", "8.0.3.0", "vcsa.example.com")


@dataclass
class Barrier:
    """Holds one call: `reached` says that it has begun, `go` lets it end."""

    reached: threading.Event = field(default_factory=threading.Event)
    go: threading.Event = field(default_factory=threading.Event)


Hold = Callable[[str, str], Barrier]


class FakeVCenter:
    """Implements `provision.vsphere.port.Port` over a dictionary of VMs.

    `refuse` and `hold` name a call by method and machine; `room` is how many GPU machines a
    host powers on, `peak` how many calls ran at a time, `powered` the order of power-ons.
    """

    def __init__(self) -> None:
        self.vms: dict[str, Vm] = {}
        self.calls: list[tuple[str, str]] = []
        self.refuse: dict[tuple[str, str], VdlError] = {}
        self.after: dict[tuple[str, str], VdlError] = {}
        self.hold: dict[tuple[str, str], Barrier] = {}
        self.room: dict[str, int] = {}
        self.powered: list[str] = []
        self.silent: set[str] = set()
        self.peak = 0
        self._busy = 0
        self._lock = threading.Lock()

    def snapshot(self, lab: Lab) -> Snapshot:
        del lab
        return Snapshot(VCENTER, "DC0", "gpu", vms=tuple(self.vms.values()))

    def find_vm(self, instance_uuid: str) -> Vm | None:
        self._heed("find_vm", instance_uuid)
        return next((v for v in self.vms.values() if v.instance_uuid == instance_uuid), None)

    def clone(self, plan: Plan, action: Action, deadline: Deadline) -> str:
        del deadline
        with self._call("clone", action.machine):
            if any(vm.name == action.machine for vm in self.vms.values()):
                raise ActionFailed("clone refused", why="name exists", fault="DuplicateName")
            assert action.spec is not None
            vm = vm_of(action.spec, plan.lab, gpus=(), power=Power.OFF, host_id=action.host_id)
            self.vms[vm.id] = vm
            return vm.id

    def prepare_hardware(self, vm_id: str, action: Action, deadline: Deadline) -> None:
        del deadline
        with self._call("prepare_hardware", action.machine):
            self._off(vm_id)

    def attach(self, vm_id: str, action: Action, deadline: Deadline) -> None:
        del deadline
        with self._call("attach", action.machine):
            vm = self._off(vm_id)
            if vm.gpus:
                raise ActionFailed("attach refused", why="devices are there")
            self._replace(vm, gpus=devices(action))

    def reconfigure(self, vm_id: str, action: Action, deadline: Deadline) -> None:
        del deadline
        with self._call("reconfigure", action.machine):
            assert action.spec is not None
            stamps = {**self.vms[vm_id].stamps, STAMP_SPEC: action.spec.digest}
            self._replace(self._off(vm_id), gpus=devices(action), stamps=stamps)

    def relocate(self, vm_id: str, action: Action, deadline: Deadline) -> None:
        del deadline
        with self._call("relocate", action.machine):
            self._replace(self._off(vm_id), host_id=action.host_id)

    def power_on(self, vm_id: str, deadline: Deadline) -> None:
        del deadline
        with self._call("power_on", self.vms[vm_id].machine or ""):
            vm = self._off(vm_id)
            on = [v for v in self.vms.values() if v.power is Power.ON and v.gpus]
            here = sum(v.host_id == vm.host_id for v in on)
            if vm.gpus and here >= self.room.get(vm.host_id or "", 1000):
                raise ActionFailed("power-on refused", why="insufficient graphics resources")
            self.powered.append(vm.name)
            self._replace(vm, power=Power.ON)

    def wait_for_guest(self, vm_id: str, deadline: Deadline) -> GuestReport:
        del deadline
        name = self.vms[vm_id].machine or ""
        with self._call("wait_for_guest", name):
            if name in self.silent:
                raise ActionFailed("no usable address", why="only fe80::1 was reported")
            return GuestReport(("198.18.0.1",), ("ssh-ed25519 AAAA",), 2222)

    def wait_until_made(self, vm_ids: Iterable[str], deadline: Deadline) -> None:
        del deadline
        for vm_id in vm_ids:
            with self._call("wait_until_made", self.vms[vm_id].name):
                vm = self.vms[vm_id]
                self._replace(vm, instance_uuid=vm.instance_uuid or f"stranger-{vm_id}")

    def shut_down(self, vm_id: str, deadline: Deadline) -> None:
        del deadline
        with self._call("shut_down", self.vms[vm_id].machine or ""):
            self._replace(self.vms[vm_id], power=Power.OFF)

    def destroy(self, vm_id: str, deadline: Deadline) -> None:
        del deadline
        with self._call("destroy", self.vms[vm_id].machine or ""):
            del self.vms[self._off(vm_id).id]

    def count(self, method: str) -> int:
        return sum(name == method for name, _ in self.calls)

    def _call(self, method: str, machine: str) -> _Call:
        return _Call(self, method, machine)

    def _heed(self, method: str, machine: str) -> None:
        if barrier := self.hold.get((method, machine)):
            barrier.reached.set()
            assert barrier.go.wait(20)
        if error := self.refuse.get((method, machine)):
            raise error

    def begin(self, method: str, machine: str) -> None:
        with self._lock:
            self.calls.append((method, machine))
            self._busy += 1
            self.peak = max(self.peak, self._busy)
        self._heed(method, machine)

    def finish(self) -> None:
        with self._lock:
            self._busy -= 1

    def _off(self, vm_id: str) -> Vm:
        if self.vms[vm_id].power is not Power.OFF:
            raise ActionFailed("refused", why="the VM is powered on", fault="InvalidPowerState")
        return self.vms[vm_id]

    def _replace(self, vm: Vm, **changes: object) -> None:
        self.vms[vm.id] = replace(vm, **changes)  # type: ignore[arg-type]


@dataclass
class _Call:
    """Counts a call while it runs; `after` makes its answer get lost once its work is done."""

    vcenter: FakeVCenter
    method: str
    machine: str

    def __enter__(self) -> None:
        try:
            self.vcenter.begin(self.method, self.machine)
        except BaseException:
            self.vcenter.finish()
            raise

    def __exit__(self, kind: object, *_: object) -> None:
        self.vcenter.finish()
        error = self.vcenter.after.get((self.method, self.machine))
        if kind is None and error is not None:
            raise error


def devices(action: Action) -> tuple[GpuDevice, ...]:
    return tuple(
        GpuDevice(key, "vgpu", card.profile or card.address)
        for key, card in enumerate(action.cards)
    )


def vm_of(spec: Machine, lab: str = LAB, **changes: object) -> Vm:
    fields: dict[str, object] = {
        "id": f"vm-{spec.name}",
        "name": spec.name,
        "path": f"DC0/vm/vdl/{spec.name}",
        "instance_uuid": instance_uuid(VCENTER.instance_uuid, lab, spec.name),
        "power": Power.ON,
        "host_id": "host-esx-01",
        "cpus": spec.cpus,
        "memory": int(spec.memory),
        "memory_reserved": 0,
        "stamps": {STAMP_LAB: lab, STAMP_MACHINE: spec.name, STAMP_SPEC: spec.digest},
    }
    return Vm(**{**fields, **changes})  # type: ignore[arg-type]


@dataclass
class Site:
    """A vCenter, what `apply` told about it, and short ways to write actions."""

    vcenter: FakeVCenter = field(default_factory=FakeVCenter)
    events: list[Event] = field(default_factory=list)
    react: Callable[[Event], None] = lambda _event: None

    def heed(self, event: Event) -> None:
        self.events.append(event)
        self.react(event)

    def spec(self, machine: str, gpu: GpuRequest | None = None) -> Machine:
        group, index = machine.split("-")
        return Machine(
            lab=LAB,
            group=group,
            index=int(index),
            cpus=4,
            memory=Size.gib(16),
            disk=Size.gib(40),
            gpu=gpu,
            template="ubuntu-24.04",
            network="VM Network",
            user="vdl",
            ssh_key="ssh-ed25519 AAAA",
        )

    def action(
        self,
        kind: ActionKind,
        machine: str,
        *,
        host: str = "esx-01",
        gpu: GpuRequest | None = None,
        vm: Vm | None = None,
        changes: tuple[Change, ...] = (),
    ) -> Action:
        spec = self.spec(machine, gpu)
        profile = gpu.vgpu if isinstance(gpu, VgpuRequest) else None
        card = CardChoice(host, "0000:3b:00.0", profile)
        return Action(
            kind,
            spec.name,
            "a test wants it",
            spec=None if kind is ActionKind.DESTROY else spec,
            vm=vm,
            host=host,
            host_id=f"host-{host}",
            cards=(card,) if gpu else (),
            changes=changes,
        )

    def create(self, machine: str, *, host: str = "esx-01", vgpu: bool = False) -> Action:
        gpu = VgpuRequest(vgpu="grid_a100d-10c") if vgpu else None
        return self.action(ActionKind.CREATE, machine, host=host, gpu=gpu)

    def add_vm(self, machine: str, *, gpu: GpuRequest | None = None, **changes: object) -> Vm:
        vm = vm_of(self.spec(machine, gpu), **changes)
        if gpu is not None and "gpus" not in changes:
            vm = replace(vm, gpus=(GpuDevice(1, "vgpu", "grid_a100d-10c"),))
        self.vcenter.vms[vm.id] = vm
        return vm

    def run(self, *actions: Action, **options: object) -> Result:
        plan = Plan(LAB, "same", actions)
        settings = Options(on_event=self.heed, **options)  # type: ignore[arg-type]
        return apply(plan, self.vcenter, lab=self.lab(), replan=lambda *_: plan, options=settings)

    def lab(self) -> Lab:
        return Lab.model_validate(
            {
                "lab": LAB,
                "vcenter": {"datacenter": "DC0", "cluster": "gpu", "datastore": "vsan"},
                "template": "ubuntu-24.04",
                "guest": {"ssh_key": "ssh-ed25519 AAAA"},
                "machines": {"cpu": {"count": 2}},
            }
        )

    def one(self, result: Result, machine: str) -> MachineResult:
        return next(m for m in result.machines if m.machine == f"{LAB}-{machine}")
