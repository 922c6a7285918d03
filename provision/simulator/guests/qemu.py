"""Simulated VMs that boot as virtual machines: QEMU in software emulation, with VMware's hardware.

SMBIOS says `VMware7,1`, the disk hangs on a pvscsi controller and the network on a vmxnet3 card.
guestinfo comes as fw_cfg files, and what the guest sets goes out by its second serial port; both
are what `vmware-rpctool` of the root file system looks at. No KVM is needed, so it works inside
of virtual machines too, but a boot takes a minute or two.
"""

from __future__ import annotations

import base64
import binascii
import contextlib
import json
import shutil
import socket
import subprocess
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import IO

from provision.errors import UsageError
from provision.simulator.guests.backend import Start
from provision.simulator.guests.booting import BootingGuests
from provision.simulator.guests.network import Cable
from provision.simulator.guests.rpc import GuestInfo, short

DISK_SIZE = "8G"
MEMORY_MIB = 1536
END_SECONDS = 30.0
CONTROL = "control"

# `max` so that TensorFlow finds AVX; 5-level page tables make emulation slow. QEMU wants commas
# of a value doubled.
HARDWARE = (
    *("-nodefaults", "-display", "none", "-machine", "q35", "-smp", "2"),
    *("-accel", "tcg,thread=multi", "-cpu", "max,la57=off", "-m", f"{MEMORY_MIB}M"),
    *("-smbios", "type=1,manufacturer=VMware,, Inc.,product=VMware7,,1"),
    *("-device", "pvscsi,id=scsi0", "-device", "scsi-hd,bus=scsi0.0,drive=disk"),
)


class VirtualMachine:
    """A machine in QEMU, with its disk in `folder`.

    Args:
        boot: Folder with the kernel and its initrd.
        folder: Where its files are; `disk` is among them.
        cable: Its network.
        given: The guestinfo settings that it may read.
        tell: Takes what the guest sets, as a line of JSON.
    """

    def __init__(
        self,
        boot: Path,
        folder: Path,
        cable: Cable,
        given: Mapping[str, str],
        tell: Callable[[bytes], object],
    ) -> None:
        self._boot = boot
        self._folder = folder
        self._cable = cable
        self._given = dict(given)
        self._tell = tell
        self._process: subprocess.Popen[bytes] | None = None
        self._thread: threading.Thread | None = None
        self._on = threading.Event()

    @property
    def address(self) -> str:
        """Where it answers once it is up."""
        return self._cable.address

    @property
    def console(self) -> Path:
        """What it wrote to its console."""
        return self._folder / "console.log"

    def start(self, on_off: Callable[[], None] = lambda: None) -> None:
        """Switch it on. The kernel ends QEMU with the thread that started it, so it has its own."""
        self._thread = threading.Thread(target=self._run, args=(on_off,), daemon=True)
        self._thread.start()
        self._on.wait(END_SECONDS)

    def _run(self, on_off: Callable[[], None]) -> None:
        with (
            (self._folder / "qemu.log").open("wb") as log,
            self._child(self._cable.dhcp(self._folder), log) as dhcp,
            self._child(self._command(), log) as self._process,
        ):
            self._on.set()
            for line in self._process.stdout or ():
                with contextlib.suppress(binascii.Error):  # noise of the serial port
                    self._tell(base64.b64decode(line.strip(), validate=True))
            self._process.wait()
            dhcp.terminate()
        on_off()

    def _child(self, words: list[str], log: IO[bytes]) -> subprocess.Popen[bytes]:
        command = ["setpriv", "--pdeathsig", "KILL", *words]
        return subprocess.Popen(
            command, cwd=self._folder, stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE, stderr=log, start_new_session=True,
        )  # fmt: skip

    def _command(self) -> list[str]:
        words = ["qemu-system-x86_64", *HARDWARE]
        words += ["-drive", f"file={self._folder / 'disk'},format=raw,if=none,id=disk"]
        words += ["-kernel", _newest(self._boot, "vmlinuz-*")]
        words += ["-initrd", _newest(self._boot, "initrd.img-*")]
        words += ["-append", "root=/dev/sda rw console=ttyS0"]
        up = self._cable.script(self._folder)
        tap = f"tap,id=net,ifname={self._cable.interface},script={up},downscript=no"
        words += ["-netdev", tap]
        words += ["-device", f"vmxnet3,netdev=net,mac={self._cable.mac},romfile="]
        words += ["-serial", f"file:{self.console}"]
        words += ["-chardev", "stdio,id=info,signal=off", "-serial", "chardev:info"]
        words += ["-qmp", f"unix:{CONTROL},server=on,wait=off"]  # in its working directory
        for key, value in self._given.items():
            path = self._folder / key
            path.write_text(value)
            words += ["-fw_cfg", f"name=opt/{key},file={path}"]
        return words

    def shut_down(self) -> None:
        """Press its power button."""
        self._ask("system_powerdown")

    def restart(self) -> None:
        """Press its reset button: nothing in the guest could be asked."""
        self._ask("system_reset")

    def _ask(self, command: str) -> None:
        """Give QEMU an order of its machine protocol (QMP)."""
        with socket.socket(socket.AF_UNIX) as control:
            with short(self._folder / CONTROL) as name:
                control.connect(name)
            with control.makefile("rw") as stream:
                stream.readline()  # its greeting
                for order in ("qmp_capabilities", command):
                    stream.write(json.dumps({"execute": order}) + "\n")
                    stream.flush()
                    stream.readline()

    def power_off(self) -> None:
        """Take its power away, and wait until it is gone."""
        if self._process is not None and self._process.poll() is None:
            self._process.kill()
        if self._thread is not None and self._thread is not threading.current_thread():
            self._thread.join(END_SECONDS)


def _newest(boot: Path, pattern: str) -> str:
    return str(max(boot.glob(pattern)))


class QemuGuests(BootingGuests[VirtualMachine]):
    """Guests in virtual machines.

    Raises:
        UsageError: The user is not root, or this machine lacks something.
    """

    needed = (
        ("mmdebstrap", "mmdebstrap"),
        ("qemu-system-x86_64", "qemu-system-x86"),
        ("dnsmasq", "dnsmasq-base"),
        ("mke2fs", "e2fsprogs"),
        ("setpriv", "util-linux"),
        ("nft", "nftables"),
        ("ip", "iproute2"),
    )

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self._image = disk_image(self._root)

    def _make(self, vm: Start, folder: Path, info: GuestInfo) -> VirtualMachine:
        disk = folder / "disk"
        if not disk.exists():
            copy = ["cp", "--reflink=auto", "--sparse=always", str(self._image), str(disk)]
            subprocess.run(copy, check=True)
        cable = self._network.cable()
        return VirtualMachine(self._root / "boot", folder, cable, vm.guestinfo, info.answer)


def disk_image(root: Path) -> Path:
    """Return a disk with a root file system on it, made on first use.

    Raises:
        UsageError: It can't be made.
    """
    image = root.with_name(f"{root.name}.ext4")
    if image.exists():
        return image
    fresh = image.with_suffix(".new")
    command = ["mke2fs", "-q", "-t", "ext4", "-d", str(root), "-F", str(fresh), DISK_SIZE]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    if done.returncode != 0:
        fresh.unlink(missing_ok=True)
        raise UsageError(
            "the disk of the guests can't be made", subject=str(image), why=done.stderr.strip()
        )
    shutil.move(fresh, image)
    return image
