"""Who a guest is, as cloud-init's VMware datasource would read it from `guestinfo`.

Source: cloud-init documentation, "VMware" datasource: `guestinfo.metadata` and
`guestinfo.userdata`, each with an `.encoding` of `base64`.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import yaml


@dataclass(frozen=True, slots=True)
class Identity:
    """The host name, login user and authorised public keys of a guest."""

    hostname: str
    user: str
    authorized_keys: tuple[str, ...]


def read_identity(name: str, guestinfo: Mapping[str, str]) -> Identity | None:
    """Return who the guest is, or None where its guestinfo names nobody who may log in.

    As in cloud-init, data that can't be read is ignored: such a guest boots, but nobody gets in.
    """
    metadata = _document(guestinfo, "guestinfo.metadata")
    users = _document(guestinfo, "guestinfo.userdata").get("users", [])
    for user in users if isinstance(users, list) else []:
        if isinstance(user, dict) and user.get("name") and user.get("ssh_authorized_keys"):
            return Identity(
                hostname=str(metadata.get("local-hostname", name)),
                user=str(user["name"]),
                authorized_keys=tuple(str(key) for key in user["ssh_authorized_keys"]),
            )
    return None


def _document(guestinfo: Mapping[str, str], key: str) -> dict[str, Any]:
    text = guestinfo.get(key, "")
    try:
        if guestinfo.get(f"{key}.encoding") in {"base64", "b64"}:
            text = base64.b64decode(text, validate=True).decode()
        document = yaml.safe_load(text)
    except (binascii.Error, UnicodeDecodeError, yaml.YAMLError):
        return {}
    return document if isinstance(document, dict) else {}
