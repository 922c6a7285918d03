"""A machine that boots: systemd as PID 1 in a systemd-nspawn container, over a layer of its own.

The layer stays when the machine goes off, as a disk does. The mount lives in a namespace of the
container's own, so that nothing is left when its process ends, however it ends.
"""

from __future__ import annotations

import os
import signal
import subprocess
import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from provision.errors import UsageError
from provision.simulator.guests.network import Link, Network

REBOOT = 133  # systemd-nspawn(1): what it exits with where the machine wants to boot again
SHUTDOWN_SECONDS = 30.0
# Positional: lower, upper, work, root, then the command.
MOUNT = """\
mount -t overlay overlay -o "lowerdir=$1,upperdir=$2,workdir=$3" "$4"
shift 4
exec "$@"
"""

# Its stdin ends with the process that started it, killed or not. A systemd-nspawn that is killed
# leaves its container behind; one whose container is killed takes its leave.
WATCH = """\
read -r _
while [ -d "/proc/$1" ]; do
    kill -KILL $(cat "/proc/$1/task/$1/children")
    sleep 0.2
done 2>/dev/null
"""


class Container:
    """A machine over the root `lower`, with its own files in `folder`.

    `disk` are the files in which it differs from its root: write there what it shall find when
    it boots.

    Args:
        lower: A root file system; never written to.
        folder: Where its layer goes. It stays until the caller removes it.
        name: Host name until cloud-init gives another.
        network: Where its address comes from.
        shown: Folders of this machine that it may read, by their paths inside.
    """

    def __init__(
        self,
        lower: Path,
        folder: Path,
        name: str,
        network: Network,
        shown: Mapping[str, Path] | None = None,
    ) -> None:
        self.name = name
        self.disk = folder / "disk"
        self._lower = lower
        self._folder = folder
        self._network = network
        self._binds = [f"--bind-ro={outside}:{inside}" for inside, outside in (shown or {}).items()]
        self._process: subprocess.Popen[bytes] | None = None
        self._thread: threading.Thread | None = None
        self._ready = threading.Event()
        self._off = False
        self._guard = threading.Lock()
        self._link: Link | None = None
        self.boots = 0
        for part in (self.disk, folder / "work", folder / "root"):
            part.mkdir(parents=True, exist_ok=True)

    @property
    def link(self) -> Link:
        """Its network, since it was started first.

        Raises:
            UsageError: It has none.
        """
        if self._link is None:
            raise UsageError("the guest has no network", subject=self.name)
        return self._link

    @property
    def address(self) -> str:
        """Where it answers once it is up."""
        return self.link.address

    @property
    def console(self) -> Path:
        """What it wrote to its console."""
        return self._folder / "console.log"

    def start(self, on_off: Callable[[], None] = lambda: None) -> None:
        """Switch it on; a reboot from inside keeps it on. `on_off` comes when it is off."""
        self._off = False
        self._ready.clear()
        self._thread = threading.Thread(target=self._stay_on, args=(on_off,), daemon=True)
        self._thread.start()
        self._ready.wait()
        _ = self.link  # where there is none, this says so

    def _stay_on(self, on_off: Callable[[], None]) -> None:
        try:
            link = self._link = self._network.link()
        finally:
            self._ready.set()
        try:
            while self._boot() == REBOOT:
                pass
        finally:
            link.close()
            on_off()

    def _boot(self) -> int:
        with self._guard:
            if self._off:
                return 0
            self.boots += 1
            with self.console.open("ab") as console:
                process = self._process = subprocess.Popen(
                    self._command(), stdin=subprocess.DEVNULL, stdout=console, stderr=console,
                    start_new_session=True,
                )  # fmt: skip
        watch = ["sh", "-c", WATCH, "watch", str(process.pid)]
        with subprocess.Popen(watch, stdin=subprocess.PIPE, start_new_session=True) as watcher:
            code = process.wait()
            watcher.kill()
        return code

    def _command(self) -> list[str]:
        root = self._folder / "root"
        layers = (self._lower, self.disk, self._folder / "work", root)
        words = ["unshare", "--mount", "--propagation", "private"]
        words += ["sh", "-ec", MOUNT, "mount", *map(str, layers)]
        words += ["systemd-nspawn", "--quiet", "--boot", f"--directory={root}"]
        words += [f"--machine={self.name}", f"--hostname={self.name}"]
        words += ["--register=no", "--keep-unit", "--console=pipe", "--link-journal=no"]
        words += [f"--network-namespace-path={self.link.namespace}", "--resolv-conf=copy-host"]
        return words + self._binds

    def share(self, inside: str, outside: Path) -> None:
        """Show it a folder that both sides may change; before it is switched on."""
        self._binds.append(f"--bind={outside}:{inside}")

    def leader(self) -> int | None:
        """Return its PID 1 as this machine numbers it; None where it is off."""
        if self._process is None or self._process.poll() is not None:
            return None
        pid = self._process.pid
        try:
            children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        except FileNotFoundError:
            return None
        return int(children[-1]) if children else None

    def run(self, words: Sequence[str]) -> subprocess.CompletedProcess[str]:
        """Run a command inside, as its root, past SSH.

        Raises:
            LookupError: It is off.
        """
        if (leader := self.leader()) is None:
            raise LookupError(f"{self.name} is off")
        command = ["nsenter", f"--target={leader}", "--all", "--wdns=/", "env", "-i"]
        command += ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", *words]
        return subprocess.run(
            command, check=False, capture_output=True, text=True, stdin=subprocess.DEVNULL
        )

    def shut_down(self) -> None:
        """Ask its systemd to end everything."""
        self.run(["systemctl", "--no-block", "poweroff"])

    def restart(self) -> None:
        """Ask its systemd to end everything and to boot again."""
        self.run(["systemctl", "--no-block", "reboot"])

    def power_off(self) -> None:
        """Take its power away at once, and wait until it is gone."""
        with self._guard:
            self._off = True
            self._kill()
        if self._thread is not None and self._thread is not threading.current_thread():
            self._thread.join(SHUTDOWN_SECONDS)

    def _kill(self) -> None:
        """Kill its PID 1: the kernel ends the rest, and systemd-nspawn takes its leave."""
        if (leader := self.leader()) is not None:
            os.kill(leader, signal.SIGKILL)
        else:
            self._signal(signal.SIGTERM)

    def _signal(self, number: signal.Signals) -> None:
        if self._process is not None and self._process.poll() is None:
            self._process.send_signal(number)
