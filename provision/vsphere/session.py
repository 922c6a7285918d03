"""One login at a vCenter, kept alive, shared by all threads."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import suppress
from typing import Any, Self

from pyVmomi import vim
from pyVmomi.SoapAdapter import StubAdapterBase

from provision.deadline import Deadline
from provision.errors import NoConnection
from provision.vsphere.connection import OLDEST, Transport, best_version
from provision.vsphere.retry import REPEATABLE, current_deadline, pauses
from provision.vsphere.settings import ConnectionSettings
from provision.vsphere.tls import NotSent, ResponseLost, check_server, make_context, unreachable

OLDEST_MAJOR = 7
PATIENCE_SECONDS = 60.0


_Base: Any = StubAdapterBase  # has no types


class VCenterAway(NoConnection):
    """vCenter did not come back before the deadline. Of a mutating call nothing was sent."""


class Session(StubAdapterBase):
    """The stub behind every managed object: sends calls, logs in again, retries what it may.

    See `provision.vsphere.retry` for the rules. A managed method raises pyVmomi's faults, and:

    Raises:
        NoConnection: vCenter refused the certificate or the login; no further attempt is made.
        VCenterAway: No connection before the deadline (`retry.within`, else `patience`).
        ResponseLost: A call that must not be repeated may or may not have been carried out.
    """

    def __init__(self, settings: ConnectionSettings, patience: float = PATIENCE_SECONDS) -> None:
        _Base.__init__(self, version=OLDEST)
        self.settings = settings
        self.generation = 0
        self.key = ""
        self._patience = patience
        self._refusal: tuple[str, str] | None = None
        self._login = threading.Lock()
        self._closed = threading.Event()
        context = make_context(settings)
        check_server(settings, context)
        self._transport: Any = Transport(settings, context)
        try:
            self.content = self._first_contact()
        except BaseException:
            self._drop()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    @property
    def about(self) -> Any:
        """What the server says of itself (`vim.AboutInfo`)."""
        return self.content.about

    @property
    def closed(self) -> threading.Event:
        """Set once the session is closed."""
        return self._closed

    def ref(self, kind: Any, moid: str) -> Any:
        """Return a managed object of this vCenter by its id."""
        return kind(moid, self)

    def close(self) -> None:
        """Log out, whatever the connection's state; safe to call again."""
        if self._closed.is_set():
            return
        self._closed.set()
        with suppress(NotSent, ResponseLost, NoConnection, vim.fault.NotAuthenticated):
            self._manager().Logout()
        self._drop()

    def _drop(self) -> None:
        drop: Any = self._transport.DropConnections
        drop()

    def renew(self, generation: int) -> None:
        """Log in again, unless another thread has done so since `generation`."""
        self._log_in_again(generation, current_deadline(self._patience))

    def InvokeMethod(self, mo: Any, info: Any, args: Any) -> Any:  # noqa: N802 - pyVmomi's name
        """Carry one call out; see the class for what is raised."""
        deadline, waits = current_deadline(self._patience), pauses()
        logins_left = 2
        while True:
            self._raise_refusal()
            generation = self.generation
            try:
                status, answer = self._transport.InvokeMethod(mo, info, args, self)
            except NotSent as error:
                self._pause(waits, deadline, error)
                continue
            except ResponseLost as error:
                if info.wsdlName not in REPEATABLE:
                    raise
                self._pause(waits, deadline, error)
                continue
            if status == 200:  # noqa: PLR2004 - HTTP's OK
                return answer
            if not isinstance(answer, vim.fault.NotAuthenticated) or not logins_left:
                raise answer
            # Once for this thread's own login, once where another thread's login ended before
            # the server had heard of it.
            logins_left -= 1
            self._log_in_again(generation, deadline)

    def _first_contact(self) -> Any:
        """Ask who is there, refuse what vdl can't work with, and log in."""
        try:
            with self._transport.new_session():
                start = vim.ServiceInstance("ServiceInstance", self._transport)
                content: Any = start.RetrieveContent()
                self._check_product(content.about)
                version = best_version(content.about.apiVersion)
                self._transport.ComputeVersionInfo(version)
                _Base.ComputeVersionInfo(self, version)
                self._manager_id = content.sessionManager._moId  # noqa: SLF001 - pyVmomi's public id
                self._send_login()
        except NotSent as error:
            raise unreachable(self.settings, error.__cause__ or error) from error
        except ResponseLost as error:
            raise NoConnection(
                "the server does not answer as a vCenter does",
                subject=self.settings.server,
                why=str(error),
                fix="check that the address and the port are those of a vCenter",
            ) from error
        return self._adopt(content)

    def _adopt(self, content: Any) -> Any:
        """Return service content whose objects call through this session."""
        for prop in content._GetPropertyList():  # noqa: SLF001 - pyVmomi's reflection
            value = getattr(content, prop.name)
            if hasattr(value, "_moId"):
                setattr(content, prop.name, type(value)(value._moId, self))  # noqa: SLF001
        return content

    def _check_product(self, about: Any) -> None:
        if about.apiType != "VirtualCenter":
            raise NoConnection(
                f"this is no vCenter but {about.fullName}",
                subject=self.settings.server,
                fix="name the vCenter that manages the host",
            )
        if int(about.apiVersion.split(".")[0]) < OLDEST_MAJOR:
            raise NoConnection(
                f"vCenter's API version {about.apiVersion} is too old",
                subject=self.settings.server,
                why="Dynamic DirectPath I/O and device bindings came with 7.0",
                fix=f"upgrade vCenter to {OLDEST_MAJOR}.0 or later",
            )

    def _manager(self) -> Any:
        return vim.SessionManager(self._manager_id, self._transport)

    def _send_login(self) -> None:
        """Send user and password once, and never again after they were refused."""
        settings = self.settings
        try:
            login = self._manager().Login(settings.username, settings.password.get_secret_value())
        except vim.fault.InvalidLogin as fault:
            self._refusal = (
                f"user name or password of {settings.username} is wrong, expired or locked",
                "check them; one attempt was made, so as not to lock the account",
            )
            raise self._refused() from fault
        except vim.fault.NoPermission as fault:
            self._refusal = (
                f"{settings.username} has no permission to log in",
                "give the user a role on this vCenter",
            )
            raise self._refused() from fault
        self.key = login.key
        self.generation += 1

    def _refused(self) -> NoConnection:
        why, fix = self._refusal or ("", "")
        return NoConnection(
            "vCenter refused the login", subject=self.settings.server, why=why, fix=fix
        )

    def _raise_refusal(self) -> None:
        if self._refusal is not None:
            raise self._refused()

    def _log_in_again(self, generation: int, deadline: Deadline) -> None:
        """Replace an ended session, once for all threads that found it ended."""
        with self._login:
            self._raise_refusal()
            waits = pauses()
            while self.generation == generation:
                try:
                    with self._transport.new_session():
                        self._send_login()
                except (NotSent, ResponseLost) as error:
                    self._pause(waits, deadline, error)

    def _pause(self, waits: Iterator[float], deadline: Deadline, error: OSError) -> None:
        """Wait before the next attempt.

        Raises:
            VCenterAway: The deadline has passed.
        """
        if deadline.passed or self._closed.wait(min(next(waits), deadline.left)):
            words = unreachable(self.settings, error.__cause__ or error)
            raise VCenterAway(
                "vCenter went away and did not come back in time",
                subject=self.settings.server,
                why=words.why,
                fix="check vCenter, then run the same command again",
            ) from error
