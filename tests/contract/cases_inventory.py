"""Cases about looking things up, folders, custom fields and tasks."""

from __future__ import annotations

from typing import Any

from pyVmomi import vim

from tests.contract.site import Site, fault, outcome


def _name(entity: Any) -> str | None:
    return entity.name if entity is not None else None


def inventory_paths(site: Site) -> Any:
    paths = (
        "DC0",
        "DC0/vm",
        "DC0/vm/DC0_C0_RP0_VM0",
        "DC0/host/DC0_C0",
        "DC0/host/DC0_C0/DC0_C0_H1",
        "DC0/host/DC0_C0/Resources",
        "DC0/datastore/LocalDS_0",
        "DC0/network/VM Network",
        "DC0/vm/nobody",
        "nowhere/vm",
    )
    return {path: _name(site.at(path)) for path in paths}


def children(site: Site) -> Any:
    index = site.content.searchIndex
    pairs = (
        (site.content.rootFolder, "DC0"),
        (site.at("DC0"), "vm"),
        (site.folder, "DC0_C0_RP0_VM0"),
        (site.folder, "nobody"),
        (site.cluster, "DC0_C0_H0"),
        (site.cluster.resourcePool, "DC0_C0_RP0_VM0"),
    )
    return [_name(index.FindChild(entity, name)) for entity, name in pairs]


def uuids(site: Site) -> Any:
    """By BIOS UUID, by instance UUID, by the wrong one of the two, and by a host's."""
    index, config = site.content.searchIndex, site.vm.config
    host = site.host.hardware.systemInfo.uuid

    def find(uuid: str, *, vm: bool = True, instance: bool = False) -> str | None:
        return _name(index.FindByUuid(uuid=uuid, vmSearch=vm, instanceUuid=instance))

    return {
        "bios": find(config.uuid),
        "instance": find(config.instanceUuid, instance=True),
        "bios as instance": find(config.uuid, instance=True),
        "vm as host": find(config.uuid, vm=False),
        "host": find(host, vm=False),
        "unknown": find("00000000-0000-0000-0000-000000000000"),
        "all": [_name(v) for v in index.FindAllByUuid(uuid=config.uuid, vmSearch=True)],
        "none": len(index.FindAllByUuid(uuid=host, vmSearch=True)),
    }


def datastore_path(site: Site) -> Any:
    index, datacenter = site.content.searchIndex, site.at("DC0")
    path = site.vm.config.files.vmPathName
    found = index.FindByDatastorePath(datacenter, path)
    return [_name(found), _name(index.FindByDatastorePath(datacenter, f"{path}.old"))]


def unknown_addresses(site: Site) -> Any:
    """Nobody has this address or this name."""
    index = site.content.searchIndex
    return [
        index.FindByIp(ip="192.0.2.1", vmSearch=True),
        index.FindByDnsName(dnsName="nobody.example.com", vmSearch=True),
        len(index.FindAllByIp(ip="192.0.2.1", vmSearch=True)),
        len(index.FindAllByDnsName(dnsName="nobody.example.com", vmSearch=True)),
    ]


def folder_is_made(site: Site) -> Any:
    folder = site.folder.CreateFolder("lab")
    return [folder.name, folder.parent == site.folder, sorted(_kinds(folder)), folder.childEntity]


def _kinds(folder: Any) -> list[str]:
    return [str(kind).rpartition(".")[2].rstrip("'>") for kind in folder.childType]


def folder_twice(site: Site) -> Any:
    site.folder.CreateFolder("lab")
    return fault(lambda: site.folder.CreateFolder("lab"))


def folder_named_like_a_vm(site: Site) -> Any:
    return fault(lambda: site.folder.CreateFolder("DC0_C0_RP0_VM0"))


def folder_with_a_slash(site: Site) -> Any:
    """A slash in a name is kept escaped."""
    return site.folder.CreateFolder("a/b").name


def folder_without_a_name(site: Site) -> Any:
    return fault(lambda: site.folder.CreateFolder(""))


def folder_with_a_long_name(site: Site) -> Any:
    return fault(lambda: site.folder.CreateFolder("x" * 81))


