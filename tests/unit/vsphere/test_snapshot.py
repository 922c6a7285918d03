from pathlib import Path

import pytest

from provision.gpu.types import AssignmentPolicy, CardMode, VgpuMode
from provision.plan.snapshot import Card, Connection, Host, Power, Snapshot
from provision.spec.model import Lab
from provision.vsphere.snapshot_reader import read_snapshot
from tests.unit.vsphere.site import Site, build, make_lab, open_site

GIB = 2**30
GROUP = "Nvidia:2@grid_a100d-80c%NVLink"


def read(site: Site, lab: Lab | None = None) -> Snapshot:
    with site.session() as session:
        return read_snapshot(session, lab or make_lab())


def host(snapshot: Snapshot, name: str) -> Host:
    return next(host for host in snapshot.hosts if host.name == name)


def card(snapshot: Snapshot, name: str, address: str) -> Card:
    return next(card for card in host(snapshot, name).cards if card.address == address)


@pytest.fixture
def snapshot(site: Site) -> Snapshot:
    return read(site)


def test_the_simulator_is_known_as_one(snapshot: Snapshot) -> None:
    assert snapshot.vcenter.simulated
    assert snapshot.vcenter.api_version == "8.0.3.0"


def test_places_for_new_vms_are_named(snapshot: Snapshot) -> None:
    assert snapshot.datacenter_id
    assert snapshot.cluster_id
    assert snapshot.resource_pool_id
    assert snapshot.vm_folder_id is None
    assert snapshot.drs
    assert [(d.name, d.free // 2**40, d.accessible) for d in snapshot.datastores] == [
        ("vsan", 19, True)
    ]
    assert [network.name for network in snapshot.networks] == ["VM Network"]


def test_a_host_is_read_with_what_placement_needs(snapshot: Snapshot) -> None:
    first = host(snapshot, "esx-01")
    assert first.connection is Connection.CONNECTED
    assert not first.in_maintenance
    assert first.memory == 2**40
    assert first.memory_reserved == 64 * GIB
    assert first.shared_direct
    assert first.policy is AssignmentPolicy.CONSOLIDATION
    assert [(n.id, n.cpus, n.memory) for n in first.numa_nodes] == [
        (0, first.cpus // 2, 2**39),
        (1, first.cpus // 2, 2**39),
    ]
    assert first.datastores == tuple(d.id for d in snapshot.datastores)
    assert first.networks == tuple(n.id for n in snapshot.networks)
    offered = {profile.name: profile for profile in first.profiles}
    assert offered["grid_a100d-10c"].framebuffer == 10 * GIB
    assert not offered["grid_a100d-10c"].mig


def test_a_shared_card_shows_who_holds_which_part(snapshot: Snapshot) -> None:
    (old_job,) = [vm for vm in snapshot.vms if vm.name == "old-job"]
    held = [c for c in host(snapshot, "esx-01").cards if c.uses]
    assert [(use.vm_id, use.profile) for c in held for use in c.uses] == [
        (old_job.id, "grid_a100d-10c")
    ]
    assert held[0].mode is CardMode.SHARED
    assert held[0].framebuffer == 80 * GIB


@pytest.mark.parametrize(
    ("address", "mode", "active", "numa", "label"),
    [
        ("0000:3b:00.0", CardMode.PASSTHROUGH, True, 0, "lab"),
        ("0000:86:00.0", CardMode.PASSTHROUGH, True, 1, None),
        ("0000:af:00.0", CardMode.PASSTHROUGH, False, 1, None),
        ("0000:d8:00.0", CardMode.SHARED, True, 1, None),
    ],
)
def test_cards_of_all_kinds(
    snapshot: Snapshot, address: str, mode: CardMode, *, active: bool, numa: int, label: str | None
) -> None:
    found = card(snapshot, "esx-03", address)
    assert (found.mode, found.passthrough_active) == (mode, active)
    assert (found.numa_node, found.label) == (numa, label)
    assert found.vendor_id == 0x10DE
    assert found.framebuffer == 80 * GIB


def test_mig_is_told_from_time_slicing(snapshot: Snapshot) -> None:
    assert card(snapshot, "esx-03", "0000:d8:00.0").vgpu_mode is VgpuMode.MIG
    assert any(profile.mig for profile in host(snapshot, "esx-03").profiles)


def test_a_strangers_vm_is_read_narrowly_unless_it_holds_a_card(snapshot: Snapshot) -> None:
    vms = {vm.name: vm for vm in snapshot.vms}
    assert [gpu.value for gpu in vms["old-job"].gpus] == ["grid_a100d-10c"]
    bystander = vms["bystander"]
    assert (bystander.power, bystander.memory) == (Power.OFF, 8 * GIB)
    assert bystander.path == "/DC0/vm/bystander"
    assert not bystander.settings
    assert bystander.lab is None


def test_a_template_is_no_vm(snapshot: Snapshot) -> None:
    (template,) = snapshot.templates
    assert template.name not in {vm.name for vm in snapshot.vms}
    assert (template.firmware, template.hardware, template.tools) == ("efi", 20, True)
    assert template.disk == 40 * GIB
    assert template.path == "/DC0/vm/ubuntu-24.04"
    assert template.change_version


@pytest.mark.parametrize(
    ("where", "lacking"),
    [({"datacenter": "DC9"}, "datacenter_id"), ({"cluster": "other"}, "cluster_id")],
)
def test_what_does_not_exist_is_no_error(site: Site, where: dict[str, str], lacking: str) -> None:
    lab = make_lab()
    missing = lab.model_copy(update={"vcenter": lab.vcenter.model_copy(update=where)})
    found = read(site, missing)
    assert getattr(found, lacking) is None
    assert not found.hosts


def test_a_passed_through_card_shows_its_vm(site: Site) -> None:
    lab = make_lab(direct={"count": 2, "gpu": {"passthrough": "A100-80"}})
    with site.ready(lab) as (vcenter, plan):
        made = [build(vcenter, plan, action) for action in plan.actions]
        found = vcenter.snapshot(lab)
    uses = [use for c in host(found, "esx-03").cards for use in c.uses]
    assert sorted(use.vm_id for use in uses) == sorted(made)
    assert {use.profile for use in uses} == {None}


def test_the_labs_own_vms_are_read_in_full_wherever_they_went(site: Site) -> None:
    lab = make_lab()
    with site.ready(lab) as (vcenter, plan):
        build(vcenter, plan, plan.actions[0])
        vm = site.simulator.vm("vroom-cpu-1")
        vm.rename("somebody's experiment")
        with site.simulator.world.lock:
            root = vm.folder.parent
            vm.folder.forget(vm)
            root.keep(vm)
        fewer = make_lab(other={"count": 1})
        (found,) = vcenter.vms_of_lab(fewer)
        (again,) = [vm for vm in vcenter.snapshot(fewer).vms if vm.lab == "vroom"]
    assert (found.machine, found.name) == ("vroom-cpu-1", "somebody's experiment")
    assert again.stamps == found.stamps
    assert found.tools_running
    assert found.addresses


def test_only_the_hosts_that_matter_are_asked_one_by_one(site: Site) -> None:
    lab = make_lab(
        pinned={"count": 1, "gpu": {"passthrough": "esx-03/0000:3b:00.0"}},
        pair={"count": 1, "gpu": {"group": GROUP}},
    )
    found = read(site, lab)
    assert host(found, "esx-03").system_id
    assert not host(found, "esx-01").system_id
    assert GROUP in {group.name for group in host(found, "esx-01").device_groups}
    # The cluster, three hosts with two cards or more for the group, one for its system id.
    assert site.calls("QueryConfigTarget") == 5


def test_a_group_that_nobody_offers_costs_no_further_call(site: Site) -> None:
    found = read(site, make_lab(pair={"gpu": {"group": "Nvidia:8@grid_a100d-80c%NVLink"}}))
    assert site.calls("QueryConfigTarget") == 1
    assert GROUP in {group.name for group in host(found, "esx-01").device_groups}


def test_how_many_vgpus_a_vm_may_have_is_asked_where_it_matters(site: Site) -> None:
    one = read(site, make_lab(shared={"gpu": {"vgpu": "grid_a100d-80c"}}))
    assert site.calls("QueryConfigOptionEx") == 0
    two = read(site, make_lab(shared={"gpu": {"vgpu": "grid_a100d-80c", "count": 2}}))
    assert site.calls("QueryConfigOptionEx") == 1
    assert host(one, "esx-01").max_vgpus_per_vm == 1
    assert host(two, "esx-01").max_vgpus_per_vm > 1


def _calls(folder: Path, hosts: int, vms: int) -> dict[str, int]:
    world = f"""
DC0:
  templates: {{ubuntu-24.04: {{}}}}
  clusters:
    gpu:
      hosts: {{"esx-[001-{hosts:03}]": {{cards: {{count: 4, model: A100-80}}}}}}
      vms: {{"vroom-x-[001-{vms:03}]": {{host: esx-001}}}}
  datastores: {{vsan: 900 TiB}}
"""
    with open_site(folder, world) as site:
        found = read(site)
        assert (len(found.hosts), len(found.vms)) == (hosts, vms)
        return dict(site.simulator.world.calls)


def test_a_large_vcenter_takes_as_many_calls_as_a_small_one(tmp_path: Path) -> None:
    small, large = _calls(tmp_path / "small", 1, 1), _calls(tmp_path / "large", 60, 200)
    assert small == large
    assert sum(small.values()) < 20
