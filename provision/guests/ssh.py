"""How ssh is called: never a question, and only the host keys that are known for certain."""

from __future__ import annotations

from pathlib import Path


def ssh_options(known_hosts: Path | None = None, *, only_key: bool = False) -> list[str]:
    """Return ssh's options: keys of `known_hosts` and no others, and never a question.

    Without `known_hosts`, the user's own files count. `only_key`: offer no keys but the one
    that is named, though the user's agent may hold more; servers count them as attempts.
    """
    options = ["ServerAliveInterval=15", "ServerAliveCountMax=4", "BatchMode=yes"]
    if known_hosts:
        options += [
            "StrictHostKeyChecking=yes",
            f"UserKnownHostsFile={_quoted(known_hosts)}",
            "GlobalKnownHostsFile=/dev/null",
            "UpdateHostKeys=no",
        ]
    if only_key:
        options.append("IdentitiesOnly=yes")
    return [word for option in options for word in ("-o", option)]


def _quoted(path: Path) -> str:
    """Quote a path for ssh_config(5), which splits at spaces and expands `%`."""
    text = str(path.absolute()).replace("\\", r"\\").replace('"', r"\"").replace("%", "%%")
    return f'"{text}"'
