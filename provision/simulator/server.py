"""The simulated vCenter as a whole: a world file, its inventory, and the two doors to it."""

from __future__ import annotations

import os
import shutil
import tempfile
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self, TypeVar

from provision.errors import UsageError
from provision.simulator import worldfile
from provision.simulator.engine.clock import Clock
from provision.simulator.engine.faultplan import FaultPlan
from provision.simulator.engine.latency import Latency
from provision.simulator.engine.soap_server import SoapServer
from provision.simulator.engine.stub import InProcessStub
from provision.simulator.engine.world import Settings, User, World
from provision.simulator.guests.backend import GuestBackend, NoGuests
from provision.simulator.guests.nspawn import NspawnGuests
from provision.simulator.guests.qemu import QemuGuests
from provision.simulator.guests.ssh import SshGuests
from provision.simulator.inventory.entity import Entity
from provision.simulator.inventory.host import Host
from provision.simulator.inventory.inventory import Inventory
from provision.simulator.inventory.populate import populate
from provision.simulator.inventory.storage import Datastore
from provision.simulator.inventory.vm import VirtualMachine
from provision.simulator.worldmodel import World as WorldSpec

E = TypeVar("E", bound=Entity)


@dataclass(frozen=True, slots=True)
class Door:
    """What a client needs to get in; the fields of the line that `vdl simulator` prints."""

    url: str
    server: str
    ca_file: str
    thumbprint: str
    username: str
    password_file: str


