"""Every role on every system, on a fresh template: checked, run, and run again without a change."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.guests.systems import NAMES
from tests.roles.matrix import CPU, DEB, DIRECT, GRID, MODULES, RUN, Matrix, document, matrix

pytestmark = pytest.mark.timeout(900)

SYSTEMS = [
    pytest.param("debian-12", marks=pytest.mark.nspawn),
    *(pytest.param(name, marks=pytest.mark.systems) for name in NAMES),
]
TOGETHER = (CPU, DIRECT, DEB)


@pytest.fixture(scope="module", params=SYSTEMS)
def site(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Matrix]:
    with matrix(request.param, tmp_path_factory.mktemp("matrix")) as made:
        yield made


def test_site_yml_with_the_data_centre_driver_a_deb_file_and_no_gpu(site: Matrix) -> None:
    given = site.package(f"nvidia-linux-grid-550_{GRID}_amd64.deb")
    first = site.twice(TOGETHER, site.configure(TOGETHER, **given), least=3)
    assert [name for name, host in first.items() if not host.data["vdl_gate"]["passed"]] == []
    assert first[DEB].data["vdl_licence"] == "Licensed"

    versions = {CPU: "none", DIRECT: site.version, DEB: GRID}
    loaded = "cat /sys/module/nvidia/version 2>/dev/null || echo none"
    assert {name: site.guest(name).run("sh", "-c", loaded).strip() for name in TOGETHER} == versions
    module = MODULES.get(site.name, "nvidia")
    on_disk = site.guest(DIRECT).run("modinfo", "-F", "version", module).strip()
    assert on_disk == site.version
    (inner,) = (site.lab.folder / "ca.pem").read_text().splitlines()[1:2]
    trusted = "/etc/ssl/certs/ca-certificates.crt"
    assert all(inner in site.guest(name).run("cat", trusted) for name in TOGETHER)
    kernel = "linux-image-virtual" if "ubuntu" in site.name else "linux-image-cloud-amd64"
    assert kernel in site.guest(DIRECT).run("apt-mark", "showhold").split()
    units = "systemctl is-active nvidia-persistenced nvidia-fabricmanager"
    assert site.guest(DIRECT).run("sh", "-c", units).split() == ["active", "active"]


def test_a_run_file_brings_the_driver_for_vgpus(site: Matrix) -> None:
    given = site.package(f"NVIDIA-Linux-x86_64-{GRID}-grid.run")
    tags = ("base", "driver", "licence", "nvlink")
    first = site.twice((RUN,), site.configure((RUN,), tags=tags, **given), least=3)
    assert first[RUN].data["vdl_licence"] == "Licensed"
    assert site.guest(RUN).run("cat", "/sys/module/nvidia/version").strip() == GRID


def test_benchmark_yml(site: Matrix) -> None:
    names = (CPU,)
    site.twice(names, site.measure(names), least=0)
    results = site.lab.folder / "results" / CPU
    assert document(results / "one.json")["kind"] == "vdl-result"
    assert document(results / "gate.json")["passed"] is True
