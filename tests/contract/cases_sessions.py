"""Cases about sessions."""

from __future__ import annotations

from typing import Any

from pyVmomi import vim

from tests.contract.site import Site, fault, outcome


def wrong_password(site: Site) -> Any:
    return fault(lambda: site.login(password="wrong"))  # noqa: S106 - wrong on purpose


def unknown_user(site: Site) -> Any:
    return fault(lambda: site.login(username="nobody"))


def second_login_in_one_session(site: Site) -> Any:
    manager = site.content.sessionManager
    return fault(lambda: manager.Login(site.username, site.password))


def calls_without_a_login(site: Site) -> Any:
    """What an unknown client may ask, and what it may not."""
    stub = site.login()._stub  # noqa: SLF001 - pyVmomi has no other way to it
    service = vim.ServiceInstance("ServiceInstance", stub)
    content = service.RetrieveContent()
    content.sessionManager.Logout()
    folder = content.rootFolder
    return {
        "content": service.RetrieveContent().about.apiType,
        "read": fault(lambda: folder.name),
        "change": fault(lambda: folder.CreateFolder("mine")),
        "search": fault(lambda: content.searchIndex.FindByInventoryPath("DC0")),
        "logout": fault(content.sessionManager.Logout),
    }


def current_session(site: Site) -> Any:
    session = site.content.sessionManager.currentSession
    return [
        session.userName,
        session.loginTime == session.lastActiveTime or "later",
        bool(session.key),
    ]


def session_list(site: Site) -> Any:
    site.login()
    return [s.userName for s in site.content.sessionManager.sessionList]


def terminated_session(site: Site) -> Any:
    """Another session ends at once, and can log in again."""
    other = site.login().RetrieveContent()
    key = other.sessionManager.currentSession.key
    manager = site.content.sessionManager
    manager.TerminateSession([key])
    return {
        "read": fault(lambda: other.rootFolder.name),
        "again": outcome(lambda: other.sessionManager.Login(site.username, site.password)),
        "mine": fault(lambda: site.content.rootFolder.name),
    }


def terminate_own_session(site: Site) -> Any:
    manager = site.content.sessionManager
    return fault(lambda: manager.TerminateSession([manager.currentSession.key]))


def terminate_unknown_session(site: Site) -> Any:
    return fault(lambda: site.content.sessionManager.TerminateSession(["no-such-session"]))


def terminate_several_sessions(site: Site) -> Any:
    """They end one after the other, up to the first that is not there."""
    keys, others = [], [site.login().RetrieveContent() for _ in range(2)]
    keys = [other.sessionManager.currentSession.key for other in others]
    manager = site.content.sessionManager
    ended = fault(lambda: manager.TerminateSession([keys[0], "no-such-session", keys[1]]))
    return [ended, *(fault(lambda other=other: other.rootFolder.name) for other in others)]


def session_is_active(site: Site) -> Any:
    manager = site.content.sessionManager
    other = site.login()
    key = other.RetrieveContent().sessionManager.currentSession.key
    before = manager.SessionIsActive(key, site.username)
    other.RetrieveContent().sessionManager.Logout()
    return [before, manager.SessionIsActive(key, site.username)]


def server_clock(site: Site) -> Any:
    return type(site.service.CurrentTime()).__name__


def about(site: Site) -> Any:
    about = site.content.about
    return [about.apiType, about.apiVersion, about.productLineId, bool(about.instanceUuid)]
