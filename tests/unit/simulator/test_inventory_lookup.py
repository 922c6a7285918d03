"""Finding objects, privileges, custom fields, and the size of a world that is still quick."""

from __future__ import annotations

from typing import Any

import pytest
from pyVmomi import vim, vmodl

from provision.simulator.server import Simulator
from tests.conftest import MakeSimulator
from tests.unit.simulator.administrator import Administrator

WORLD = """
vcenter:
  users:
    admin@vsphere.local: secret
    guest@vsphere.local: {password: guest, privileges: [System.View, System.Read]}
DC0:
  templates: {u24: {folder: golden/linux}}
  clusters:
    gpu:
      pools: [lab]
      hosts: {esx-01: {}}
      vms: {web: {folder: prod, power: on, addresses: [10.0.0.9]}}
  folders: [empty]
DC1: {}
"""
SHARES = 2


@pytest.fixture
def simulator_(in_process: MakeSimulator) -> Simulator:
    return in_process(WORLD)


@pytest.fixture
def admin(simulator_: Simulator) -> Administrator:
    return Administrator(simulator_)


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("", vim.Folder),
        ("DC0", vim.Datacenter),
        ("DC0/vm/golden/linux/u24", vim.VirtualMachine),
        ("/DC0/vm/prod/web", vim.VirtualMachine),
        ("DC0/vm/empty", vim.Folder),
        ("DC0/host/gpu", vim.ClusterComputeResource),
        ("DC0/host/gpu/esx-01", vim.HostSystem),
        ("DC0/host/gpu/Resources", vim.ResourcePool),
        ("DC0/host/gpu/Resources/lab", vim.ResourcePool),
        ("DC0/datastore/datastore1", vim.Datastore),
        ("DC0/network/VM Network", vim.Network),
    ],
)
def test_every_object_has_a_path(admin: Administrator, path: str, kind: type[Any]) -> None:
    assert type(admin.at(path)) is kind


def test_what_is_not_there_is_not_found(admin: Administrator) -> None:
    assert admin.at("DC0/vm/nowhere/web") is None
    assert admin.content.searchIndex.FindChild(admin.at("DC0/vm/prod"), "other") is None


def test_vms_and_hosts_are_found_by_what_they_are_called(admin: Administrator) -> None:
    index, web, host = admin.content.searchIndex, admin.at("DC0/vm/prod/web"), admin.host("esx-01")
    assert index.FindByUuid(None, web.config.uuid.upper(), vmSearch=True) == web
    assert index.FindByUuid(admin.at("DC1"), web.config.uuid, vmSearch=True) is None
    assert index.FindByUuid(None, host.hardware.systemInfo.uuid, vmSearch=False) == host
    assert index.FindByDnsName(None, "web", vmSearch=True) == web
    assert index.FindByDnsName(None, "esx-01", vmSearch=False) == host
    assert index.FindByIp(None, "10.0.0.9", vmSearch=True) == web
    assert index.FindByIp(None, "10.0.0.9", vmSearch=False) is None


def test_parents_lead_back_to_the_root(admin: Administrator) -> None:
    names, entity = [], admin.at("DC0/vm/golden/linux/u24")
    while entity is not None:
        names.append(entity.name)
        entity = entity.parent
    assert names == ["u24", "linux", "golden", "vm", "DC0", "Datacenters"]


def test_the_template_is_in_no_pool(admin: Administrator) -> None:
    assert admin.at("DC0/vm/golden/linux/u24").resourcePool is None
    assert admin.at("DC0/vm/prod/web") in list(admin.cluster.resourcePool.vm)


def test_privileges_are_told_and_kept(simulator_: Simulator, admin: Administrator) -> None:
    manager, folder = admin.content.authorizationManager, admin.at("DC0/vm")
    (result,) = manager.FetchUserPrivilegeOnEntities([folder], "guest@vsphere.local")
    assert sorted(result.privileges) == ["System.Read", "System.View"]
    (mine,) = manager.FetchUserPrivilegeOnEntities([folder], simulator_.username)
    assert "VirtualMachine.Inventory.CreateFromExisting" in mine.privileges
    (entry,) = manager.HasUserPrivilegeOnEntities(
        [folder], "guest@vsphere.local", ["System.View", "Folder.Create"]
    )
    assert [(p.privId, p.isGranted) for p in entry.privAvailability] == [
        ("System.View", True),
        ("Folder.Create", False),
    ]
    session = admin.content.sessionManager.currentSession.key
    (entry,) = manager.HasPrivilegeOnEntities([folder], session, ["Folder.Create"])
    assert entry.privAvailability[0].isGranted
    service = vim.ServiceInstance("ServiceInstance", simulator_.stub())
    service.content.sessionManager.Login("guest@vsphere.local", "guest")
    seen = service.content.searchIndex.FindByInventoryPath("DC0/vm")
    with pytest.raises(vim.fault.NoPermission):
        seen.CreateFolder("mine")


