"""A small world, and stock pyVmomi clients for either of its doors."""

from __future__ import annotations

import ssl
from collections.abc import Callable
from contextlib import ExitStack
from typing import Any

from pyVmomi import vim, vmodl
from pyVmomi.SoapAdapter import SoapStubAdapter

from provision.simulator.engine.call import Call
from provision.simulator.engine.objects import SimObject, method, prop
from provision.simulator.engine.soap_server import SoapServer
from provision.simulator.engine.stub import InProcessStub
from provision.simulator.engine.world import User, World

PC = vmodl.query.PropertyCollector
USERS = {
    "admin": User("secret"),
    "viewer": User("look", privileges=frozenset()),
}


class Vm(SimObject):
    """A VM with a name, a memory and an annotation: enough for the engine."""

    wsdl_type = vim.VirtualMachine
    prefix = "vm"

    def __init__(self, world: World, name: str) -> None:
        self.vm_name = name
        self.memory = 1024
        self.annotation: str | None = None
        self.devices: list[Any] = []
        super().__init__(world)

    @prop("name")
    def name(self) -> str:
        return self.vm_name

    @prop("config")
    def config(self) -> Any:
        return vim.vm.ConfigInfo(
            name=self.vm_name,
            annotation=self.annotation,
            hardware=vim.vm.VirtualHardware(numCPU=2, memoryMB=self.memory, device=self.devices),
        )

    @prop("summary.config.memorySizeMB")
    def memory_size(self) -> int:
        return self.memory

    @prop("runtime.powerState")
    def power(self) -> str:
        return "poweredOff"

    @prop("recentTask")
    def recent_task(self) -> list[Any]:
        return self.world.tasks.recent(self)

    @method("ReconfigVM_Task", "VirtualMachine.Config.Memory")
    def reconfigure(self, call: Call, spec: Any) -> Any:
        def work() -> None:
            if spec.memoryMB == 0:
                raise vim.fault.InvalidVmConfig(property="memoryMB", msg="No memory")
            self.memory = spec.memoryMB or self.memory
            self.annotation = spec.annotation or self.annotation
            self.devices = [change.device for change in spec.deviceChange] or self.devices
            self.touch()

        return call.start_task(self, "ReconfigVM_Task", work, cancelable=True)


class Folder(SimObject):
    """A folder of VMs and folders."""

    wsdl_type = vim.Folder
    prefix = "group"

    def __init__(self, world: World, name: str) -> None:
        self.folder_name = name
        self.children: list[SimObject] = []
        super().__init__(world)

    @prop("name")
    def name(self) -> str:
        return self.folder_name

    @prop("childEntity")
    def child_entity(self) -> list[Any]:
        return [child.ref for child in self.children]

    def put(self, *children: SimObject) -> None:
        with self.world.lock:
            self.children.extend(children)
            self.touch()

    def drop(self, child: SimObject) -> None:
        with self.world.lock:
            self.children.remove(child)
            self.world.remove(child)
            self.touch()

    @method("CreateFolder")
    def create_folder(self, _: Call, name: str) -> Any:
        made = Folder(self.world, name)
        self.put(made)
        return made.ref


class Client:
    """What a client has: the service, its managers, and a way to name objects."""

    def __init__(self, stub: Any) -> None:
        self.stub = stub
        self.service = vim.ServiceInstance("ServiceInstance", stub)
        self.content = self.service.RetrieveContent()
        self.sessions = self.content.sessionManager
        self.collector = self.content.propertyCollector
        self.views = self.content.viewManager
        self.root = self.content.rootFolder

    def of(self, obj: SimObject) -> Any:
        """Return the client's own reference to an object of the world."""
        return obj.wsdl_type(obj.moid, self.stub)

    def view(self, *kinds: Any) -> Any:
        """Make a view of everything below the root."""
        return self.views.CreateContainerView(self.root, list(kinds), recursive=True)

    def read(self, spec: Any, page: int | None = None) -> Any:
        """Read what a spec selects."""
        return self.collector.RetrievePropertiesEx([spec], PC.RetrieveOptions(maxObjects=page))

    def watch(self, spec: Any) -> Any:
        """Make a filter."""
        return self.collector.CreateFilter(spec, partialUpdates=False)

    def updates(self, version: str, seconds: int = 0, limit: int | None = None) -> Any:
        """Wait for changes."""
        options = PC.WaitOptions(maxWaitSeconds=seconds, maxObjectUpdates=limit)
        return self.collector.WaitForUpdatesEx(version, options)


def moid(ref: Any) -> str:
    """Return the id in a reference."""
    return str(ref._GetMoId())  # noqa: SLF001 - public, says pyVmomi


def view_spec(view: Any, kind: Any, *paths: str) -> Any:
    """Return the spec that reads paths of the objects in a view."""
    step = PC.TraversalSpec(type=type(view), path="view", skip=False)
    start = PC.ObjectSpec(obj=view, skip=True, selectSet=[step])
    return PC.FilterSpec(
        objectSet=[start], propSet=[PC.PropertySpec(type=kind, pathSet=list(paths))]
    )


def object_spec(ref: Any, *paths: str) -> Any:
    """Return the spec that reads paths of one object."""
    wanted = PC.PropertySpec(type=type(ref), pathSet=list(paths))
    return PC.FilterSpec(objectSet=[PC.ObjectSpec(obj=ref)], propSet=[wanted])


class Lab:
    """A world with a root folder, and clients for it."""

    def __init__(self, door: str, stack: ExitStack, world: World) -> None:
        self.door = door
        self.world = world
        self.root = Folder(world, "Datacenters")
        world.service.content.rootFolder = self.root
        self._stack = stack
        self._server: SoapServer | None = None
        stack.callback(world.close)

    @property
    def server(self) -> SoapServer:
        if self._server is None:
            self._server = self._stack.enter_context(SoapServer(self.world))
        return self._server

    def vm(self, name: str) -> Vm:
        made = Vm(self.world, name)
        self.root.put(made)
        return made

    def stub(self, version: str | None = None) -> Any:
        if self.door == "in-process":
            return InProcessStub(self.world, version)
        host, _, port = self.server.server.rpartition(":")
        stub = SoapStubAdapter(
            host=host,
            port=int(port),
            version=version or self.world.api_version,
            sslContext=ssl.create_default_context(cafile=str(self.server.ca_file)),
        )
        self._stack.callback(stub.DropConnections)
        return stub

    def connect(self, user: str = "admin", password: str = "secret") -> Client:  # noqa: S107 - a test's
        """Log in."""
        client = Client(self.stub())
        client.sessions.Login(user, password)
        return client


MakeLab = Callable[..., Lab]