class Simulator:
    """A simulated vCenter with GPUs. Use it as a context manager, or call `close`.

    Attributes:
        world: The engine: calls, sessions, clock, fault plan.
        inventory: What the vCenter manages.

    Args:
        spec: The world as its file describes it.
        folder: Where certificates, the password and the guests' files go; a temporary folder
            that only the caller may enter where none is given.
        clock: The time of the world; the machine's own where none is given.
        guests: What stands behind the VMs, instead of what the world file names.

    Raises:
        SpecError: The world contradicts itself.
    """

    def __init__(
        self,
        spec: WorldSpec,
        *,
        folder: Path | None = None,
        clock: Clock | None = None,
        guests: GuestBackend | None = None,
    ) -> None:
        self._temporary = folder is None
        self._folder = folder or Path(tempfile.mkdtemp(prefix="vdl-simulator-"))
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._doors: list[SoapServer] = []
        self._door: Door | None = None
        self._spec = spec
        self.world = World(
            _settings(spec),
            clock=clock,
            faults=FaultPlan(spec.faults),
            latency=Latency.parse(spec.latency),
        )
        self.inventory = Inventory(self.world, guests or self._guests())
        try:
            populate(self.inventory, spec)
        except BaseException:
            self.close()
            raise

    @classmethod
    def from_file(cls, path: Path | None, folder: Path | None = None, **options: Any) -> Self:
        """Return the world of a file; None is the demonstration world.

        Raises:
            SpecError: The file is wrong.
        """
        return cls(worldfile.read(path), folder=folder, **options)

    @classmethod
    def from_text(cls, text: str, **options: Any) -> Self:
        """Return the world that a world file of this text describes.

        Raises:
            SpecError: The text is wrong.
        """
        return cls(worldfile.parse(text), **options)

    @classmethod
    def from_data(cls, data: dict[str, Any], **options: Any) -> Self:
        """Return the world that a world file with these values describes.

        Raises:
            SpecError: The values are wrong.
        """
        return cls(worldfile.from_data(data), **options)

    def _guests(self) -> GuestBackend:
        if self._spec.guests == "ssh":
            return SshGuests(self._folder / "guests")
        if self._spec.guests == "nspawn":
            return NspawnGuests(self._folder / "guests")
        if self._spec.guests == "qemu":
            return QemuGuests(self._folder / "guests")
        return NoGuests()

    def serve(self, listen: str = "127.0.0.1:0") -> Door:
        """Open the HTTPS door.

        Args:
            listen: `HOST:PORT`; port 0 is any that is free.

        Raises:
            UsageError: The address makes no sense or is taken.
        """
        host, _, port = listen.rpartition(":")
        try:
            soap = SoapServer(self.world, host.strip("[]"), int(port), self._folder / "door")
        except (OSError, ValueError) as error:
            raise UsageError(
                f"the simulator can't listen on {listen}",
                why=str(error),
                fix="use an address of this machine, such as 127.0.0.1:0",
            ) from error
        self._doors.append(soap.start())
        password_file = self._folder / "password"
        _write_private(password_file, self.password)
        self._door = Door(
            url=soap.url,
            server=soap.server,
            ca_file=str(soap.ca_file),
            thumbprint=soap.thumbprint,
            username=self.username,
            password_file=str(password_file),
        )
        return self._door

    @property
    def door(self) -> Door:
        """The HTTPS door that was opened last.

        Raises:
            LookupError: None was.
        """
        if self._door is None:
            raise LookupError("the simulator does not serve")
        return self._door

    @property
    def connections(self) -> int:
        """How many connections clients hold."""
        return sum(door.connections for door in self._doors)

    def stub(self) -> InProcessStub:
        """Return a pyVmomi stub that calls the world directly, not logged in yet."""
        return InProcessStub(self.world)

    @property
    def username(self) -> str:
        """The first user of the world file."""
        return next(iter(self._spec.vcenter.users))

    @property
    def password(self) -> str:
        """The first user's password."""
        return self._spec.vcenter.users[self.username].password

    def vm(self, name: str) -> VirtualMachine:
        """Return the only VM or template of that name.

        Raises:
            LookupError: There is none, or more than one.
        """
        return _only(name, self.inventory.vms)

    def vms(self) -> list[str]:
        """Return the names of all VMs and templates, sorted."""
        with self.world.lock:
            return sorted(vm.name for vm in self.inventory.vms.values())

    def host(self, name: str) -> Host:
        """Return the only host of that name.

        Raises:
            LookupError: There is none, or more than one.
        """
        return _only(name, self.inventory.hosts)

    def datastore(self, name: str) -> Datastore:
        """Return the only datastore of that name.

        Raises:
            LookupError: There is none, or more than one.
        """
        stores = {k: o for k, o in self.world.objects.items() if isinstance(o, Datastore)}
        return _only(name, stores)

    def fault(self, entry: Mapping[str, object]) -> None:
        """Add an entry to the fault plan, written as in a world file.

        Raises:
            SpecError: The entry can't be understood.
        """
        with self.world.lock:
            self.world.faults.add(entry)

    def terminate_sessions(self) -> None:
        """End all sessions, as an administrator can."""
        self.world.sessions.end_all()

    def close(self) -> None:
        """Close the doors, end the guests, remove the temporary folder."""
        for door in self._doors:
            door.stop()
        self._doors.clear()
        self.world.close()
        self.inventory.guests.close()
        if self._temporary:
            shutil.rmtree(self._folder, ignore_errors=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _settings(spec: WorldSpec) -> Settings:
    users = {
        name: User(user.password, None if user.privileges is None else frozenset(user.privileges))
        for name, user in spec.vcenter.users.items()
    }
    return Settings(
        api_version=spec.vcenter.api,
        instance_uuid=str(spec.vcenter.instance_uuid or uuid.uuid4()),
        users=users,
        session_idle=spec.vcenter.session_timeout,
        task_retention=spec.vcenter.task_retention,
    )


def _write_private(path: Path, text: str) -> None:
    path.unlink(missing_ok=True)
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(text)


def _only(name: str, objects: Mapping[str, E]) -> E:
    found = [obj for obj in objects.values() if obj.name == name]
    if len(found) != 1:
        raise LookupError(f"{len(found)} objects are called {name}")
    return found[0]
