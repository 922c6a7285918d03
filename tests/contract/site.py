"""The same small vCenter, once from vdl's simulator and once from VMware's own."""

from __future__ import annotations

import json
import shutil
import ssl
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pyVmomi import SoapStubAdapter, VmomiSupport, vim, vmodl

from provision.simulator.server import Simulator

SOURCE = Path(__file__).parent / "vcsim"
BINARY = Path(__file__).parents[2] / ".tools" / "vcsim" / "vcsim"
LONGEST_WAIT = 20.0
VERSION = VmomiSupport.versionMap["vim25/8.0.3.0"]
# pyVmomi looks up types by name: what is no type of the API is a KeyError.
UNREADABLE = "an answer that pyVmomi can't read"

# What vcsim's model makes, as a world file: the names follow vcsim's.
WORLD = """
vcenter: {api: 8.0.3.0, users: {administrator@vsphere.local: simulated}}
DC0:
  clusters:
    DC0_C0:
      hosts: {"DC0_C0_H[0-1]": {memory: 64 GiB}}
      vms:
        "DC0_C0_RP0_VM[0-1]":
          {host: DC0_C0_H0, cpus: 1, memory: 32 MiB, disk: 10 GiB, tools: false, firmware: bios}
  datastores: {LocalDS_0: 10 TiB}
"""


class Site:
    """A vCenter with DC0, the cluster DC0_C0 of two hosts, and two VMs, and a session to it."""

    def __init__(self, server: str, context: ssl.SSLContext, username: str, password: str) -> None:
        self.server, self.username, self.password = server, username, password
        self._context = context
        self._stubs: list[Any] = []
        self.service = self.login()
        self.content = self.service.RetrieveContent()

    def login(self, username: str | None = None, password: str | None = None) -> Any:
        """Return the service instance of a new session."""
        host, _, port = self.server.partition(":")
        stub = SoapStubAdapter(host=host, port=int(port), version=VERSION, sslContext=self._context)
        self._stubs.append(stub)
        service = vim.ServiceInstance("ServiceInstance", stub)
        manager = service.RetrieveContent().sessionManager
        manager.Login(username or self.username, password or self.password)
        return service

    def close(self) -> None:
        for stub in self._stubs:
            stub.DropConnections()

    def at(self, path: str) -> Any:
        """Return the object at an inventory path."""
        return self.content.searchIndex.FindByInventoryPath(path)

    @property
    def folder(self) -> Any:
        """The folder of VMs."""
        return self.at("DC0/vm")

    @property
    def cluster(self) -> Any:
        return self.at("DC0/host/DC0_C0")

    @property
    def host(self) -> Any:
        return self.at("DC0/host/DC0_C0/DC0_C0_H0")

    @property
    def vm(self) -> Any:
        """The first VM, powered off."""
        return self.at("DC0/vm/DC0_C0_RP0_VM0")

    @property
    def other_vm(self) -> Any:
        return self.at("DC0/vm/DC0_C0_RP0_VM1")

    def read(self, obj: Any, path: str) -> Any:
        """Return one property and no more.

        Of a VM, pyVmomi can't read all of `runtime` or `summary` from vcsim, which sends an
        empty faultToleranceState (govmomi issue 4084).
        """
        query = vmodl.query.PropertyCollector
        spec = query.FilterSpec(
            objectSet=[query.ObjectSpec(obj=obj)],
            propSet=[query.PropertySpec(type=type(obj), pathSet=[path])],
        )
        (found,) = self.content.propertyCollector.RetrieveContents([spec])
        return found.propSet[0].val if found.propSet else None

    def wait(self, task: Any) -> Any:
        """Return the result of a task, or raise its fault."""
        end = time.monotonic() + LONGEST_WAIT
        while (info := task.info).state in ("queued", "running"):
            if time.monotonic() > end:
                raise TimeoutError(info.descriptionId)
            time.sleep(0.01)
        if info.error is not None:
            raise info.error
        return info.result

    def ended(self, task: Any) -> str:
        """Return how a task ended: `success` or the name of its fault."""
        return outcome(lambda: self.wait(task))

    def clone(self, name: str = "made", **config: Any) -> Any:
        """Clone the first VM; `config` are fields of the ConfigSpec."""
        spec = vim.vm.CloneSpec(location=self.location(), config=vim.vm.ConfigSpec(**config))
        return self.wait(self.vm.CloneVM_Task(folder=self.folder, name=name, spec=spec))

    def location(self) -> Any:
        return vim.vm.RelocateSpec(pool=self.cluster.resourcePool, host=self.host)

    def reconfigure(self, vm: Any, **config: Any) -> str:
        """Reconfigure a VM and return how that ended."""
        return outcome(lambda: self.wait(vm.ReconfigVM_Task(vim.vm.ConfigSpec(**config))))

    def power_on(self, vm: Any) -> Any:
        """Power a VM on and return it."""
        self.wait(vm.PowerOnVM_Task())
        return vm


def outcome(call: Callable[[], Any]) -> str:
    """Return `success`, or the name of the fault that a call raises."""
    return "success" if (name := fault(call)) == "no fault" else name


def _plain(value: Any) -> Any:
    """Return a value without pyVmomi's own kinds of text and number, as YAML has it."""
    if isinstance(value, dict):
        return {str(key): _plain(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(one) for one in value]
    kinds = (bool, int, str)
    return next((kind(value) for kind in kinds if isinstance(value, kind)), value)


def answer(case: Callable[[Site], Any], site: Site) -> Any:
    """Return what a case observes, or in words why it observes nothing."""
    try:
        return _plain(case(site))
    except vmodl.MethodFault as raised:
        return type(raised).__name__.rpartition(".")[2]
    except KeyError:
        return UNREADABLE
    except ConnectionError:
        return "the process ends"


def fault(call: Callable[[], Any]) -> str:
    """Return the name of the fault that a call raises, or `no fault`."""
    try:
        call()
    except vmodl.MethodFault as raised:
        return type(raised).__name__.rpartition(".")[2]
    except KeyError:
        return UNREADABLE
    return "no fault"


def build_vcsim() -> None:
    assert shutil.which("go"), "the contract tests build vcsim: install Go and put it on the PATH"
    BINARY.parent.mkdir(parents=True, exist_ok=True)
    subprocess.run(["go", "build", "-o", BINARY, "."], cwd=SOURCE, check=True)  # noqa: S607 - Go as the PATH has it


@contextmanager
def vcsim() -> Iterator[Site]:
    """Serve VMware's simulator for as long as the block runs."""
    pipe = subprocess.PIPE
    with subprocess.Popen([BINARY], stdin=pipe, stdout=pipe, stderr=pipe, text=True) as process:
        assert process.stdout is not None
        assert process.stdin is not None
        ready = json.loads(process.stdout.readline())
        context = ssl.create_default_context(cadata=ready["certificate"])
        with _open(Site(ready["server"], context, ready["username"], ready["password"])) as site:
            yield site
        process.stdin.close()


@contextmanager
def vdl() -> Iterator[Site]:
    """Serve vdl's simulator for as long as the block runs."""
    with Simulator.from_text(WORLD) as simulator:
        door = simulator.serve()
        context = ssl.create_default_context(cafile=door.ca_file)
        with _open(Site(door.server, context, door.username, simulator.password)) as site:
            yield site


@contextmanager
def _open(site: Site) -> Iterator[Site]:
    try:
        yield site
    finally:
        site.close()
