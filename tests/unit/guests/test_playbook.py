from pathlib import Path

import pytest

from provision.errors import UsageError
from provision.guests.environment import environment
from provision.guests.playbook import PlaybookRun, command, unsafe
from provision.guests.resources import data_folder, payload_folder, playbook
from provision.guests.ssh import ssh_options

INVENTORY = {"_meta": {"hostvars": {f"lab-cpu-{n}": {} for n in range(1, 31)}}}


def test_a_command_names_files_and_safe_words_only() -> None:
    run = PlaybookRun(
        Path("site.yml"),
        INVENTORY,
        extra_vars={"secret": "xyzzy"},
        tags=("base", "verify"),
        limit=("lab-cpu-1", "lab-cpu-2"),
        check=True,
        diff=True,
    )
    words = command(run, Path("/run/x"))
    assert words[1:] == [
        *("site.yml", "--inventory", "/run/x/inventory.json", "--extra-vars", "@/run/x/vars.json"),
        *("--forks", "2", "--tags=base,verify", "--limit=@/run/x/limit"),
        *("--check", "--diff"),
    ]


def test_forks_follow_the_number_of_machines_up_to_a_limit() -> None:
    words = command(PlaybookRun(Path("site.yml"), INVENTORY), Path("/run/x"))
    assert words[words.index("--forks") + 1] == "20"


@pytest.mark.parametrize("name", ["all", "lab-cpu-31", "--list-hosts", "lab-cpu-1:!lab-cpu-2"])
def test_fault_45_a_limit_is_a_machine_and_no_pattern(name: str) -> None:
    run = PlaybookRun(Path("site.yml"), INVENTORY, limit=(name,))
    with pytest.raises(UsageError, match="no such machine"):
        command(run, Path("/run/x"))


def test_fault_46_secrets_and_foreign_settings_stay_outside(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("VDL_PASSWORD", "xyzzy")
    monkeypatch.setenv("ANSIBLE_HOST_KEY_CHECKING", "false")
    seen = environment(Path("/run/x"))
    assert "xyzzy" not in str(seen)
    assert "ANSIBLE_HOST_KEY_CHECKING" not in seen


def test_a_path_survives_ssh_s_own_quoting() -> None:
    options = ssh_options(Path('/a b/100%/"c"/known_hosts'))
    assert r'UserKnownHostsFile="/a b/100%%/\"c\"/known_hosts"' in options
    assert "StrictHostKeyChecking=yes" in options


def test_without_a_file_of_our_own_the_user_s_known_hosts_count() -> None:
    assert not any("KnownHosts" in word or "HostKey" in word for word in ssh_options())


def test_every_text_is_marked_as_data() -> None:
    marked = unsafe({"a": ["{{ x }}", 1], "b": {"c": True}})
    assert marked == {"a": [{"__ansible_unsafe": "{{ x }}"}, 1], "b": {"c": True}}


def test_folders_are_found_in_a_checkout_and_in_a_wheel(tmp_path: Path) -> None:
    package = tmp_path / "provision"
    (tmp_path / "playbooks").mkdir()
    assert data_folder("playbooks", package) == tmp_path / "playbooks"
    collection = tmp_path / "ansible_collections" / "vdl" / "lab" / "playbooks"
    collection.mkdir(parents=True)
    assert data_folder("playbooks", package) == collection
    (package / "_data" / "examples").mkdir(parents=True)
    assert data_folder("examples", package) == package / "_data" / "examples"
    with pytest.raises(UsageError, match="inventory is missing"):
        data_folder("inventory", package)


def test_the_playbooks_and_the_payload_are_there() -> None:
    assert playbook("site.yml").is_file()
    assert (payload_folder() / "__main__.py").is_file()
