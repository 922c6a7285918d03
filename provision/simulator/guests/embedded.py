"""A guest served by asyncssh, for machines without OpenSSH's sshd or without namespaces."""

from __future__ import annotations

import asyncio
import os
import signal
import threading
from collections.abc import Coroutine
from pathlib import Path
from typing import Any, TypeVar

import asyncssh

from provision.simulator.guests.identity import Identity

T = TypeVar("T")


class _Gatekeeper(asyncssh.SSHServer):
    """Lets in the guest's user with one of the guest's keys, and nobody else."""

    def __init__(self, identity: Identity) -> None:
        self._user = identity.user
        self._keys = asyncssh.import_authorized_keys("\n".join(identity.authorized_keys))

    def connection_made(self, conn: asyncssh.SSHServerConnection) -> None:
        self._connection = conn

    def begin_auth(self, username: str) -> bool:
        if username == self._user:
            self._connection.set_authorized_keys(self._keys)
        return True

    def public_key_auth_supported(self) -> bool:
        return True


class EventLoop:
    """The thread in which all asyncssh servers of a simulator live."""

    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._serve, name="guests", daemon=True)
        self._thread.start()

    def _serve(self) -> None:
        asyncio.set_event_loop(self.loop)
        self.loop.run_forever()
        left = asyncio.all_tasks(self.loop)
        for task in left:
            task.cancel()
        self.loop.run_until_complete(asyncio.gather(*left, return_exceptions=True))
        self.loop.close()

    def call(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """Run a coroutine in the loop's thread and return its result."""
        return asyncio.run_coroutine_threadsafe(coroutine, self.loop).result(timeout=30)

    def close(self) -> None:
        """End the loop and its thread."""
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join()


class EmbeddedServer:
    """An SSH server for one guest, in the simulator's own process."""

    def __init__(
        self, events: EventLoop, identity: Identity, folder: Path, address: str, port: int
    ) -> None:
        self._events = events
        self._home = folder / "home"
        self._user = identity.user
        self._sessions: set[asyncio.subprocess.Process] = set()
        self._server = events.call(self._listen(identity, folder, address, port))

    async def _listen(
        self, identity: Identity, folder: Path, address: str, port: int
    ) -> asyncssh.SSHAcceptor:
        return await asyncssh.create_server(
            lambda: _Gatekeeper(identity),
            address,
            port,
            server_host_keys=[str(folder / "ssh_host_ed25519_key")],
            process_factory=self._run,
            encoding=None,
            sftp_factory=True,
            allow_scp=True,
        )

    async def _run(self, session: asyncssh.SSHServerProcess[bytes]) -> None:
        """Run what the client asked for, as a login shell of the guest's user would."""
        command = ["/bin/sh", "-c", session.command] if session.command else ["/bin/sh", "-l"]
        environment = {
            "HOME": str(self._home),
            "USER": self._user,
            "LOGNAME": self._user,
            "SHELL": "/bin/sh",
            "PATH": os.environ.get("PATH", os.defpath),
            **{name: str(value) for name, value in session.env.items()},
        }
        pipe = asyncio.subprocess.PIPE
        process = await asyncio.create_subprocess_exec(
            *command, cwd=self._home, env=environment, start_new_session=True,
            stdin=pipe, stdout=pipe, stderr=pipe,
        )  # fmt: skip
        self._sessions.add(process)
        try:
            await session.redirect(process.stdin, process.stdout, process.stderr)
            await session.stdout.drain()
            session.exit(await process.wait() & 0xFF)
            await session.wait_closed()
        finally:
            self._sessions.discard(process)

    async def _stop(self) -> None:
        self._server.close()
        for process in list(self._sessions):
            os.killpg(process.pid, signal.SIGKILL)
        await self._server.wait_closed()

    def stop(self) -> None:
        """End the server and everything that was started through it."""
        self._events.call(self._stop())
