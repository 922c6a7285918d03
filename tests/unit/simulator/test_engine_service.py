from __future__ import annotations

import pytest
from pyVmomi import vim, vmodl

from provision.simulator.engine.clock import ManualClock
from provision.simulator.engine.world import User
from tests.unit.simulator.small_world import Lab, MakeLab, moid


def test_service_content_says_that_it_is_simulated(lab: Lab) -> None:
    content = vim.ServiceInstance("ServiceInstance", lab.stub()).RetrieveContent()

    assert content.about.name == "vdl simulator"
    assert content.about.apiType == "VirtualCenter"
    assert content.about.apiVersion == "8.0.3.0"
    assert content.about.instanceUuid == lab.world.settings.instance_uuid
    assert moid(content.rootFolder) == lab.root.moid
    assert content.searchIndex is None


def test_content_offers_what_is_put_in_and_refuses_unknown_names(lab: Lab) -> None:
    content = lab.world.service.content

    assert content.rootFolder is lab.root
    with pytest.raises(AttributeError):
        content.noSuchManager = lab.root
    with pytest.raises(AttributeError):
        _ = content.searchIndex


def test_login_names_the_session(lab: Lab) -> None:
    client = lab.connect()
    session = client.sessions.currentSession

    assert session.userName == "admin"
    assert [s.key for s in client.sessions.sessionList] == [session.key]
    assert client.sessions.SessionIsActive(session.key, "admin")
    assert not client.sessions.SessionIsActive("other", "admin")


@pytest.mark.parametrize(("user", "password"), [("admin", "wrong"), ("nobody", "secret")])
def test_wrong_credentials_are_refused(lab: Lab, user: str, password: str) -> None:
    with pytest.raises(vim.fault.InvalidLogin):
        lab.connect(user, password)


def test_without_login_only_anonymous_things_are_answered(lab: Lab) -> None:
    service = vim.ServiceInstance("ServiceInstance", lab.stub())

    assert service.content.sessionManager.currentSession is None
    with pytest.raises(vim.fault.NotAuthenticated) as caught:
        service.CurrentTime()
    assert caught.value.privilegeId == "System.View"


def test_logout_ends_the_session(lab: Lab) -> None:
    client = lab.connect()
    client.sessions.Logout()

    with pytest.raises(vim.fault.NotAuthenticated):
        client.root.CreateFolder("late")
    assert lab.world.sessions.all() == []


def test_a_second_login_on_the_same_session_is_refused(lab: Lab) -> None:
    client = lab.connect()

    with pytest.raises(vim.fault.InvalidLogin):
        client.sessions.Login("admin", "secret")


def test_a_terminated_session_can_log_in_again(lab: Lab) -> None:
    client, other = lab.connect(), lab.connect()
    other.sessions.TerminateSession([client.sessions.currentSession.key])

    with pytest.raises(vim.fault.NotAuthenticated):
        client.root.CreateFolder("late")
    client.sessions.Login("admin", "secret")
    assert client.root.CreateFolder("again").name == "again"


def test_a_session_ends_when_it_is_idle(make_lab: MakeLab) -> None:
    clock = ManualClock()
    lab = make_lab(clock=clock, session_idle=60.0)
    client = lab.connect()
    service = client.service
    clock.advance(59)
    service.CurrentTime()
    clock.advance(59)
    service.CurrentTime()
    clock.advance(61)

    with pytest.raises(vim.fault.NotAuthenticated):
        service.CurrentTime()


def test_end_all_ends_every_session(lab: Lab) -> None:
    first, second = lab.connect(), lab.connect("viewer", "look")
    lab.world.sessions.end_all()

    for client in (first, second):
        with pytest.raises(vim.fault.NotAuthenticated):
            client.root.CreateFolder("late")


def test_a_missing_privilege_is_named(lab: Lab) -> None:
    vm = lab.vm("a")
    client = lab.connect("viewer", "look")
    mine = client.of(vm)

    with pytest.raises(vim.fault.NoPermission) as caught:
        mine.Reconfigure(vim.vm.ConfigSpec(memoryMB=1))
    assert caught.value.privilegeId == "VirtualMachine.Config.Memory"
    assert moid(caught.value.object) == vm.moid


def test_an_unknown_object_is_not_found(lab: Lab) -> None:
    stub = lab.connect().stub

    with pytest.raises(vmodl.fault.ManagedObjectNotFound) as caught:
        vim.VirtualMachine("vm-404", stub).Reconfigure(vim.vm.ConfigSpec())
    assert moid(caught.value.obj) == "vm-404"


def test_a_method_that_is_not_simulated_says_so(lab: Lab) -> None:
    client = lab.connect()

    with pytest.raises(vmodl.fault.NotSupported, match="CreateDatacenter"):
        client.root.CreateDatacenter("dc")


def test_a_method_of_another_type_is_not_found(lab: Lab) -> None:
    client = lab.connect()
    disguised = vim.VirtualMachine(lab.root.moid, client.stub)

    with pytest.raises(vmodl.fault.MethodNotFound):
        disguised.ShutdownGuest()


def test_attributes_are_read_one_by_one(lab: Lab) -> None:
    lab.vm("a")
    client = lab.connect()
    vm = client.root.childEntity[0]

    assert vm.name == "a"
    assert vm.config.hardware.memoryMB == 1024
    assert vm.guest is None
    assert lab.world.calls["Fetch"] == 4


def test_results_are_copies(lab: Lab) -> None:
    vm = lab.vm("a")
    mine = lab.connect().of(vm)
    spec = vim.vm.ConfigSpec(
        deviceChange=[vim.vm.device.VirtualDeviceSpec(device=vim.vm.device.VirtualDisk(key=1))]
    )
    mine.Reconfigure(spec)
    spec.deviceChange[0].device.key = 2
    mine.config.hardware.device[0].key = 3

    assert vm.devices[0].key == 1
    assert type(mine.config.hardware.device[0]) is vim.vm.device.VirtualDisk


def test_a_changed_password_counts_from_the_next_login_on(lab: Lab) -> None:
    client = lab.connect()
    lab.world.users["admin"] = User("changed")

    assert client.root.CreateFolder("a").name == "a"
    with pytest.raises(vim.fault.InvalidLogin):
        lab.connect()
    lab.connect(password="changed")  # noqa: S106 - a test's


def test_an_unknown_attribute_is_an_invalid_property(lab: Lab) -> None:
    client = lab.connect()
    disguised = vim.VirtualMachine(lab.root.moid, client.stub)

    with pytest.raises(vmodl.query.InvalidProperty):
        _ = disguised.snapshot
