"""Packages that stand in for NVIDIA's: small, but real to dpkg, apt, DKMS and systemd.

Their module is compiled by DKMS against the guest's headers. What it would show of GPUs, the
played nvidia-smi of tests/gate shows; the licence comes when the played nvidia-gridd finds a
token that says so.
"""

from __future__ import annotations

import hashlib
import shutil
import subprocess
from pathlib import Path

from tests.gate.states import Case, install, load

MODULE = """\
#include <linux/module.h>
static int __init start(void) {{ return 0; }}
static void __exit end(void) {{ }}
module_init(start);
module_exit(end);
MODULE_LICENSE("GPL");
MODULE_VERSION("{version}");
"""
DKMS_CONF = """\
PACKAGE_NAME="{module}"
PACKAGE_VERSION="{version}"
BUILT_MODULE_NAME[0]="{module}"
DEST_MODULE_LOCATION[0]="/updates/dkms"
AUTOINSTALL="yes"
MAKE[0]="make -C ${{kernel_source_dir}} M=${{dkms_tree}}/{module}/{version}/build modules"
CLEAN="true"
"""
POSTINST = (
    '#!/bin/sh\nset -e\nexec sh /usr/lib/dkms/common.postinst {module} {version} "" "" "$2"\n'
)
PRERM = "#!/bin/sh\ndkms remove {module}/{version} --all || true\n"
SERVICE = "[Service]\nExecStart={command}\n[Install]\nWantedBy=multi-user.target\n"
# The licence follows the token: a file that says good, and FeatureType 1.
GRIDD = """\
#!/bin/sh
state=/usr/share/standin/state
echo a100-vgpu-unlicensed >$state
cd /etc/nvidia
if grep -qsx FeatureType=1 gridd.conf && grep -qs good ClientConfigToken/*.tok; then
    sleep 1
    echo a100-vgpu >$state
fi
exec sleep infinity
"""
# As Ubuntu's: it can't be enabled, goes when nothing wants it, and would let the GPUs sleep.
PERSISTENCED = """\
[Unit]
StopWhenUnneeded=true
[Service]
ExecStart=/usr/bin/nvidia-persistenced --no-persistence-mode --verbose
"""
DAEMON = '#!/bin/sh\necho "$*" >/run/standin-persistenced\nexec sleep infinity\n'
RETIRED = "nvidia-headless-no-dkms-570-server"
EXECUTABLE = 0o755


def write(path: Path, text: str, mode: int = 0o644) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    path.chmod(mode)


def deb(folder: Path, tree: Path, name: str, version: str, **fields: str) -> Path:
    """Make a package of the files in `tree`, whose DEBIAN folder may have scripts."""
    control = {"Package": name, "Version": version, "Architecture": "amd64"}
    control |= {"Maintainer": "vdl <vdl@example.com>", "Description": "stands in for NVIDIA's"}
    control |= {key.replace("_", "-"): value for key, value in fields.items()}
    text = "".join(f"{key}: {value}\n" for key, value in control.items())
    write(tree / "DEBIAN/control", text)
    folder.mkdir(parents=True, exist_ok=True)
    target = folder / f"{name}_{version}_amd64.deb"
    words = ["dpkg-deb", "--root-owner-group", "-Znone", "--build", str(tree), str(target)]
    subprocess.run(words, check=True, capture_output=True)
    return target


def module_files(tree: Path, module: str, version: str, source: str = MODULE) -> None:
    """Put a module's source and its DKMS configuration into `tree`, built when it is installed."""
    place = tree / f"usr/src/{module}-{version}"
    write(place / f"{module}.c", source.format(version=version))
    write(place / "Makefile", f"obj-m := {module}.o\n")
    write(place / "dkms.conf", DKMS_CONF.format(module=module, version=version))
    write(tree / "DEBIAN/postinst", POSTINST.format(module=module, version=version), EXECUTABLE)
    write(tree / "DEBIAN/prerm", PRERM.format(module=module, version=version), EXECUTABLE)


def smi_files(tree: Path, *cases: Case) -> None:
    """Put a played nvidia-smi with its answers into `tree`."""
    share = tree / "usr/share/standin"
    share.mkdir(parents=True)
    install(share, *cases, programs=tree / "usr/bin")
    for program in (tree / "usr/bin").iterdir():
        if program.name == "nvidia-smi":
            text = program.read_text(encoding="utf-8").replace(str(share), "/usr/share/standin")
            write(program, text, EXECUTABLE)
        else:
            program.unlink()


