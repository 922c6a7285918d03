"""Bad input at every door: exit code and message as the table says, nothing on stdout, no trace."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from provision.simulator.server import Simulator
from tests.e2e.site import WORLD, Site
from tests.e2e.vcenter import vm_names

TABLE = Path(__file__).parents[1] / "data" / "cli" / "refusals.yaml"
CASES: list[dict[str, Any]] = yaml.safe_load(TABLE.read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def ready(tmp_path_factory: pytest.TempPathFactory, shared_site: Site) -> Iterator[Site]:
    """Return the shared vCenter with a folder of its own that has a good lab.yaml."""
    site = Site(tmp_path_factory.mktemp("refusals"), shared_site.environment, shared_site.door)
    site.lab("lab")
    before = vm_names(site)
    yield site
    assert vm_names(site) == before


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["name"])
def test_is_refused(ready: Site, case: dict[str, Any]) -> None:
    for name, content in case.get("files", {}).items():
        data = content if isinstance(content, bytes) else content.encode()
        (ready.folder / name).write_bytes(data)
    server = ready.door["server"]
    words = [word.replace("{server}", server) for word in case["words"]]
    done = ready.vdl(*words, env=case.get("env"))
    done.refused(case["code"], *(text.replace("{server}", server) for text in case["said"]))


def simulated(folder: Path) -> tuple[Simulator, Site]:
    simulator = Simulator.from_text(WORLD, folder=folder / "vcenter")
    door = simulator.serve()
    return simulator, Site(folder, {"VDL_USERNAME": door.username, "VDL_SERVER": door.server}, {})


def test_a_refused_login_is_tried_once(tmp_path: Path) -> None:
    simulator, site = simulated(tmp_path)
    with simulator:
        environment = {"VDL_CA_FILE": simulator.door.ca_file, "VDL_PASSWORD": "wrong"}
        site.vdl("plan", site.lab("lab"), env=environment).refused(5, "refused the login")
        assert simulator.world.calls["Login"] == 1


@pytest.mark.parametrize("pin", [None, "00" * 32])
def test_no_credential_leaves_before_the_certificate_is_accepted(
    tmp_path: Path, pin: str | None
) -> None:
    simulator, site = simulated(tmp_path)
    with simulator:
        environment = {"VDL_THUMBPRINT": pin, "VDL_PASSWORD": simulator.password}
        site.vdl("plan", site.lab("lab"), env=environment).refused(5, "no credential was sent")
        assert simulator.world.calls["Login"] == 0
