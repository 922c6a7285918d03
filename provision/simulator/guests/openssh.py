"""A guest served by OpenSSH's sshd, in namespaces of its own and without privileges.

sshd looks users up in the password database, so the guest gets its own: a private mount
namespace in which /etc/passwd names the guest's user and home, with the numeric id of whoever
runs the simulator. A private PID namespace makes sure that whatever the guest started ends
with it, a private UTS namespace gives it its host name.
"""

from __future__ import annotations

import functools
import os
import shlex
import shutil
import socket
import subprocess
import time
from pathlib import Path

from provision.simulator.guests.identity import Identity

SSHD_PLACES = "/usr/sbin:/usr/local/sbin:/sbin:/usr/lib/ssh"
START_SECONDS = 30.0  # on a machine that is busy with training
STOP_SECONDS = 10.0

CONFIG = """\
ListenAddress {address}
Port {port}
HostKey {host_key}
AuthorizedKeysFile {authorized_keys}
PasswordAuthentication no
KbdInteractiveAuthentication no
AllowUsers {user}
PermitRootLogin prohibit-password
UsePAM no
StrictModes no
PidFile none
PrintMotd no
MaxSessions 64
MaxStartups 64
Subsystem sftp internal-sftp
"""

# Positional: passwd file, host name, sshd, its configuration. Where a container forbids a new
# /proc the outer one stays visible, which harms nothing.
BOOT = """\
set -e
mount --bind "$1" /etc/passwd
hostname "$2"
mount -t proc proc /proc 2>/dev/null || true
[ -w /run ] && mkdir -p /run/sshd
exec "$3" -D -e -f "$4"
"""


def _unshare() -> list[str]:
    """Return the command prefix that makes a guest's namespaces."""
    user = [] if os.geteuid() == 0 else ["--user", "--map-current-user", "--keep-caps"]
    return [
        *("setpriv", "--pdeathsig", "KILL"),
        *("unshare", *user, "--mount", "--uts", "--pid", "--fork", "--kill-child"),
    ]


@functools.cache
def sshd_path() -> str | None:
    """Return where sshd is, or None where it or the namespaces it needs are missing."""
    sshd = shutil.which("sshd", path=f"{os.environ.get('PATH', '')}:{SSHD_PLACES}")
    if sshd is None or shutil.which("unshare") is None or shutil.which("setpriv") is None:
        return None
    trial = [*_unshare(), "sh", "-c", "mount --bind /etc/hosts /etc/passwd && hostname x"]
    works = subprocess.run(trial, capture_output=True, check=False, timeout=10).returncode == 0
    return sshd if works else None


class OpenSshServer:
    """sshd for one guest. It ends with `stop`, or with the thread that started it.

    Raises:
        OSError: sshd did not come up; its own words are in the message.
    """

    def __init__(self, identity: Identity, folder: Path, address: str, port: int) -> None:
        home = folder / "home"
        passwd = folder / "passwd"
        passwd.write_text(
            f"{identity.user}:x:{os.geteuid()}:{os.getegid()}::{home}:/bin/sh\n"
            f"sshd:x:65533:65534::/run/sshd:/usr/sbin/nologin\n"
        )
        authorized_keys = folder / "authorized_keys"
        authorized_keys.write_text("".join(f"{key}\n" for key in identity.authorized_keys))
        config = folder / "sshd_config"
        config.write_text(
            CONFIG.format(
                address=address,
                port=port,
                user=identity.user,
                host_key=shlex.quote(str(folder / "ssh_host_ed25519_key")),
                authorized_keys=shlex.quote(str(authorized_keys)),
            )
        )
        command = [*_unshare(), "sh", "-c", BOOT, "boot"]
        command += [str(passwd), identity.hostname, str(sshd_path()), str(config)]
        self._place = (address, port)
        self._log = folder / "sshd.log"
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
            )
        self._wait_until_listening()

    def _wait_until_listening(self) -> None:
        end = time.monotonic() + START_SECONDS
        while self._process.poll() is None and time.monotonic() < end:
            if self._listens():
                return
            time.sleep(0.02)
        self.stop()
        raise OSError(f"sshd did not start: {self._log.read_text(errors='replace').strip()}")

    def _listens(self) -> bool:
        with socket.socket() as probe:
            return probe.connect_ex(self._place) == 0

    def stop(self) -> None:
        """End sshd and everything that was started through it."""
        self._process.kill()
        self._process.wait()
        # The kernel ends the namespace's processes a moment after the one that made it; until
        # then the address is taken.
        end = time.monotonic() + STOP_SECONDS
        while self._listens() and time.monotonic() < end:
            time.sleep(0.02)
