from pathlib import Path

import pytest

from payload.machine.environment import Observer

CPUINFO = """processor\t: 0
model name\t: Intel(R) Xeon(R) Platinum 8480+
flags\t\t: fpu avx avx2 fma avx512f avx512_bf16 amx_tile amx_bf16{}

processor\t: 1
model name\t: second
flags\t\t: fpu
"""


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A VMware guest, as far as its files tell."""
    for path, text in {
        "proc/cpuinfo": CPUINFO.format(" hypervisor"),
        "proc/meminfo": "MemTotal:       32768000 kB\nMemFree: 1 kB\n",
        "proc/loadavg": "0.50 0.25 0.10 1/200 4242\n",
        "proc/stat": "cpu  100 0 100 700 50 0 0 50 0 0\ncpu0 1 1 1 1 1 1 1 1 1 1\n",
        "etc/os-release": 'NAME="Ubuntu"\nPRETTY_NAME="Ubuntu 24.04.3 LTS"\n',
        "sys/class/dmi/id/sys_vendor": "VMware, Inc.\n",
        "sys/class/dmi/id/product_name": "VMware20,1\n",
        "sys/class/dmi/id/product_serial": "VMware-42 00 secret\n",
    }.items():
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text(text)
    return tmp_path


def test_a_guest_is_described(root: Path) -> None:
    found = Observer(root).describe()
    assert found["cpu"]["model"] == "Intel(R) Xeon(R) Platinum 8480+"
    assert found["cpu"]["flags"] == [
        "avx",
        "avx2",
        "fma",
        "avx512f",
        "avx512_bf16",
        "amx_tile",
        "amx_bf16",
    ]
    assert found["memory_bytes"] == 32_768_000 * 1024
    assert found["os"]["name"] == "Ubuntu 24.04.3 LTS"
    assert found["hypervisor"] == {
        "name": "VMware",
        "vendor": "VMware, Inc.",
        "product": "VMware20,1",
    }
    assert found["load"]["average_start"] == [0.5, 0.25, 0.1]
    assert "secret" not in str(found)


def test_bare_metal_has_no_hypervisor(root: Path) -> None:
    (root / "proc/cpuinfo").write_text(CPUINFO.format(""))
    assert Observer(root).describe()["hypervisor"] is None


def test_steal_is_counted_from_start_to_end(root: Path) -> None:
    observer = Observer(root)
    (root / "proc/stat").write_text("cpu  150 0 100 730 50 0 0 70 0 0\n")
    assert observer.describe()["load"]["steal_percent"] == pytest.approx(20.0)


def test_a_system_that_tells_nothing_is_described_as_unknown(tmp_path: Path) -> None:
    found = Observer(tmp_path).describe()
    assert found["cpu"]["model"] is None
    assert found["memory_bytes"] is None
    assert found["load"] == {"average_start": None, "average_end": None, "steal_percent": None}


def test_only_variables_that_matter_are_noted(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TF_XLA_FLAGS", "--tf_xla_auto_jit=2")
    monkeypatch.setenv("TF_VAR_vsphere_password", "MARKER-secret")
    variables = Observer(root).describe()["variables"]
    assert variables["TF_XLA_FLAGS"] == "--tf_xla_auto_jit=2"
    assert "MARKER" not in str(variables)