def folder_is_renamed(site: Site) -> Any:
    folder = site.folder.CreateFolder("lab")
    ended = site.ended(folder.Rename_Task("other"))
    return [ended, folder.name, _name(site.at("DC0/vm/lab")), _name(site.at("DC0/vm/other"))]


def rename_to_a_taken_name(site: Site) -> Any:
    site.folder.CreateFolder("lab")
    return site.ended(site.vm.Rename_Task("lab"))


def rename_to_the_same_name(site: Site) -> Any:
    return site.ended(site.vm.Rename_Task("DC0_C0_RP0_VM0"))


def vm_is_moved(site: Site) -> Any:
    folder, vm = site.folder.CreateFolder("lab"), site.vm
    ended = site.ended(folder.MoveIntoFolder_Task([vm]))
    return [ended, vm.parent == folder, _name(site.at("DC0/vm/lab/DC0_C0_RP0_VM0"))]


def host_is_moved_among_vms(site: Site) -> Any:
    """A folder of VMs holds no cluster."""
    return site.ended(site.folder.MoveIntoFolder_Task([site.cluster]))


def move_to_a_taken_name(site: Site) -> Any:
    lab = site.folder.CreateFolder("lab")
    lab.CreateFolder("DC0_C0_RP0_VM0")
    return site.ended(lab.MoveIntoFolder_Task([site.vm]))


def folder_is_moved_into_itself(site: Site) -> Any:
    outer = site.folder.CreateFolder("outer")
    inner = outer.CreateFolder("inner")
    return site.ended(inner.MoveIntoFolder_Task([outer]))


def folder_is_destroyed_with_its_vms(site: Site) -> Any:
    folder, vm = site.folder.CreateFolder("lab"), site.vm
    site.wait(folder.MoveIntoFolder_Task([vm]))
    ended = site.ended(folder.Destroy_Task())
    return [ended, _name(site.at("DC0/vm/lab")), fault(lambda: vm.name)]


def destroy_of_a_folder_with_a_running_vm(site: Site) -> Any:
    folder, vm = site.folder.CreateFolder("lab"), site.vm
    site.wait(folder.MoveIntoFolder_Task([vm]))
    site.power_on(vm)
    return [site.ended(folder.Destroy_Task()), fault(lambda: vm.name)]


def destroy_twice(site: Site) -> Any:
    folder = site.folder.CreateFolder("lab")
    site.wait(folder.Destroy_Task())
    return fault(folder.Destroy_Task)


def datacenters(site: Site) -> Any:
    root = site.content.rootFolder
    made = root.CreateDatacenter("DC1")
    return [
        made.name,
        fault(lambda: root.CreateDatacenter("DC1")),
        fault(lambda: site.folder.CreateDatacenter("DC2")),
        sorted(child.name for child in (made.vmFolder, made.hostFolder)),
    ]


def custom_fields(site: Site) -> Any:
    """A field of VMs is made, set, read and set anew."""
    manager, vm = site.content.customFieldsManager, site.vm
    field = manager.AddCustomFieldDef(name="owner", moType=vim.VirtualMachine)
    manager.SetField(vm, field.key, "me")
    first = [v.value for v in vm.customValue]
    manager.SetField(vm, field.key, "you")
    return {
        "names": [f.name for f in manager.field],
        "first": first,
        "then": [v.value for v in vm.customValue],
        "value": [v.value for v in vm.value],
        "available": [f.name for f in vm.availableField],
        "host": [f.name for f in site.host.availableField],
    }


def custom_field_by_name(site: Site) -> Any:
    site.content.customFieldsManager.AddCustomFieldDef(name="owner", moType=vim.VirtualMachine)
    vm = site.vm
    vm.setCustomValue("owner", "me")
    return [v.value for v in vm.customValue]