def datacenter_debs(folder: Path, build: Path, version: str = "535.183.01") -> None:
    """Make the packages that Debian has of its data-centre driver, and some of others."""
    branch = version.partition(".")[0]
    module_files(build / "dkms", "nvidia-current", version)
    wants = {"Depends": "dkms, nvidia-modprobe"}
    deb(folder, build / "dkms", "nvidia-kernel-dkms", f"{version}-1", **wants)
    # In Debian 13 it is of another branch.
    deb(folder, build / "modprobe", "nvidia-modprobe", "570.133.07-1")
    played = Case(
        name="whole", smi="a100-passthrough", change={"driver_version": version}, expect={}
    )
    smi_files(build / "smi", played)
    deb(folder, build / "smi", "nvidia-smi", f"{version}-1")
    tree = build / "persistenced"
    write(tree / "usr/lib/systemd/system/nvidia-persistenced.service", PERSISTENCED)
    write(tree / "usr/bin/nvidia-persistenced", DAEMON, EXECUTABLE)
    deb(folder, tree, "nvidia-persistenced", f"{version}-1")
    unit = SERVICE.format(command="/bin/sleep infinity")
    write(build / "fabric/usr/lib/systemd/system/nvidia-fabricmanager.service", unit)
    for newer in (version, f"{branch}.999.99"):
        deb(folder, build / "fabric", f"nvidia-fabricmanager-{branch}", f"{newer}-1")
    deb(folder, build / "cuda", "libcuda1", f"{version}-1")
    # As Ubuntu's of branches that it has given up.
    elsewhere = {"Depends": "nvidia-headless-no-dkms-580-server"}
    deb(folder, build / "retired", RETIRED, f"{version}-1", **elsewhere)


def vgpu_tree(tree: Path, version: str, source: str = MODULE) -> None:
    """Fill a tree with what NVIDIA's guest driver for vGPUs brings."""
    module_files(tree, "nvidia", version, source)
    smi_files(tree, load("a100-vgpu-unlicensed"), load("a100-vgpu"))
    write(tree / "usr/bin/nvidia-gridd", GRIDD, EXECUTABLE)
    unit = SERVICE.format(command="/usr/bin/nvidia-gridd")
    write(tree / "usr/lib/systemd/system/nvidia-gridd.service", unit)


def vgpu_deb(folder: Path, build: Path, version: str, source: str = MODULE) -> Path:
    """Make NVIDIA's guest driver for vGPUs as a .deb file."""
    vgpu_tree(build, version, source)
    return deb(folder, build, f"nvidia-linux-grid-{version[:3]}", version, Depends="dkms")


RUN = """\
#!/bin/sh
# Like NVIDIA's installer: it always installs, whatever is there.
set -e
case " $* " in *" --silent --dkms "*) ;; *) echo "usage: --silent --dkms" >&2; exit 1 ;; esac
echo "$*" >>/var/log/standin-installer.log
dkms status nvidia/{version} | grep -q . && dkms remove nvidia/{version} --all
sed '1,/^__ARCHIVE__$/d' "$0" | base64 -d | tar -x -C / --no-same-owner --keep-directory-symlink
dkms install nvidia/{version} -k "$(uname -r)"
cat >/usr/bin/nvidia-uninstall <<'END'
#!/bin/sh
dkms remove nvidia/{version} --all
rm -rf /usr/bin/nvidia-smi /usr/bin/nvidia-gridd /usr/bin/nvidia-uninstall /usr/src/nvidia-{version}
rm -f /usr/lib/systemd/system/nvidia-gridd.service
END
chmod 755 /usr/bin/nvidia-uninstall
exit 0
__ARCHIVE__
"""


def vgpu_run(folder: Path, build: Path, version: str) -> Path:
    """Make NVIDIA's guest driver for vGPUs as a .run file: a script with an archive behind it."""
    vgpu_tree(build, version)
    shutil.rmtree(build / "DEBIAN")
    words = f"tar -c -C {build} . | base64"
    packed = subprocess.run(["sh", "-c", words], check=True, capture_output=True, text=True).stdout  # noqa: S607 - two programs
    target = folder / f"NVIDIA-Linux-x86_64-{version}-grid.run"
    write(target, RUN.format(version=version) + packed, EXECUTABLE)
    return target


def index(folder: Path) -> None:
    """Write the list that apt reads for a folder of packages."""
    entries = []
    for package in sorted(folder.glob("*.deb")):
        words = ["dpkg-deb", "--field", str(package)]
        fields = subprocess.run(words, check=True, capture_output=True, text=True).stdout.strip()
        digest = hashlib.sha256(package.read_bytes()).hexdigest()
        size = package.stat().st_size
        entries.append(f"{fields}\nFilename: ./{package.name}\nSize: {size}\nSHA256: {digest}\n")
    write(folder / "Packages", "\n".join(entries))
