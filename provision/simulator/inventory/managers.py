"""Custom fields, permissions and settings of the vCenter."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Any

from pyVmomi import vim

from provision.simulator.engine.objects import SimObject, method, prop
from provision.simulator.inventory import faults
from provision.simulator.inventory.entity import Entity

if TYPE_CHECKING:
    from provision.simulator.engine.call import Call
    from provision.simulator.inventory.inventory import Inventory

ADMINISTRATOR, READ_ONLY, VIEW, ANONYMOUS, NO_ACCESS = -1, -2, -3, -4, -5


class CustomFieldsManager(SimObject):
    """`content.customFieldsManager`."""

    wsdl_type = vim.CustomFieldsManager
    prefix = "CustomFieldsManager"

    def __init__(self, inventory: Inventory) -> None:
        self.inventory = inventory
        self._fields: dict[int, Any] = {}
        self._keys = itertools.count(101)
        super().__init__(inventory.world, "CustomFieldsManager")

    @prop("field")
    def field(self) -> list[Any]:
        """All fields."""
        return list(self._fields.values())

    def definitions(self, entity: Entity) -> list[Any]:
        """Return the fields that an entity may have."""
        fields = self._fields.values()
        kinds = (None, entity.wsdl_type)
        return [field for field in fields if field.managedObjectType in kinds]

    @method("AddCustomFieldDef")
    def add(
        self,
        _: Call,
        name: str,
        moType: Any = None,  # noqa: N803 - WSDL's name
        fieldDefPolicy: Any = None,  # noqa: N803 - WSDL's name
        fieldPolicy: Any = None,  # noqa: N803 - WSDL's name
    ) -> Any:
        """Make a field."""
        del fieldDefPolicy, fieldPolicy
        if any(field.name == name for field in self._fields.values()):
            raise faults.duplicate(name, self.ref)
        key = next(self._keys)
        field = vim.CustomFieldsManager.FieldDef(
            key=key, name=name, type=str, managedObjectType=moType
        )
        self._fields[key] = field
        self.touch()
        return field

    @method("RenameCustomFieldDef")
    def rename(self, _: Call, key: int, name: str) -> None:
        """Give a field another name."""
        self._require(key)
        if any(field.name == name for field in self._fields.values() if field.key != key):
            raise faults.duplicate(name, self.ref)
        self._fields[key].name = name
        self.touch()

    @method("RemoveCustomFieldDef")
    def remove(self, _: Call, key: int) -> None:
        """Delete a field."""
        self._require(key)
        del self._fields[key]
        for entity in self.world.objects.values():
            if isinstance(entity, Entity) and entity.custom_values.pop(key, None) is not None:
                entity.touch()
        self.touch()

    @method("SetField")
    def set_field(self, _: Call, entity: Any, key: int, value: str) -> None:
        """Set a field of an entity; an empty value unsets it."""
        self._require(key)
        self._set(self.inventory.entity(entity), key, value)

    def set_by_name(self, entity: Entity, name: str, value: str) -> None:
        """Set the field of that name.

        Raises:
            vmodl.fault.InvalidArgument: There is no such field.
        """
        for key, field in self._fields.items():
            if field.name == name:
                self._set(entity, key, value)
                return
        raise faults.invalid_argument("key", f"There is no custom field {name}.")

    @staticmethod
    def _set(entity: Entity, key: int, value: str) -> None:
        if value:
            entity.custom_values[key] = value
        else:
            entity.custom_values.pop(key, None)
        entity.touch()

    def _require(self, key: int) -> None:
        if key not in self._fields:
            raise faults.invalid_argument("key", f"There is no custom field {key}.")


class AuthorizationManager(SimObject):
    """`content.authorizationManager`: every user holds the same privileges everywhere."""

    wsdl_type = vim.AuthorizationManager
    prefix = "AuthorizationManager"

    def _privileges(self, user: str) -> frozenset[str] | None:
        known = self.world.settings.users.get(user)
        return known.privileges if known else frozenset()

    def _all(self) -> list[str]:
        given = [u.privileges for u in self.world.settings.users.values() if u.privileges]
        return sorted(set(_KNOWN).union(*given))

    def _held(self, user: str) -> list[str]:
        privileges = self._privileges(user)
        return self._all() if privileges is None else sorted(privileges)

    @prop("roleList")
    def role_list(self) -> list[Any]:
        """The roles that every vCenter has."""
        names = {ADMINISTRATOR: "Admin", READ_ONLY: "ReadOnly", NO_ACCESS: "NoAccess"}
        return [
            vim.AuthorizationManager.Role(
                roleId=number,
                system=True,
                name=name,
                info=vim.Description(label=name, summary=name),
                privilege=self._all() if number == ADMINISTRATOR else [],
            )
            for number, name in names.items()
        ]

    @prop("privilegeList")
    def privilege_list(self) -> list[Any]:
        """The privileges that VM provisioning needs."""
        return [
            vim.AuthorizationManager.Privilege(
                privId=name,
                onParent=False,
                name=name.rpartition(".")[2],
                privGroupName=name.rpartition(".")[0],
            )
            for name in self._all()
        ]

    @method("FetchUserPrivilegeOnEntities")
    def fetch(self, _: Call, entities: list[Any], userName: str) -> list[Any]:  # noqa: N803 - WSDL's name
        """Return what a user may do with each entity."""
        held = self._held(userName)
        return [
            vim.AuthorizationManager.UserPrivilegeResult(entity=entity, privileges=held)
            for entity in entities
        ]

    @method("HasPrivilegeOnEntities")
    def has_on_entities(
        self,
        call: Call,
        entity: list[Any],
        sessionId: str,  # noqa: N803 - WSDL's name
        privId: list[str] | None = None,  # noqa: N803 - WSDL's name
    ) -> list[Any]:
        """Tell for each entity which of the privileges a session has."""
        sessions = {session.key: session for session in call.world.sessions.all()}
        user = sessions[sessionId].user if sessionId in sessions else ""
        return self._availability(entity, user, privId)

    @method("HasUserPrivilegeOnEntities")
    def has_user_on_entities(
        self,
        _: Call,
        entities: list[Any],
        userName: str,  # noqa: N803 - WSDL's name
        privId: list[str] | None = None,  # noqa: N803 - WSDL's name
    ) -> list[Any]:
        """Tell for each entity which of the privileges a user has."""
        return self._availability(entities, userName, privId)

    def _availability(self, entities: list[Any], user: str, names: list[str] | None) -> list[Any]:
        held = set(self._held(user))
        return [
            vim.AuthorizationManager.EntityPrivilege(
                entity=entity,
                privAvailability=[
                    vim.AuthorizationManager.PrivilegeAvailability(
                        privId=name, isGranted=name in held or self._privileges(user) is None
                    )
                    for name in names or ()
                ],
            )
            for entity in entities
        ]


class OptionManager(SimObject):
    """`content.setting`: the few settings that clients ask for."""

    wsdl_type = vim.option.OptionManager
    prefix = "VpxSettings"

    @prop("setting")
    def setting(self) -> list[Any]:
        """All settings."""
        options = {
            "VirtualCenter.InstanceName": "vdl simulator",
            "VirtualCenter.FQDN": "localhost",
            "vdl.simulated": "true",
        }
        return [vim.option.OptionValue(key=key, value=value) for key, value in options.items()]

    @method("QueryOptions")
    def query(self, _: Call, name: str | None = None) -> list[Any]:
        """Return the setting of that name, or those below a name that ends in a dot."""
        wanted = name or ""
        found = [
            option
            for option in self.setting()
            if option.key == wanted or (wanted.endswith(".") and option.key.startswith(wanted))
        ]
        if wanted and not found:
            raise faults.refuse(
                vim.fault.InvalidName, f"There is no setting {wanted}.", name=wanted
            )
        return found if wanted else self.setting()


# What vSphere's own documentation lists for deploying a VM from a template, and for hosts' GPUs.
_KNOWN = (
    "Authorization.ModifyPermissions",
    "Datastore.AllocateSpace",
    "Datastore.Browse",
    "Folder.Create",
    "Folder.Delete",
    "Folder.Move",
    "Folder.Rename",
    "Global.ManageCustomFields",
    "Global.SetCustomField",
    "Global.Settings",
    "Host.Config.Connection",
    "Host.Config.Maintenance",
    "Host.Config.PciPassthru",
    "Host.Config.Settings",
    "Network.Assign",
    "Resource.AssignVMToPool",
    "Resource.ColdMigrate",
    "Resource.CreatePool",
    "Resource.HotMigrate",
    "Sessions.TerminateSession",
    "System.Anonymous",
    "System.Read",
    "System.View",
    "VirtualMachine.Config.AddExistingDisk",
    "VirtualMachine.Config.AddNewDisk",
    "VirtualMachine.Config.AddRemoveDevice",
    "VirtualMachine.Config.AdvancedConfig",
    "VirtualMachine.Config.CPUCount",
    "VirtualMachine.Config.DiskExtend",
    "VirtualMachine.Config.EditDevice",
    "VirtualMachine.Config.HostUSBDevice",
    "VirtualMachine.Config.Memory",
    "VirtualMachine.Config.RawDevice",
    "VirtualMachine.Config.Rename",
    "VirtualMachine.Config.Resource",
    "VirtualMachine.Config.Settings",
    "VirtualMachine.Config.UpgradeVirtualHardware",
    "VirtualMachine.Interact.AnswerQuestion",
    "VirtualMachine.Interact.DeviceConnection",
    "VirtualMachine.Interact.PowerOff",
    "VirtualMachine.Interact.PowerOn",
    "VirtualMachine.Interact.Reset",
    "VirtualMachine.Interact.Suspend",
    "VirtualMachine.Inventory.Create",
    "VirtualMachine.Inventory.CreateFromExisting",
    "VirtualMachine.Inventory.Delete",
    "VirtualMachine.Inventory.Move",
    "VirtualMachine.Inventory.Unregister",
    "VirtualMachine.Provisioning.Clone",
    "VirtualMachine.Provisioning.DeployTemplate",
    "VirtualMachine.Provisioning.MarkAsTemplate",
    "VirtualMachine.Provisioning.MarkAsVM",
    "VirtualMachine.State.CreateSnapshot",
)
