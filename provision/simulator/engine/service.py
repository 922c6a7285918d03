"""The entrance of the service: what it is, and where its managers are."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any

from pyVmomi import vim

from provision.simulator.engine.collector import PropertyCollector
from provision.simulator.engine.objects import NO_LOGIN_NEEDED, SimObject, method, prop
from provision.simulator.engine.schema import fields
from provision.simulator.engine.sessions import SessionManager
from provision.simulator.engine.tasks import TaskManager
from provision.simulator.engine.views import ViewManager

if TYPE_CHECKING:
    from provision.simulator.engine.call import Call
    from provision.simulator.engine.world import World

NAME = "vdl simulator"


class Content:
    """The managers of the service: set `content.searchIndex = OBJECT` to offer one more.

    The names are those of `vim.ServiceInstanceContent`; any other raises `AttributeError`.
    """

    def __init__(self) -> None:
        self.managers: dict[str, SimObject]
        self.__dict__["managers"] = {}

    def __setattr__(self, name: str, manager: SimObject) -> None:
        if name not in fields(vim.ServiceInstanceContent):
            raise AttributeError(f"ServiceContent has no {name}")
        self.managers[name] = manager

    def __getattr__(self, name: str) -> SimObject:
        try:
            return self.managers[name]
        except KeyError:
            raise AttributeError(name) from None


class ServiceInstance(SimObject):
    """The object that every client starts from."""

    wsdl_type = vim.ServiceInstance
    prefix = "ServiceInstance"

    def __init__(self, world: World) -> None:
        super().__init__(world, "ServiceInstance")
        self.task_manager = TaskManager(world, "TaskManager")
        self.content = Content()
        self.content.sessionManager = SessionManager(world, "SessionManager")
        self.content.propertyCollector = PropertyCollector(world, "propertyCollector")
        self.content.viewManager = ViewManager(world, "ViewManager")
        self.content.taskManager = self.task_manager

    @prop("content")
    def service_content(self) -> Any:
        """The managers that this vCenter has."""
        refs = {name: manager.ref for name, manager in self.content.managers.items()}
        # Required by the type; a world without an inventory has no object behind it.
        refs.setdefault("rootFolder", vim.Folder("group-d1"))
        return vim.ServiceInstanceContent(about=self._about(), **refs)

    @prop("serverClock")
    def server_clock(self) -> datetime:
        """The date and time of the world."""
        return self.world.clock.now()

    @method("RetrieveServiceContent", NO_LOGIN_NEEDED)
    def retrieve_content(self, _: Call) -> Any:
        """Return the managers that this vCenter has."""
        return self.service_content()

    @method("CurrentTime")
    def current_time(self, _: Call) -> datetime:
        """Return the date and time of the world."""
        return self.world.clock.now()

    def _about(self) -> Any:
        settings = self.world.settings
        version = ".".join(settings.api_version.split(".")[:3])
        return vim.AboutInfo(
            name=NAME,
            fullName=f"{NAME} {version}",
            vendor="vdl",
            version=version,
            build="1",
            localeVersion="INTL",
            localeBuild="000",
            osType="linux-x64",
            productLineId="vpx",
            apiType="VirtualCenter",
            apiVersion=settings.api_version,
            instanceUuid=settings.instance_uuid,
        )
