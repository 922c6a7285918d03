"""Sessions: who is logged in, and the managed object that logs them in and out."""

from __future__ import annotations

import secrets
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any

from pyVmomi import vim, vmodl

from provision.simulator.engine.objects import NO_LOGIN_NEEDED, SimObject, method, prop

if TYPE_CHECKING:
    from provision.simulator.engine.call import Call
    from provision.simulator.engine.world import World

_LOCALE = "en_US"


@dataclass(eq=False, slots=True)
class Session:
    """One login. `key` is the session's public name, `cookie` the secret that proves it."""

    user: str
    address: str
    agent: str
    login_time: datetime
    last_active_time: datetime
    last_active: float
    key: str = field(default_factory=lambda: secrets.token_hex(16))
    cookie: str = field(default_factory=lambda: secrets.token_hex(20))
    calls: int = 0
    running: int = 0
    ended: bool = False
    pages: dict[str, Any] = field(default_factory=dict)
    watches: dict[str, Any] = field(default_factory=dict)

    def info(self) -> Any:
        """Return the session as `vim.UserSession`."""
        return vim.UserSession(
            key=self.key,
            userName=self.user,
            fullName=self.user,
            loginTime=self.login_time,
            lastActiveTime=self.last_active_time,
            locale=_LOCALE,
            messageLocale=_LOCALE,
            extensionSession=False,
            ipAddress=self.address,
            userAgent=self.agent,
            callCount=self.calls,
        )


class Sessions:
    """All sessions of a world. The caller holds the world's lock."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._by_cookie: dict[str, Session] = {}

    def all(self) -> list[Session]:
        """Return the sessions that are alive."""
        for session in list(self._by_cookie.values()):
            self._end_if_idle(session)
        return list(self._by_cookie.values())

    def open(self, user: str, address: str, agent: str) -> Session:
        """Start a session for a user whose password was checked."""
        clock = self._world.clock
        now = clock.now()
        session = Session(user, address, agent, now, now, clock.monotonic())
        self._by_cookie[session.cookie] = session
        return session

    def find(self, cookie: str | None) -> Session | None:
        """Return the living session of a cookie; None where it has ended or never was."""
        session = self._by_cookie.get(cookie or "")
        if session is not None:
            self._end_if_idle(session)
        return session if session is not None and not session.ended else None

    def enter(self, session: Session) -> None:
        """Note that a call of the session has begun: it is not idle while one runs."""
        session.running += 1
        session.calls += 1
        self._note_activity(session)

    def leave(self, session: Session) -> None:
        """Note that a call of the session has ended."""
        session.running -= 1
        self._note_activity(session)

    def end(self, session: Session) -> None:
        """End a session, with its views and filters; its waits end too."""
        session.ended = True
        self._by_cookie.pop(session.cookie, None)
        world = self._world
        for obj in [obj for obj in world.objects.values() if obj.owner is session]:
            world.remove(obj)
        world.changed.notify_all()

    def end_all(self) -> None:
        """End all sessions, as an administrator can."""
        with self._world.lock:
            for session in list(self._by_cookie.values()):
                self.end(session)

    def _note_activity(self, session: Session) -> None:
        session.last_active = self._world.clock.monotonic()
        session.last_active_time = self._world.clock.now()

    def _end_if_idle(self, session: Session) -> None:
        idle = self._world.clock.monotonic() - session.last_active
        if not session.running and idle > self._world.settings.session_idle:
            self.end(session)


class SessionManager(SimObject):
    """Logs users in and out."""

    wsdl_type = vim.SessionManager
    prefix = "SessionManager"

    @prop("currentSession")
    def current_session(self) -> Any:
        """The session of whoever asks."""
        call = self.world.current_call
        return call.session.info() if call and call.session else None

    @prop("sessionList")
    def session_list(self) -> list[Any]:
        """All sessions."""
        return [session.info() for session in self.world.sessions.all()]

    @prop("defaultLocale")
    def default_locale(self) -> str:
        """The locale of all messages."""
        return _LOCALE

    @method("Login", NO_LOGIN_NEEDED)
    def login(self, call: Call, userName: str, password: str, locale: str | None = None) -> Any:  # noqa: N803 - WSDL's names
        """Check the password and start a session."""
        del locale
        user = self.world.users.get(userName)
        known = user is not None and secrets.compare_digest(
            user.password.encode(), password.encode()
        )
        if not known or call.session is not None:
            raise vim.fault.InvalidLogin(msg="Wrong user name or password, or already logged in")
        call.session = self.world.sessions.open(userName, call.address, call.agent)
        self.world.sessions.enter(call.session)
        return call.session.info()

    @method("Logout")
    def logout(self, call: Call) -> None:
        """End the caller's session."""
        if call.session:
            self.world.sessions.end(call.session)

    @method("SessionIsActive")
    def session_is_active(self, _: Call, sessionID: str, userName: str) -> bool:  # noqa: N803 - WSDL's names
        """Tell whether a session of this key and user is alive."""
        return any(s.key == sessionID and s.user == userName for s in self.world.sessions.all())

    @method("TerminateSession")
    def terminate(self, call: Call, sessionId: list[str]) -> None:  # noqa: N803 - WSDL's name
        """End other people's sessions, one after the other until one can't be ended."""
        for key in sessionId:
            sessions = {session.key: session for session in self.world.sessions.all()}
            if key not in sessions:
                raise vim.fault.NotFound(msg=f"No session has the key {key}")
            if sessions[key] is call.session:
                raise vmodl.fault.InvalidArgument(
                    invalidProperty="sessionId", msg="A session can't terminate itself"
                )
            self.world.sessions.end(sessions[key])
