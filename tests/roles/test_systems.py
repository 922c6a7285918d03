"""The variables of the roles on every system, rendered by Ansible from recorded facts."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

DATA = Path(__file__).parents[1] / "data" / "roles"
ROLES = Path(__file__).parents[2] / "playbooks" / "roles"
SYSTEMS: dict[str, dict[str, Any]] = yaml.safe_load((DATA / "systems.yaml").read_text())
INSTALLED = [
    "open 580",
    "proprietary 580",
    "open 570",
    "proprietary 570",
    "open 550",
    "proprietary 535",
    "vgpu",
]
CASES = [(name, want) for name, system in SYSTEMS.items() for want in INSTALLED if want in system]

# What the role itself does at its start (tasks/driver.yml), with facts that were recorded.
PLAY = """
- hosts: all
  gather_facts: false
  vars_files: [{roles}/nvidia_driver/vars/main.yml, {roles}/nvlink/vars/main.yml]
  tasks:
    - ansible.builtin.set_fact:
        cacheable: true
        ansible_distribution: "{{{{ recorded.distribution }}}}"
        ansible_distribution_major_version: "{{{{ recorded.distribution_major_version }}}}"
        ansible_os_family: "{{{{ recorded.os_family }}}}"
        ansible_kernel: "{{{{ recorded.kernel }}}}"
    - ansible.builtin.include_vars: "{{{{ lookup('ansible.builtin.first_found', names) }}}}"
      vars: {{names: {names}}}
    - ansible.builtin.copy:
        dest: "{{{{ target }}}}"
        mode: "0600"
        content: "{{{{ asked | to_json }}}}"
"""
ASKED = {
    "packages": "{{ nvidia_driver_missing_for_kernel + nvidia_driver_missing }}",
    "newest": "{{ nvidia_driver_kernel_newest }}",
    "held": "{{ nvidia_driver_kernels }}",
    "module": "{{ nvidia_driver_module }}",
    "dkms": "{{ nvidia_driver_dkms }}",
    "initramfs": "{{ nvidia_driver_initramfs }}",
    "keyring": "{{ nvidia_driver_keyring | default('') | trim }}",
    "source": "{{ nvidia_driver_default_apt_source | default('') | trim }}",
    "stream": "{{ nvidia_driver_stream | default('') }}",
    "epel": "{{ nvidia_driver_epel | default('') | trim }}",
    "branch": "{{ nvidia_driver_branch_package | default('') }}",
    "address": "{{ nvidia_driver_dnf_address | default('') }}",
    "certificate": "{{ nvidia_driver_mok_file | trim }}",
    "fabric": "{{ nvlink_packages[recorded.distribution] | default(nvlink_packages[recorded.os_family]) }}",  # noqa: E501 - as in the role
}


def question(name: str, want: str, target: Path) -> dict[str, Any]:
    """Return the variables of one host of the play."""
    system = SYSTEMS[name]
    kind = "vgpu" if want == "vgpu" else "datacenter"
    survey = {
        "kind": kind,
        "open": want.startswith("open"),
        "wrong": [],
        "packages": system["held"],
    }
    loaded = [version for version in system["fabric"] if version[:3] == want.rpartition(" ")[2]]
    return {
        "ansible_connection": "local",
        "ansible_python_interpreter": sys.executable,
        "recorded": system["facts"],
        "target": str(target),
        "asked": ASKED,
        "nvidia_driver_survey": survey,
        "nvlink_survey": {"loaded": next(iter(loaded), None)},
        "nvidia_driver_branch": want.rpartition(" ")[2],
        "nvidia_driver_mok_certificate": "",
        "nvidia_driver_dnf_url": "https://mirror.example.com/rhel9",
        "nvidia_driver_vgpu_package": "/srv/nvidia-linux-grid-570_570.133.20_amd64.deb",
    }


@pytest.fixture(scope="module")
def rendered(tmp_path_factory: pytest.TempPathFactory) -> Mapping[tuple[str, str], dict[str, Any]]:
    """What Ansible makes of the variables, by system and by what is wanted: one run for all."""
    folder = tmp_path_factory.mktemp("rendered")
    tasks = yaml.safe_load((ROLES / "nvidia_driver/tasks/driver.yml").read_text())[0]["block"]
    names = next(task for task in tasks if "ansible.builtin.include_vars" in task)["vars"]
    text = json.dumps(names["nvidia_driver_names"])
    variables = ROLES / "nvidia_driver/vars"
    text = text.replace("{{ role_path }}/vars", str(variables))
    (folder / "play.yml").write_text(PLAY.format(roles=ROLES, names=text))
    hosts = {
        f"host{number}": question(name, want, folder / f"{number}.json")
        for number, (name, want) in enumerate(CASES)
    }
    (folder / "inventory.json").write_text(json.dumps({"all": {"hosts": hosts}}))
    words = [str(Path(sys.executable).with_name("ansible-playbook")), "play.yml"]
    words += ["--inventory", "inventory.json", "--forks", "8"]
    environment = {name: os.environ[name] for name in ("PATH", "HOME")} | {"LC_ALL": "C.UTF-8"}
    done = subprocess.run(
        words, cwd=folder, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout
    return {
        case: json.loads((folder / f"{number}.json").read_text())
        for number, case in enumerate(CASES)
    }


@pytest.mark.parametrize(("name", "want"), CASES)
def test_packages_have_the_names_of_their_repositories(
    name: str, want: str, rendered: Mapping[tuple[str, str], dict[str, Any]]
) -> None:
    system, seen = SYSTEMS[name], rendered[name, want]
    assert sorted(seen["packages"]) == sorted(system[want])
    assert seen["newest"] == system["newest"]
    assert set(seen["held"]) == {package for package, held in system["held"].items() if held}
    assert seen["initramfs"][0] == system["initramfs"]
    assert seen["dkms"] is (system["dkms"] or want == "vgpu")
    assert seen["module"] == system["module"].get(want, "nvidia")
    assert seen["certificate"] == system["certificate"]
    for version, package in system["fabric"].items():
        assert seen["fabric"] == package or version[:3] not in want


def test_repositories_follow_system_and_branch(
    rendered: Mapping[tuple[str, str], dict[str, Any]],
) -> None:
    own, other = rendered["debian-12", "proprietary 535"], rendered["debian-12", "open 570"]
    assert (own["keyring"], "non-free" in own["source"]) == ("", True)
    assert (other["source"], "/debian12/x86_64/cuda-keyring" in other["keyring"]) == ("", True)
    ubuntu = rendered["ubuntu-24.04", "open 580"]
    assert (ubuntu["keyring"], ubuntu["branch"]) == ("", "nvidia-headless-no-dkms-580-server-open")
    assert rendered["rhel-9", "open 580"]["address"] == "https://mirror.example.com/rhel9/"
    assert rendered["rhel-9", "open 580"]["stream"] == "580-open"
    assert rendered["rhel-9", "proprietary 570"]["stream"] == "570-dkms"
    assert rendered["rhel-9", "open 580"]["epel"].startswith("https://")
    assert rendered["rocky-9", "open 570"]["epel"] == "epel-release"
