"""What every entity of the inventory has: a name, a parent, permissions and tasks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pyVmomi import vim

from provision.simulator.engine.objects import SimObject, method, prop
from provision.simulator.inventory import faults, permission

if TYPE_CHECKING:
    from provision.simulator.engine.call import Call
    from provision.simulator.inventory.folder import Folder
    from provision.simulator.inventory.inventory import Inventory

LONGEST_NAME = 80
ADMINISTRATOR_ROLE = -1


def checked_name(name: str) -> str:
    """Return the name, escaped as vCenter does.

    Raises:
        vim.fault.InvalidName: It is empty or longer than 80 characters.
    """
    if not name or len(name) > LONGEST_NAME:
        message = f"The name '{name[:LONGEST_NAME]}' is empty or longer than 80 characters."
        raise faults.refuse(vim.fault.InvalidName, message, name=name)
    return name.replace("%", "%25").replace("/", "%2f").replace("\\", "%5c")


class Entity(SimObject):
    """A managed entity. `parent` is the folder, cluster or pool that it is found under."""

    def __init__(
        self, inventory: Inventory, name: str, parent: Entity | None, moid: str | None = None
    ) -> None:
        self.inventory = inventory
        self.name = name
        self.parent = parent
        self.custom_values: dict[int, str] = {}
        super().__init__(inventory.world, moid)

    @prop("name")
    def get_name(self) -> str:
        """The name, unique in its folder."""
        return self.name

    @prop("parent")
    def get_parent(self) -> Any:
        """What the entity is found under."""
        return self.parent.ref if self.parent else None

    @prop("overallStatus")
    def overall_status(self) -> str:
        """No alarm ever goes off."""
        return "green"

    @prop("configStatus")
    def config_status(self) -> str:
        """No configuration issue is ever found."""
        return "green"

    @prop("alarmActionsEnabled")
    def alarm_actions_enabled(self) -> bool:
        """Alarms would act if there were any."""
        return True

    @prop("effectiveRole")
    def effective_role(self) -> list[int]:
        """The roles of the caller."""
        return [ADMINISTRATOR_ROLE]

    @prop("recentTask")
    def recent_task(self) -> list[Any]:
        """Tasks on this entity that run or ended a short time ago."""
        return self.world.tasks.recent(self)

    @prop("customValue")
    def custom_value(self) -> list[Any]:
        """Values of custom fields."""
        values = sorted(self.custom_values.items())
        return [vim.CustomFieldsManager.StringValue(key=key, value=v) for key, v in values]

    @prop("value")
    def value(self) -> list[Any]:
        """Values of custom fields."""
        return self.custom_value()

    @prop("availableField")
    def available_field(self) -> list[Any]:
        """Custom fields that the entity may have."""
        return self.inventory.custom_fields.definitions(self)

    @method("Rename_Task")
    def rename_task(self, call: Call, newName: str) -> Any:  # noqa: N803 - WSDL's name
        """Give the entity another name."""
        permission.require(call, permission.of_kind(permission.RENAMING, self))
        return call.start_task(self, "Rename_Task", lambda: self.rename(newName))

    @method("Destroy_Task")
    def destroy_task(self, call: Call) -> Any:
        """Delete the entity with all that it holds."""
        permission.require(call, permission.of_kind(permission.DELETING, self))
        return call.start_task(self, "Destroy_Task", self.destroy)

    @method("setCustomValue", "Global.SetCustomField")
    def set_custom_value(self, _: Call, key: str, value: str) -> None:
        """Set the custom field of that name."""
        self.inventory.custom_fields.set_by_name(self, key, value)

    @method("Reload")
    def reload(self, _: Call) -> None:
        """Read the entity anew from what it stands for: nothing to do."""

    @property
    def folder(self) -> Folder | None:
        """The folder that the entity lies in, whose names must be unique."""
        return self.inventory.folder_of(self)

    def rename(self, name: str) -> None:
        """Give the entity another name.

        Raises:
            vim.fault.DuplicateName: The name is taken in the folder.
        """
        name = checked_name(name)
        if (folder := self.folder) is not None and name != self.name:
            folder.require_free(name)
            folder.forget(self)
            self.name = name
            folder.keep(self)
        self.name = name
        self.touch()

    def destroy(self) -> None:
        """Delete the entity.

        Raises:
            vmodl.fault.NotSupported: Nobody can delete it.
        """
        raise faults.unsupported(f"{self.name} can't be deleted in the simulator.")

    def path(self) -> str:
        """Return the inventory path without the root folder, such as `/DC0/vm/vdl/x`."""
        names: list[str] = []
        entity: Entity | None = self
        while entity is not None and entity.parent is not None:
            names.append(entity.name)
            entity = entity.parent
        return "/" + "/".join(reversed(names))
