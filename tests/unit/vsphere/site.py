"""A simulated vCenter behind HTTPS for the tests of the vCenter room."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from pydantic import SecretStr

from provision.deadline import Deadline
from provision.plan.model import Action, Plan
from provision.plan.planner import plan as make_plan
from provision.simulator.server import Door, Simulator
from provision.spec.model import Lab
from provision.vsphere.session import Session
from provision.vsphere.settings import ConnectionSettings
from provision.vsphere.vcenter import VCenter

WORLD = """
DC0:
  templates: {ubuntu-24.04: {hardware: 20, disk: 40 GiB}}
  clusters:
    gpu:
      hosts:
        esx-[01-02]: {cards: {count: 2, model: A100-80}, policy: consolidation}
        esx-03:
          cards:
            - {model: A100-80, address: "0000:3b:00.0", numa: 0, mode: passthrough, label: lab}
            - {model: A100-80, address: "0000:86:00.0", numa: 1, mode: passthrough}
            - {model: A100-80, address: "0000:af:00.0", mode: passthrough, active: false}
            - {model: H100-80, address: "0000:d8:00.0", mode: shared, vgpu_mode: mig}
      vms:
        old-job: {host: esx-01, memory: 64 GiB, power: "on", gpu: {vgpu: grid_a100d-10c}}
        bystander: {host: esx-02, memory: 8 GiB}
  datastores: {vsan: 20 TiB}
"""
KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJ5m9oMZXs0rCrLT6wVDcRsWVCYvVs5mV1r5vE3p7gXY x@y"


def make_lab(name: str = "vroom", **machines: dict[str, Any]) -> Lab:
    """Return a lab with these machine groups; one without GPUs if none is named."""
    return Lab.model_validate(
        {
            "lab": name,
            "vcenter": {"datacenter": "DC0", "cluster": "gpu", "datastore": "vsan"},
            "template": "ubuntu-24.04",
            "guest": {"ssh_key": KEY},
            "defaults": {"cpus": 2, "memory": "8 GiB", "disk": "40 GiB"},
            "machines": machines or {"cpu": {"count": 1}},
        }
    )


@dataclass
class Site:
    """A running simulator and how to get in."""

    simulator: Simulator
    door: Door
    settings: ConnectionSettings

    def calls(self, method: str) -> int:
        """Return how often a method has been called."""
        return self.simulator.world.calls[method]

    def break_(self, **entry: Any) -> None:
        """Add an entry to the fault plan."""
        self.simulator.fault(entry)

    def sessions(self) -> int:
        """Return how many sessions are alive."""
        with self.simulator.world.lock:
            return len(self.simulator.world.sessions.all())

    def with_(self, **changes: Any) -> ConnectionSettings:
        """Return other settings for the same server."""
        return replace(self.settings, **changes)

    @contextmanager
    def session(self) -> Iterator[Session]:
        """Log in."""
        with Session(self.settings) as session:
            yield session

    @contextmanager
    def ready(self, lab: Lab) -> Iterator[tuple[VCenter, Plan]]:
        """Log in and plan the lab."""
        with VCenter(self.settings) as vcenter:
            plan = make_plan(lab, vcenter.snapshot(lab))
            assert not plan.findings
            yield vcenter, plan


@contextmanager
def open_site(folder: Path, world: str = WORLD) -> Iterator[Site]:
    """Serve a world until the block ends."""
    with Simulator.from_text(world, folder=folder / "vcenter") as simulator:
        door = simulator.serve()
        settings = ConnectionSettings(
            door.server,
            door.username,
            SecretStr(Path(door.password_file).read_text(encoding="utf-8").strip()),
            ca_file=Path(door.ca_file),
        )
        yield Site(simulator, door, settings)


def soon() -> Deadline:
    """Return a deadline that nothing here should reach."""
    return Deadline.after(20)


def build(vcenter: VCenter, plan: Plan, action: Action) -> str:
    """Carry out all steps of a create, and return the id of the VM."""
    vm = vcenter.clone(plan, action, soon())
    vcenter.prepare_hardware(vm, action, soon())
    vcenter.attach(vm, action, soon())
    vcenter.power_on(vm, soon())
    return vm
