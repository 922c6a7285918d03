"""Cases about power, templates, hardware versions and hosts."""

from __future__ import annotations

from typing import Any

from pyVmomi import vim

from tests.contract.site import Site, fault, outcome
from tests.contract.specs import change, vgpu


def power_states(site: Site) -> Any:
    """What is possible in which power state."""
    vm = site.vm
    steps = (
        ("off: off", vm.PowerOffVM_Task),
        ("off: reset", vm.ResetVM_Task),
        ("off: suspend", vm.SuspendVM_Task),
        ("off: on", vm.PowerOnVM_Task),
        ("on: on", vm.PowerOnVM_Task),
        ("on: reset", vm.ResetVM_Task),
        ("on: destroy", vm.Destroy_Task),
        ("on: suspend", vm.SuspendVM_Task),
        ("suspended: on", vm.PowerOnVM_Task),
        ("on: off", vm.PowerOffVM_Task),
    )
    return {name: outcome(lambda step=step: site.wait(step())) for name, step in steps}


def power_state_is_shown(site: Site) -> Any:
    vm, seen = site.vm, []
    for step in (vm.PowerOnVM_Task, vm.SuspendVM_Task, vm.PowerOnVM_Task, vm.PowerOffVM_Task):
        site.wait(step())
        paths = ("runtime.powerState", "summary.runtime.powerState")
        seen.append([str(site.read(vm, path)) for path in paths])
    return seen


def guest_operations_of_a_vm_that_is_off(site: Site) -> Any:
    vm = site.vm
    return [fault(vm.ShutdownGuest), fault(vm.RebootGuest)]


def guest_operations_without_tools(site: Site) -> Any:
    vm = site.power_on(site.vm)
    return [fault(vm.ShutdownGuest), fault(vm.RebootGuest)]


def destroyed_vm(site: Site) -> Any:
    vm = site.vm
    ended = site.ended(vm.Destroy_Task())
    return [ended, site.at("DC0/vm/DC0_C0_RP0_VM0"), fault(lambda: vm.name), fault(vm.Destroy_Task)]


def unregistered_vm(site: Site) -> Any:
    vm = site.vm
    vm.UnregisterVM()
    return [site.at("DC0/vm/DC0_C0_RP0_VM0"), fault(lambda: vm.name)]


def unregistering_a_running_vm(site: Site) -> Any:
    return fault(site.power_on(site.vm).UnregisterVM)


def template_and_back(site: Site) -> Any:
    vm = site.vm
    vm.MarkAsTemplate()
    as_template = vm.config.template
    vm.MarkAsVirtualMachine(pool=site.cluster.resourcePool, host=site.host)
    return [as_template, vm.config.template, vm.resourcePool == site.cluster.resourcePool]


def template_is_powered_on(site: Site) -> Any:
    vm = site.vm
    vm.MarkAsTemplate()
    return outcome(lambda: site.wait(vm.PowerOnVM_Task()))


def running_vm_becomes_a_template(site: Site) -> Any:
    return fault(site.power_on(site.vm).MarkAsTemplate)


def vm_is_made_a_vm(site: Site) -> Any:
    return fault(lambda: site.vm.MarkAsVirtualMachine(pool=site.cluster.resourcePool))


def hardware_of_a_running_vm(site: Site) -> Any:
    """Without hot-add, CPUs stay as they are while the VM runs."""
    return site.reconfigure(site.power_on(site.vm), numCPUs=2)


def vgpu_of_a_running_vm(site: Site) -> Any:
    """PCI passthrough devices can't be added to a VM that runs."""
    return site.reconfigure(site.power_on(site.vm), deviceChange=[change("add", vgpu())])


def running_vm_without_room_for_its_vgpu(site: Site) -> Any:
    """No host here has a card."""
    vm = site.vm
    site.reconfigure(vm, memoryReservationLockedToMax=True, deviceChange=[change("add", vgpu())])
    return outcome(lambda: site.wait(vm.PowerOnVM_Task()))


def hardware_upgrade(site: Site) -> Any:
    return [site.ended(site.vm.UpgradeVM_Task("vmx-20")), site.vm.config.version]


def hardware_upgrade_twice(site: Site) -> Any:
    site.wait(site.vm.UpgradeVM_Task("vmx-20"))
    return site.ended(site.vm.UpgradeVM_Task("vmx-20"))


def hardware_upgrade_of_a_running_vm(site: Site) -> Any:
    return site.ended(site.power_on(site.vm).UpgradeVM_Task("vmx-20"))


def hardware_upgrade_to_an_unknown_version(site: Site) -> Any:
    return site.ended(site.vm.UpgradeVM_Task("vmx-99"))


def relocation(site: Site) -> Any:
    vm, other = site.vm, site.at("DC0/host/DC0_C0/DC0_C0_H1")
    ended = site.ended(vm.RelocateVM_Task(vim.vm.RelocateSpec(host=other)))
    return [ended, site.read(vm, "runtime.host") == other]


def maintenance_mode(site: Site) -> Any:
    host = site.host
    entered = site.ended(host.EnterMaintenanceMode_Task(timeout=0))
    inside = host.runtime.inMaintenanceMode
    left = site.ended(host.ExitMaintenanceMode_Task(timeout=0))
    return [entered, inside, left, host.runtime.inMaintenanceMode]


def snapshot_of_a_vm_with_a_vgpu(site: Site) -> Any:
    vm = site.vm
    site.reconfigure(vm, deviceChange=[change("add", vgpu())])
    task = vm.CreateSnapshot_Task(name="s", memory=False, quiesce=False)
    return site.ended(task)


def config_target(site: Site) -> Any:
    """What a cluster can give to VMs: the datastores and networks of its hosts."""
    target = site.cluster.environmentBrowser.QueryConfigTarget(host=site.host)
    return [[d.name for d in target.datastore], [n.name for n in target.network]]


def newest_hardware_version(site: Site) -> Any:
    browser = site.cluster.environmentBrowser
    (default,) = (o.key for o in browser.QueryConfigOptionDescriptor() if o.defaultConfigOption)
    return default


def graphics_and_passthrough_settings(site: Site) -> Any:
    """The managers that prepare a host's cards, and a card that is not there."""
    manager = site.host.configManager
    unknown = vim.host.PciPassthruConfig(id="0000:ff:00.0", passthruEnabled=True)
    return [
        manager.graphicsManager is not None,
        manager.pciPassthruSystem is not None
        and fault(lambda: manager.pciPassthruSystem.UpdatePassthruConfig([unknown])),
    ]


def host_reboot(site: Site) -> Any:
    host = site.host
    return outcome(lambda: site.wait(host.RebootHost_Task(force=True)))
