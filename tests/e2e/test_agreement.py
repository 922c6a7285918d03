"""What a person agrees to beforehand, on every command that may delete or power off."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.site import WORLD, Site, served
from tests.e2e.vcenter import vm_names

# Guests that publish no key would be waited for; what these publish is none.
PUBLISHED = "ubuntu-24.04: {extra: {guestinfo.vdl.hostkeys: none}}"


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    with served(tmp_path, WORLD.replace("ubuntu-24.04: {}", PUBLISHED)) as site:
        yield site


def test_up_asks_for_the_consent_that_provision_asks_for(site: Site) -> None:
    """There are no guests here, so that `up` ends after what it provisions."""
    site.vdl("provision", site.lab("less", cpu={"count": 2}), "--yes").good()
    lab = site.lab("less", cpu={"count": 1, "cpus": 4})
    refused = site.vdl("up", lab, "--yes", "--no-vcenter-checks")
    refused.refused(3, "--allow-shrink", "--allow-restart")
    assert [name for name in vm_names(site) if name.startswith("less")] == [
        "less-cpu-1", "less-cpu-2",
    ]  # fmt: skip
    done = site.vdl("up", lab, "--yes", "--allow-shrink", "--allow-restart")
    assert (done.code, "== configure" in done.err) == (1, True)
    assert [name for name in vm_names(site) if name.startswith("less")] == ["less-cpu-1"]
    assert site.vdl("plan", lab, "--check").good()
    site.vdl("destroy", lab, "--yes").good()


@pytest.mark.parametrize("words", [("plan", "nowhere.yaml"), ("host", "prepare", "esx-01")])
def test_debug_may_stand_before_and_after_the_command(site: Site, words: tuple[str, ...]) -> None:
    for command in (("--debug", *words), (*words, "--debug")):
        done = site.vdl(*command)
        assert (done.code, "Traceback" in done.err) == (2, True)
    assert "Traceback" not in site.vdl(*words).err
