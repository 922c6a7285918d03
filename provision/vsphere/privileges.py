"""What a user needs on a vCenter (`privileges.yaml` beside this file), and what is missing."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Any

import yaml
from pyVmomi import vmodl

from provision.vsphere.collector import ATTEMPTS, moid
from provision.vsphere.session import Session, VCenterAway

# These come with any role, and without them there is nothing to ask.
_IMPLIED = "System."
# What `Privilege.only` says of a privilege that a plan needs where it moves a VM.
MOVES = "moves"


@dataclass(frozen=True, slots=True)
class Privilege:
    """One privilege.

    Attributes:
        id: Its name in the vSphere API.
        place: The kind of place where it must be held; a key of `Table.places`.
        roles: What it is needed for; keys of `Table.roles`.
        why: What vdl does with it.
        only: The kind of action without which a plan does not need it; None for every plan.
    """

    id: str
    place: str
    roles: tuple[str, ...]
    why: str
    only: str | None = None


@dataclass(frozen=True, slots=True)
class Missing:
    """A privilege that the user lacks; `place` in words is where."""

    privilege: Privilege
    place: str

    @property
    def text(self) -> str:
        """`PRIVILEGE on PLACE`."""
        return f"{self.privilege.id} on {self.place}"


@dataclass(frozen=True, slots=True)
class Table:
    """Everything in `privileges.yaml`: places in words, commands of each role, privileges."""

    places: Mapping[str, str]
    roles: Mapping[str, tuple[str, ...]]
    privileges: tuple[Privilege, ...]

    def role(self, *names: str) -> tuple[str, ...]:
        """Return the ids of all privileges that these roles need, sorted."""
        return tuple(sorted({p.id for p in self.privileges if set(p.roles) & set(names)}))

    def asked(self, place: str) -> tuple[Privilege, ...]:
        """Return the privileges that must be granted on a kind of place, sorted by name."""
        found = (p for p in self.privileges if p.place == place)
        return tuple(sorted((p for p in found if not p.id.startswith(_IMPLIED)), key=_id))


def _id(privilege: Privilege) -> str:
    return privilege.id


@cache
def table() -> Table:
    """Return the packaged table, read once."""
    text = resources.files("provision.vsphere").joinpath("privileges.yaml").read_text("utf-8")
    data = yaml.safe_load(text)
    return Table(
        places=data["places"],
        roles={role: tuple(commands) for role, commands in data["roles"].items()},
        privileges=tuple(
            Privilege(p["id"], p["place"], tuple(p["roles"]), p["why"], p.get("only"))
            for p in data["privileges"]
        ),
    )


def missing(session: Session, places: Mapping[str, Any]) -> tuple[Missing, ...]:
    """Return the privileges that the session's user lacks; one call.

    Args:
        session: The session whose user is asked about.
        places: The object of each kind of place; a kind without an object is not asked about.
    """
    needed = {kind: table().asked(kind) for kind in places}
    wanted = sorted({privilege.id for asked in needed.values() for privilege in asked})
    if not wanted:
        return ()
    entities = list({moid(place): place for place in places.values()}.values())
    try:
        answers = _answers(session, entities, wanted)
    except vmodl.fault.NotSupported:
        return ()  # An aggregate or a simulator without authorisation: the calls will tell.
    held = {
        (moid(answer.entity), entry.privId)
        for answer in answers
        for entry in answer.privAvailability
        if entry.isGranted
    }
    return tuple(
        Missing(privilege, table().places[kind])
        for kind, place in places.items()
        for privilege in needed[kind]
        if (moid(place), privilege.id) not in held
    )


def _answers(session: Session, entities: list[Any], wanted: list[str]) -> Any:
    """Ask what the session's user holds.

    The call names the session in its arguments. Where the session was replaced meanwhile, the
    answer is about one that has ended, and which holds nothing.

    Raises:
        VCenterAway: No session lasted for as long as one call.
    """
    manager = session.content.authorizationManager
    for _ in range(ATTEMPTS):
        key = session.key
        answers = manager.HasPrivilegeOnEntities(entities, key, wanted)
        if session.key == key:
            return answers
    raise VCenterAway(
        "vCenter ends each session at once",
        subject=session.settings.server,
        fix="check vCenter, then run the same command again",
    )
