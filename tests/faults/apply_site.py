"""A simulated vCenter behind HTTPS, and what the fault tests of apply do with it."""

from __future__ import annotations

import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from pydantic import SecretStr

from provision.apply.destroy import destroy, destroy_plan
from provision.apply.events import Event
from provision.apply.result import Result
from provision.apply.runner import Options, apply
from provision.deadline import Deadline
from provision.plan.model import Plan
from provision.plan.planner import plan as make_plan
from provision.plan.snapshot import Snapshot
from provision.simulator.engine.clock import Clock
from provision.simulator.engine.tasks import SimTask
from provision.simulator.guests.backend import GuestBackend
from provision.simulator.inventory.guest import SHUTDOWN_SECONDS
from provision.simulator.server import Simulator
from provision.spec.model import Lab
from provision.vsphere.settings import ConnectionSettings
from provision.vsphere.vcenter import VCenter

# Somebody has agreed to power cycles beforehand.
agreed = partial(make_plan, allow_restart=True)
PROFILE = "grid_a100d-20c"
WORLD = """
guests: none
latency: {default: 1 ms, CloneVM_Task: 20 ms, ReconfigVM_Task: 20 ms, PowerOnVM_Task: 20 ms}
DC0:
  templates: {ubuntu-24.04: {firmware: efi, hardware: 19, memory: 4 GiB, disk: 40 GiB}}
  clusters:
    gpu:
      hosts:
        esx-[01-02]: {memory: 512 GiB, cards: {count: 2, model: A100-80}, policy: consolidation}
      vms:
        stranger: {host: esx-01, memory: 8 GiB, power: "on"}
  datastores: {vsan: 20 TiB}
"""


def make_lab(name: str = "vroom", **machines: dict[str, Any]) -> Lab:
    """Return a lab with these machine groups."""
    return Lab.model_validate(
        {
            "lab": name,
            "vcenter": {"datacenter": "DC0", "cluster": "gpu", "datastore": "vsan"},
            "template": "ubuntu-24.04",
            "guest": {"ssh_key": "ssh-ed25519 AAAA test"},
            "defaults": {"cpus": 2, "memory": "8 GiB", "disk": "40 GiB"},
            "machines": machines,
        }
    )


def gpus(count: int, profile: str = PROFILE) -> dict[str, Any]:
    """Return a machine group of so many vGPU machines."""
    return {"count": count, "gpu": {"vgpu": profile}}


@dataclass
class Site:
    """A running simulator and short ways to use it as an administrator would."""

    simulator: Simulator
    settings: ConnectionSettings
    folder: Path
    events: list[Event] = field(default_factory=list)

    @contextmanager
    def vcenter(self) -> Iterator[VCenter]:
        """Log in."""
        with VCenter(self.settings) as vcenter:
            yield vcenter

    def plan(self, lab: Lab) -> Plan:
        """Return today's plan."""
        with self.vcenter() as vcenter:
            return agreed(lab, vcenter.snapshot(lab))

    def carry_out(self, plan: Plan, lab: Lab, **options: Any) -> Result:
        """Apply a plan that was made before."""
        replan = options.pop("replan", agreed)
        settings = Options(**{"on_event": self.events.append, **options})
        with self.vcenter() as vcenter:
            return apply(plan, vcenter, lab=lab, replan=replan, options=settings)

    def provision(self, lab: Lab, **options: Any) -> Result:
        """Plan and apply."""
        return self.carry_out(self.plan(lab), lab, **options)

    def destroy(self, lab: Lab, **options: Any) -> Result:
        """Destroy everything of the lab."""
        with self.vcenter() as vcenter:
            vms = destroy_plan(lab.lab, vcenter.snapshot(lab))
            return destroy(lab.lab, vms, vcenter, options=Options(**options))

    def snapshot(self, lab: Lab) -> Snapshot:
        """Return the world as a fresh login sees it."""
        with self.vcenter() as vcenter:
            return vcenter.snapshot(lab)

    def break_(self, **entry: Any) -> None:
        """Add an entry to the fault plan; calls are counted from now on."""
        self.simulator.fault(entry)

    def settle(self) -> None:
        """Wait until nobody is connected and no task runs any more, whoever started it.

        Calls of a client that was killed may still be on their way inside the vCenter.
        """
        end = Deadline.after(30)
        while self._busy() and not end.passed:
            time.sleep(0.01)
        assert not self._busy()
        if self.sent("ShutdownGuest"):
            time.sleep(2 * SHUTDOWN_SECONDS)  # guests shut down by themselves, in no task

    def _busy(self) -> bool:
        world = self.simulator.world
        with world.lock:
            world.changed.notify_all()  # whoever waits for updates looks whether its client is gone
        return self.simulator.connections > 0 or self._running()

    def _running(self) -> bool:
        world = self.simulator.world
        with world.lock:
            return any(isinstance(one, SimTask) and one.running for one in world.objects.values())

    def sent(self, method: str) -> int:
        """Return how often a method has been called."""
        return self.simulator.world.calls[method]

    def child(self, lab: Lab) -> list[str]:
        """Return the command line that provisions the lab in a process of its own."""
        spec = self.folder / f"{lab.lab}.json"
        spec.write_text(lab.model_dump_json(), encoding="utf-8")
        arguments = (self.settings.server, self.settings.ca_file, self.settings.username, spec)
        return [sys.executable, "-m", "tests.faults.apply_child", *map(str, arguments)]

    @property
    def password(self) -> str:
        """The password of the user."""
        return self.settings.password.get_secret_value()


@contextmanager
def open_site(
    folder: Path, world: str = WORLD, clock: Clock | None = None, guests: GuestBackend | None = None
) -> Iterator[Site]:
    """Serve a world until the block ends."""
    place = folder / "vcenter"
    with Simulator.from_text(world, folder=place, clock=clock, guests=guests) as simulator:
        door = simulator.serve("127.0.0.1:0")
        password = Path(door.password_file).read_text(encoding="utf-8").strip()
        yield Site(
            simulator,
            ConnectionSettings(
                door.server, door.username, SecretStr(password), ca_file=Path(door.ca_file)
            ),
            folder,
        )


def wait_for_task(task: Any) -> None:
    """Wait until a task that a test started as somebody else has succeeded."""
    end = Deadline.after(10)
    while task.info.state in {"queued", "running"} and not end.passed:
        time.sleep(0.01)
    assert task.info.state == "success", task.info.error


def assert_converged(lab: Lab, snapshot: Snapshot) -> None:
    """Every machine has exactly one VM, which runs, and no card is held by more than it bears."""
    wanted = sorted(machine.name for machine in lab.resolve())
    mine = [vm for vm in snapshot.vms if vm.lab == lab.lab]
    assert sorted(vm.name for vm in mine) == wanted
    assert {vm.power.value for vm in mine} == {"on"}
    assert make_plan(lab, snapshot).pending == ()
    holders = Counter(use.vm_id for host in snapshot.hosts for c in host.cards for use in c.uses)
    gpu_machines = {machine.name for machine in lab.resolve() if machine.gpu}
    strangers = {vm.id for vm in snapshot.vms if vm.lab != lab.lab}
    ours = Counter({vm_id: cards for vm_id, cards in holders.items() if vm_id not in strangers})
    assert ours == Counter(vm.id for vm in mine if vm.name in gpu_machines)
