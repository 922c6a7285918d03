"""Packages that stand in for those of Ubuntu's data-centre driver, with a module that is built."""

from __future__ import annotations

import subprocess
from pathlib import Path

from tests.gate.states import Case
from tests.roles.debs import DAEMON, EXECUTABLE, PERSISTENCED, SERVICE, deb, smi_files, write

# All that modinfo and depmod look at; nobody loads it.
PREBUILT = '__attribute__((section(".modinfo"), used)) static const char v[] = "version={}";\n'
DEPMOD = "#!/bin/sh\nexec depmod {}\n"


def ubuntu_debs(folder: Path, build: Path, version: str, kernel: str) -> None:
    """Make the packages that the role installs on Ubuntu, for one kernel: with open modules.

    `version` must be later than Ubuntu's own of the branch, which apt knows too.
    """
    branch = version.partition(".")[0]
    tree = build / "modules"
    module = tree / f"usr/lib/modules/{kernel}/kernel/nvidia-{branch}srv-open/nvidia.ko"
    write(build / "nvidia.c", PREBUILT.format(version))
    module.parent.mkdir(parents=True)
    words = ["gcc", "-c", str(build / "nvidia.c"), "-o", str(module)]
    subprocess.run(words, check=True)
    write(tree / "DEBIAN/postinst", DEPMOD.format(kernel), EXECUTABLE)
    modules = f"linux-modules-nvidia-{branch}-server-open-{kernel}"
    deb(folder, tree, modules, f"{kernel.removesuffix('-generic')}.9999")

    played = Case(
        name="whole", smi="a100-passthrough", change={"driver_version": version}, expect={}
    )
    smi_files(build / "utils", played)
    deb(folder, build / "utils", f"nvidia-utils-{branch}-server", f"{version}-1")
    tree = build / "compute"
    write(tree / "usr/lib/systemd/system/nvidia-persistenced.service", PERSISTENCED)
    write(tree / "usr/bin/nvidia-persistenced", DAEMON, EXECUTABLE)
    compute = f"nvidia-compute-utils-{branch}-server"
    deb(folder, tree, compute, f"{version}-1")
    headless = f"nvidia-headless-no-dkms-{branch}-server-open"
    deb(folder, build / "headless", headless, f"{version}-1", Depends=compute)
    unit = SERVICE.format(command="/bin/sleep infinity")
    write(build / "fabric/usr/lib/systemd/system/nvidia-fabricmanager.service", unit)
    for newer in (version, f"{branch}.999.99"):
        deb(folder, build / "fabric", f"nvidia-fabricmanager-{branch}", f"{newer}-1")
