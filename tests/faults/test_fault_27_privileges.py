"""Fault 27: what a role must hold is documented, checked first, sufficient, and no more."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic import SecretStr

from provision.cli.errors import ExitCode, exit_code_of
from provision.cli.main import cli
from provision.plan.model import Action, ActionKind
from provision.plan.planner import plan as make_plan
from provision.spec.model import Lab
from provision.vsphere.port import ActionFailed
from provision.vsphere.privileges import table
from provision.vsphere.vcenter import VCenter
from tests.faults.apply_site import Site, open_site
from tests.faults.host_site import WORLD as HOSTS_WORLD
from tests.faults.host_site import HostSite
from tests.unit.vsphere.site import KEY, soon

DOCUMENT = Path(__file__).parents[2] / "docs" / "privileges.md"
NEEDED = [name for name in table().role("provision", "destroy") if not name.startswith("System.")]
# What every plan needs, whatever it does.
ALWAYS = [p.id for p in table().privileges if p.id in NEEDED and p.only is None]
GROUP = "Nvidia:2@grid_a100d-80c%NVLink"
MUTATING = ("CreateFolder", "CloneVM_Task", "ReconfigVM_Task", "PowerOnVM_Task", "Destroy_Task")
WORLD = """
DC0:
  templates: {ubuntu-24.04: {hardware: 19, disk: 40 GiB}}
  clusters:
    gpu:
      hosts:
        esx-[01-30]: {memory: 512 GiB, cards: {count: 2, model: A100-80}}
  datastores: {vsan: 200 TiB}
"""


def without(name: str) -> str:
    """Return the user who holds all that is needed but this."""
    return f"without-{name}"


def users() -> dict[str, Any]:
    """Return a user for each role, and one for each privilege that is left out."""
    roles = {
        "lab": table().role("provision", "destroy"),
        "viewer": table().role("look"),
        "destroyer": table().role("destroy"),
        "preparer": table().role("prepare"),
    }
    roles |= {without(name): tuple(n for n in roles["lab"] if n != name) for name in NEEDED}
    poor = {user: {"password": "secret", "privileges": list(role)} for user, role in roles.items()}
    return {"administrator": "secret", **poor}


def with_users(world: str) -> str:
    return yaml.safe_dump({"vcenter": {"users": users()}}) + world


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with open_site(tmp_path_factory.mktemp("vcenter"), with_users(WORLD)) as site:
        yield site


@dataclass
class Shell:
    """`vdl` in this process, as one of the users."""

    site: Site
    monkeypatch: pytest.MonkeyPatch
    capsys: pytest.CaptureFixture[str]
    folder: Path

    def vdl(self, user: str, *words: str | Path) -> tuple[int, str]:
        """Return the exit code and all that was printed."""
        settings = self.site.settings
        environment = {"SERVER": settings.server, "USERNAME": user, "PASSWORD": "secret"}
        for name, value in {**environment, "CA_FILE": str(settings.ca_file)}.items():
            self.monkeypatch.setenv(f"VDL_{name}", value)
        code = exit_code_of(lambda: cli.main([str(w) for w in words], standalone_mode=False))
        printed = self.capsys.readouterr()
        return code, printed.out + printed.err

    def lab(self, name: str, **machines: Any) -> Path:
        """Write a lab file and return its path."""
        path = self.folder / f"{name}.yaml"
        (self.folder / "key.pub").write_text(KEY, encoding="utf-8")
        path.write_text(yaml.safe_dump(lab_data(name, **machines)), encoding="utf-8")
        return path


def lab_data(name: str, **machines: Any) -> dict[str, Any]:
    return {
        "lab": name,
        "vcenter": {
            "datacenter": "DC0",
            "cluster": "gpu",
            "datastore": "vsan",
            "folder": f"folder of {name}",
        },
        "template": "ubuntu-24.04",
        "guest": {"ssh_key": "key.pub"},
        "defaults": {"cpus": 4, "memory": "8 GiB", "disk": "60 GiB"},
        "machines": machines,
    }


@pytest.fixture
def shell(
    site: Site,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> Shell:
    return Shell(site, monkeypatch, capsys, tmp_path)


def test_the_document_shows_the_table() -> None:
    text = DOCUMENT.read_text(encoding="utf-8")
    rows = re.findall(r"^\| `(\S+)` \| (.+) \| (.+) \| (.+) \|$", text, re.MULTILINE)
    places = table().places
    assert rows == [(p.id, places[p.place], ", ".join(p.roles), p.why) for p in table().privileges]
    for role, commands in table().roles.items():
        assert f"| {role} | {', '.join(f'`vdl {c}`' for c in commands)} |" in text
    created = re.findall(r"govc role\.create \S+((?: \\\n    \S+)+)", text)
    assert [tuple(re.findall(r"\w+\.[\w.]+", block)) for block in created] == [
        tuple(NEEDED),
        tuple(n for n in table().role("prepare") if not n.startswith("System.")),
    ]


@pytest.mark.parametrize("name", ALWAYS)
def test_fault_27_a_missing_privilege_is_named_before_anything_changes(
    shell: Shell, name: str
) -> None:
    lab = shell.lab("short", pair={"gpu": {"vgpu": "grid_a100d-10c"}})
    before = [shell.site.sent(method) for method in MUTATING]
    code, said = shell.vdl(without(name), "plan", lab)
    assert code == ExitCode.BLOCKED, said
    assert "privilege-missing" in said
    (entry,) = [p for p in table().privileges if p.id == name]
    assert f"the user lacks {name} on {table().places[entry.place]}" in said
    code, said = shell.vdl(without(name), "provision", lab, "--yes")
    assert (code, name in said) == (ExitCode.BLOCKED, True)
    assert [shell.site.sent(method) for method in MUTATING] == before


def test_fault_27_the_privilege_to_move_is_asked_for_by_a_plan_that_moves(shell: Shell) -> None:
    user = without("Resource.ColdMigrate")
    code, said = shell.vdl(user, "provision", shell.lab("move", one={"host": "esx-01"}), "--yes")
    assert code == ExitCode.DONE, said
    lab, before = shell.lab("move", one={"host": "esx-02"}), shell.site.sent("ShutdownGuest")
    code, said = shell.vdl(user, "provision", lab, "--yes", "--allow-restart")
    assert code == ExitCode.BLOCKED, said
    assert "the user lacks Resource.ColdMigrate on the lab's folder" in said
    assert shell.site.sent("ShutdownGuest") == before
    code, said = shell.vdl("lab", "provision", lab, "--yes", "--allow-restart")
    assert code == ExitCode.DONE, said


def test_the_documented_role_is_enough_from_the_first_plan_to_the_end(shell: Shell) -> None:
    lab = shell.lab("life", cpu={}, shared={"gpu": {"vgpu": "grid_a100d-10c"}})
    assert shell.vdl("lab", "plan", lab)[0] == ExitCode.DONE
    code, said = shell.vdl("lab", "provision", lab, "--yes")
    assert code == ExitCode.DONE, said
    assert "nothing to do" in shell.vdl("lab", "provision", lab, "--yes")[1]
    changed = {"cpus": 8, "memory": "16 GiB", "disk": "80 GiB"}
    lab = shell.lab("life", cpu=changed, shared={**changed, "gpu": {"vgpu": "grid_a100d-20c"}})
    code, said = shell.vdl("lab", "provision", lab, "--yes", "--allow-restart")
    assert code == ExitCode.DONE, said
    assert "nothing to do" in shell.vdl("lab", "provision", lab, "--yes")[1]
    assert shell.vdl("viewer", "status", lab)[0] == ExitCode.DONE
    assert shell.vdl("viewer", "gpus", lab)[0] == ExitCode.DONE
    code, said = shell.vdl("destroyer", "destroy", lab, "--yes")
    assert code == ExitCode.DONE, said


def test_a_user_who_may_only_look_sees_the_plan_and_what_is_missing(shell: Shell) -> None:
    lab = shell.lab("look", cpu={})
    code, said = shell.vdl("viewer", "plan", lab)
    assert code == ExitCode.BLOCKED, said
    assert "look-cpu-1" in said
    assert all(name in said for name in ALWAYS)


@pytest.mark.parametrize("name", NEEDED)
def test_none_of_the_privileges_can_be_left_out(site: Site, name: str) -> None:
    """Without any one of them, some step of a machine's life is refused for the lack of it."""
    lab = pair(f"less-{NEEDED.index(name)}")
    settings = replace(site.settings, username=without(name), password=SecretStr("secret"))
    with VCenter(settings) as vcenter, pytest.raises(ActionFailed) as refused:
        live(vcenter, lab)
    assert refused.value.fault == "NoPermission"
    assert f"missing {name}" in (refused.value.why or "")
    site.settle()