def test_custom_fields(admin: Administrator) -> None:
    manager, web = admin.content.customFieldsManager, admin.at("DC0/vm/prod/web")
    field = manager.AddCustomFieldDef("owner", vim.VirtualMachine)
    manager.SetField(web, field.key, "me")
    assert [(v.key, v.value) for v in web.customValue] == [(field.key, "me")]
    web.setCustomValue("owner", "")
    assert not web.customValue
    assert [f.name for f in web.availableField] == ["owner"]
    assert not admin.host("esx-01").availableField
    with pytest.raises(vim.fault.DuplicateName):
        manager.AddCustomFieldDef("owner")
    with pytest.raises(vmodl.fault.InvalidArgument):
        web.setCustomValue("other", "x")


def test_a_datacenter_comes_and_goes(admin: Administrator) -> None:
    made = admin.content.rootFolder.CreateDatacenter("DC2")
    assert admin.at("DC2/vm") == made.vmFolder
    admin.wait(made.Destroy_Task())
    assert admin.at("DC2") is None
    with pytest.raises(vmodl.fault.NotSupported):
        admin.wait(admin.at("DC0").Destroy_Task())


def test_a_folder_can_not_lie_in_itself_or_hold_what_it_is_not_for(admin: Administrator) -> None:
    golden, web = admin.at("DC0/vm/golden"), admin.at("DC0/vm/prod/web")
    with pytest.raises(vim.fault.InvalidFolder):
        admin.wait(admin.at("DC0/vm/golden/linux").MoveIntoFolder_Task([golden]))
    with pytest.raises(vmodl.fault.NotSupported):
        admin.wait(admin.at("DC0/host").MoveIntoFolder_Task([web]))


def test_pools_pass_their_vms_on_when_they_go(admin: Administrator) -> None:
    root, lab, web = (
        admin.cluster.resourcePool,
        admin.at("DC0/host/gpu/Resources/lab"),
        admin.at("DC0/vm/prod/web"),
    )
    admin.wait(web.RelocateVM_Task(vim.vm.RelocateSpec(pool=lab)))
    assert list(lab.vm) == [web]
    admin.wait(lab.Destroy_Task())
    assert web.resourcePool == root
    assert not root.resourcePool


def test_a_large_world_is_read_in_few_answers(in_process: MakeSimulator) -> None:
    simulator = in_process(
        """
        DC0:
          clusters:
            gpu:
              hosts: {"esx-[001-100]": {cards: {count: 8, model: A100-80}}}
              vms: {"job-[0001-1000]": {power: on}}
          datastores: {vsan: 2000 TiB}
        """
    )
    admin = Administrator(simulator)
    vms = read(admin, vim.VirtualMachine, ["name", "config.instanceUuid", "runtime.powerState"])
    assert len(vms) == 1000
    assert len({vm["config.instanceUuid"] for vm in vms}) == 1000
    hosts = read(admin, vim.HostSystem, ["hardware.pciDevice", "config.pciPassthruInfo"])
    assert sum(len(host["hardware.pciDevice"]) for host in hosts) == 100 * 9


def read(admin: Administrator, kind: type[Any], paths: list[str]) -> list[dict[str, Any]]:
    view = admin.content.viewManager.CreateContainerView(
        container=admin.content.rootFolder, type=[kind], recursive=True
    )
    collector = vim.PropertyCollector
    step = collector.TraversalSpec(path="view", skip=False, type=vim.view.ContainerView)
    spec = collector.FilterSpec(
        objectSet=[collector.ObjectSpec(obj=view, skip=True, selectSet=[step])],
        propSet=[collector.PropertySpec(type=kind, pathSet=paths)],
    )
    page = admin.content.propertyCollector.RetrievePropertiesEx([spec], collector.RetrieveOptions())
    found = list(page.objects)
    while page.token:
        page = admin.content.propertyCollector.ContinueRetrievePropertiesEx(page.token)
        found.extend(page.objects)
    return [{p.name: p.val for p in entry.propSet} for entry in found]