def custom_field_faults(site: Site) -> Any:
    manager, vm = site.content.customFieldsManager, site.vm
    manager.AddCustomFieldDef(name="owner", moType=vim.VirtualMachine)
    return {
        "twice": fault(lambda: manager.AddCustomFieldDef(name="owner", moType=vim.VirtualMachine)),
        "unknown key": fault(lambda: manager.SetField(vm, 9999, "x")),
        "remove unknown key": fault(lambda: manager.RemoveCustomFieldDef(9999)),
    }


def custom_field_is_renamed_and_removed(site: Site) -> Any:
    manager, vm = site.content.customFieldsManager, site.vm
    field = manager.AddCustomFieldDef(name="owner", moType=vim.VirtualMachine)
    manager.RenameCustomFieldDef(field.key, "tenant")
    names = [f.name for f in manager.field]
    manager.SetField(vm, field.key, "me")
    manager.RemoveCustomFieldDef(field.key)
    return [names, len(manager.field), len(vm.customValue)]


def task_that_succeeds(site: Site) -> Any:
    vm = site.vm
    task = vm.PowerOnVM_Task()
    site.wait(task)
    info = task.info
    return {
        "state": str(info.state),
        "description": info.descriptionId,
        "entity": info.entity == vm,
        "error": info.error,
        "result": info.result,
        "key": info.key == info.task._moId,  # noqa: SLF001 - pyVmomi has no other way to it
        "cancelled": bool(info.cancelled),
        "times": info.queueTime <= info.startTime <= info.completeTime,
    }


def task_that_fails(site: Site) -> Any:
    task = site.vm.PowerOffVM_Task()
    name = site.ended(task)
    info = task.info
    error = info.error
    return {
        "state": str(info.state),
        "fault": name,
        "existing": str(error.existingState),
        "requested": str(error.requestedState),
        "result": info.result,
        "ended": info.completeTime is not None,
    }


def task_names_its_entity(site: Site) -> Any:
    task = site.vm.PowerOnVM_Task()
    site.wait(task)
    return task.info.entityName


def task_names_its_user(site: Site) -> Any:
    task = site.vm.PowerOnVM_Task()
    site.wait(task)
    return task.info.reason.userName


def task_descriptions(site: Site) -> Any:
    """The ids by which clients look up a task's name."""
    vm, folder = site.vm, site.folder.CreateFolder("lab")
    spec = vim.vm.CloneSpec(location=site.location())
    tasks = [
        vm.CloneVM_Task(folder=folder, name="made", spec=spec),
        vm.ReconfigVM_Task(vim.vm.ConfigSpec(numCPUs=2)),
        vm.Rename_Task("other"),
        folder.MoveIntoFolder_Task([vm]),
    ]
    for task in tasks:
        site.wait(task)
    return [task.info.descriptionId for task in tasks]


def recent_tasks(site: Site) -> Any:
    vm = site.vm
    task = vm.PowerOnVM_Task()
    site.wait(task)
    return [task in site.content.taskManager.recentTask, task in vm.recentTask]


def cancel_of_an_ended_task(site: Site) -> Any:
    task = site.vm.PowerOnVM_Task()
    site.wait(task)
    return fault(task.CancelTask)


def unknown_task(site: Site) -> Any:
    task = vim.Task("task-no-such", site.service._stub)  # noqa: SLF001 - no other way
    return fault(lambda: task.info)


def privileges_of_the_administrator(site: Site) -> Any:
    manager = site.content.authorizationManager
    names = ["VirtualMachine.Interact.PowerOn", "Sessions.TerminateSession"]
    session = site.content.sessionManager.currentSession.key
    held = manager.HasPrivilegeOnEntities([site.vm], session, names)
    return [[p.privId, p.isGranted] for one in held for p in one.privAvailability]


def settings(site: Site) -> Any:
    manager = site.content.setting
    return [
        bool(manager.QueryOptions("VirtualCenter.")) or "none",
        fault(lambda: manager.QueryOptions("no.such.setting")),
    ]


def unknown_method_of_an_object(site: Site) -> Any:
    """An object that is not there answers no call."""
    ghost = vim.VirtualMachine("vm-no-such", site.service._stub)  # noqa: SLF001 - no other way
    return [fault(ghost.PowerOnVM_Task), outcome(lambda: ghost.name)]
