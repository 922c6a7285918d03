"""Distributed switches and their port groups."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING, Any

from pyVmomi import vim

from provision.simulator.engine.objects import prop
from provision.simulator.inventory.entity import Entity
from provision.simulator.inventory.storage import Network

if TYPE_CHECKING:
    from provision.simulator.inventory.folder import Datacenter
    from provision.simulator.inventory.inventory import Inventory

_Ethernet = vim.vm.device.VirtualEthernetCard
PORTS = 8


class Switch(Entity):
    """A distributed switch that every host is a member of."""

    wsdl_type = vim.dvs.VmwareDistributedVirtualSwitch
    prefix = "dvs"

    def __init__(self, inventory: Inventory, name: str, datacenter: Datacenter) -> None:
        self.groups: list[PortGroup] = []
        super().__init__(inventory, name, datacenter.network_folder)
        self.uuid = str(uuid.uuid5(uuid.NAMESPACE_URL, f"dvs:{datacenter.name}/{name}"))

    @prop("uuid")
    def get_uuid(self) -> str:
        """What network cards call the switch."""
        return self.uuid

    @prop("portgroup")
    def portgroup(self) -> list[Any]:
        """Its port groups."""
        return [group.ref for group in self.groups]


class PortGroup(Network):
    """A distributed port group."""

    wsdl_type = vim.dvs.DistributedVirtualPortgroup
    prefix = "dvportgroup"

    def __init__(self, switch: Switch, name: str, datacenter: Datacenter) -> None:
        self.switch = switch
        super().__init__(switch.inventory, name, datacenter)
        switch.groups.append(self)

    @prop("key")
    def key(self) -> str:
        """What network cards call the port group."""
        return self.moid

    @prop("config")
    def config(self) -> Any:
        """Its switch, and how it gives out ports."""
        return vim.dvs.DistributedVirtualPortgroup.ConfigInfo(
            key=self.moid,
            name=self.name,
            numPorts=PORTS,
            distributedVirtualSwitch=self.switch.ref,
            type="earlyBinding",
            policy=vim.dvs.VmwareDistributedVirtualSwitch.VMwarePortgroupPolicy(
                blockOverrideAllowed=True,
                shapingOverrideAllowed=False,
                vendorConfigOverrideAllowed=False,
                livePortMovingAllowed=False,
                portConfigResetAtDisconnect=True,
                vlanOverrideAllowed=False,
                uplinkTeamingOverrideAllowed=False,
                securityPolicyOverrideAllowed=False,
            ),
        )

    def is_named(self, port: Any) -> bool:
        """Whether a port connection is one with this port group."""
        return (port.switchUuid, port.portgroupKey) == (self.switch.uuid, self.moid)

    def backing(self) -> Any:
        """Return the backing of a network card that is connected here."""
        port = vim.dvs.PortConnection(switchUuid=self.switch.uuid, portgroupKey=self.moid)
        return _Ethernet.DistributedVirtualPortBackingInfo(port=port)