def test_with_all_of_them_every_step_succeeds(site: Site) -> None:
    lab = pair("whole")
    settings = replace(site.settings, username="lab", password=SecretStr("secret"))
    with VCenter(settings) as vcenter:
        live(vcenter, lab)
        assert vcenter.vms_of_lab(lab) == ()


def pair(name: str) -> Lab:
    data = lab_data(name, pair={"gpu": {"group": GROUP}})
    return Lab.model_validate({**data, "guest": {"ssh_key": KEY}})


def live(vcenter: VCenter, lab: Lab) -> None:
    """Take the lab's only machine through all that can happen to one."""
    plan = make_plan(lab, vcenter.snapshot(lab))
    (action,) = plan.actions
    vm = vcenter.clone(plan, action, soon())
    vcenter.prepare_hardware(vm, action, soon())
    vcenter.attach(vm, action, soon())
    vcenter.power_on(vm, soon())
    vcenter.shut_down(vm, soon())
    vcenter.reconfigure(vm, larger(action), soon())
    vcenter.relocate(vm, elsewhere(vcenter, lab, action), soon())
    vcenter.destroy(vm, soon())


def elsewhere(vcenter: VCenter, lab: Lab, action: Action) -> Action:
    hosts = vcenter.snapshot(lab).hosts
    other = next(host for host in hosts if host.id != action.host_id)
    return replace(action, kind=ActionKind.UPDATE, host=other.name, host_id=other.id)


def larger(action: Action) -> Action:
    assert action.spec is not None
    spec = action.spec.model_copy(update={"cpus": 8})
    return replace(action, kind=ActionKind.UPDATE, spec=spec)


def test_the_documented_role_prepares_hosts(tmp_path: Path) -> None:
    with open_site(tmp_path, with_users(HOSTS_WORLD.replace("guests: none\n", ""))) as site:
        site.settings = replace(site.settings, username="preparer", password=SecretStr("secret"))
        hosts = HostSite(site)
        assert hosts.look("esx-01")[1].findings == ()
        assert hosts.prepare("esx-01").error is None
