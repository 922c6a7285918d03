"""Where playbooks, inventory plugin and payload lie: in a checkout, or in an installed wheel."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import yaml

from provision.errors import UsageError

COLLECTION = Path("ansible_collections", "vdl", "lab")
PACKAGE = Path(__file__).resolve().parent.parent


def data_folder(name: str, package: Path = PACKAGE) -> Path:
    """Return the folder `playbooks`, `inventory` or `examples`.

    The wheel carries them in `provision/_data/` and, for Ansible to find the playbooks by itself,
    in a collection; in a checkout they lie beside `provision/`.

    Raises:
        UsageError: The folder is in none of these places.
    """
    beside = package.parent
    for folder in (package / "_data" / name, beside / COLLECTION / name, beside / name):
        if folder.is_dir():
            return folder
    raise UsageError(
        f"the folder {name} is missing",
        subject=str(package),
        fix="install vdl again, from its wheel or from a whole checkout",
    )


def playbook(name: str) -> Path:
    """Return the path of one of vdl's playbooks, such as `site.yml`."""
    return data_folder("playbooks") / name


def tags_of(name: str) -> tuple[str, ...]:
    """Return the tags of the roles in one of vdl's playbooks, in their order."""
    plays = yaml.safe_load(playbook(name).read_text(encoding="utf-8"))
    tags = (tag for play in plays for role in play["roles"] for tag in role["tags"])
    return tuple(dict.fromkeys(tags))


def payload_folder() -> Path:
    """Return the folder of the package `payload`, which guests get a copy of.

    Raises:
        UsageError: The package is not installed.
    """
    found = importlib.util.find_spec("payload")
    if found is None or not found.submodule_search_locations:
        raise UsageError("the package payload is missing", fix="install vdl again, from its wheel")
    return Path(found.submodule_search_locations[0]).resolve()
