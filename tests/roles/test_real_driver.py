"""Debian's own NVIDIA driver, compiled by DKMS for the kernel of a guest that boots."""

from __future__ import annotations

from pathlib import Path

import pytest

from provision.guests.configure import configure
from tests.guests.booted import A100, booted_lab

# The real one needs a real GPU.
PERSISTENCED = """\
[Service]
Type=exec
PIDFile=
ExecStart=
ExecStart=/bin/sleep infinity
ExecStopPost=
"""

pytestmark = [pytest.mark.driver, pytest.mark.timeout(3600)]


def test_debian_s_driver_is_built_loaded_and_found_again(tmp_path: Path) -> None:
    given = {"vdl_gpu_mode": "passthrough", "vdl_drivers": {"datacenter": "535"}}
    with booted_lab(tmp_path, "lab-gpu-1", gpus={"lab-gpu-1": (A100,)}) as lab:
        drop_in = "/etc/systemd/system/nvidia-persistenced.service.d"
        write = f"mkdir -p {drop_in}; printf %s '{PERSISTENCED}' >{drop_in}/test.conf"
        lab.guests["lab-gpu-1"].run("sh", "-c", write)
        settings = lab.settings(tags=("base", "driver"), variables=given)
        first = configure(lab.reach(), settings).hosts["lab-gpu-1"]
        assert first.message is None
        guest = lab.guests["lab-gpu-1"]
        module = guest.run("modinfo", "nvidia-current")
        kernel = guest.run("uname", "-r").strip()
        second = configure(lab.reach(), settings).hosts["lab-gpu-1"]
        loaded = guest.run("cat", "/sys/module/nvidia/version").strip()
        libraries = guest.run("ls", "/usr/lib/x86_64-linux-gnu")

    print(module)  # noqa: T201 - what this long run is for
    assert f"version:        {loaded}\n" in module
    assert loaded.startswith("535.")
    assert "supported:      external" in module
    assert f"vermagic:       {kernel} " in module
    assert "libcuda.so.1" in libraries
    assert "libnvidia-ptxjitcompiler.so.1" in libraries
    assert (second.message, second.changed) == (None, 0)
