"""Text that leaves the lab file for vCenter, a path, an inventory or a guest.

Every kind lists what it may hold, so that nothing in it means anything to a shell, a template
or a path: what is not on the list is refused when the file is read.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, Field, ValidationInfo

ADDRESS = r"[0-9a-fA-F]{4}:[0-9a-fA-F]{2}:[0-1][0-9a-fA-F]\.[0-7]"
HOST = r"[A-Za-z0-9](?:[A-Za-z0-9_.-]{0,251}[A-Za-z0-9])?"
# vSphere names: letters of any language, digits, and what people use between them.
INVENTORY = r"[\w(\[](?:[\w .,:@#&'+=~()\[\]-]{0,78}[\w.)\]])?"
SEGMENT = r"[A-Za-z0-9_][A-Za-z0-9_.+@,= -]{0,126}"


def _text(pattern: str, rule: str, most: int) -> Callable[[str], str]:
    """Return a validator: the whole text matches, or the rule is the message."""
    whole = re.compile(pattern)

    def check(text: str) -> str:
        if len(text) > most:
            raise ValueError(f"is too long: {len(text)} characters, at most {most}")
        if whole.fullmatch(text) is None:
            raise ValueError(rule)
        return text

    return check


def local_path(text: str, info: ValidationInfo) -> str:
    """Return a path on this machine: `~` expanded, relative ones from the lab file's folder.

    The folder comes as `base` in the validation context; without one the text stays as it is.

    Raises:
        ValueError: The text can't be a path that a person would write.
    """
    if not re.fullmatch(r"(?!-)[\w~./ @+,=:()-]{1,1024}", text) or text != text.strip():
        raise ValueError("must be a path of letters, digits, spaces and ._-~/@+,=:()")
    base = (info.context or {}).get("base")
    if base is None:
        return text
    try:
        return str(Path(base, Path(text).expanduser()))
    except RuntimeError:
        raise ValueError(f"there is no home folder for {text.partition('/')[0]}") from None


LabName = Annotated[
    str,
    AfterValidator(
        _text(
            r"[a-z]([a-z0-9-]{0,28}[a-z0-9])?",
            "must be lower-case letters, digits and hyphens, begin with a letter "
            "and not end with a hyphen",
            30,
        )
    ),
    Field(json_schema_extra={"pattern": "^[a-z]([a-z0-9-]{0,28}[a-z0-9])?$"}),
]
GroupName = Annotated[
    str,
    AfterValidator(
        _text(
            r"[a-z]([a-z0-9]{0,28}[a-z0-9])?",
            "a group's name must be lower-case letters and digits and begin with a letter",
            30,
        )
    ),
]
InventoryName = Annotated[
    str,
    AfterValidator(
        _text(
            INVENTORY,
            "is no name of a vSphere object: letters, digits, spaces and ._-,:@#&'+=~()[], "
            "beginning with a letter, a digit or a bracket",
            80,
        )
    ),
    Field(json_schema_extra={"minLength": 1, "maxLength": 80}),
]
HostName = Annotated[
    str,
    AfterValidator(
        _text(HOST, "must be a host's name as vCenter shows it, such as esx-02.example.com", 253)
    ),
    Field(json_schema_extra={"pattern": f"^{HOST}$"}),
]
Server = Annotated[
    str,
    AfterValidator(
        _text(
            rf"({HOST}|\[[0-9a-fA-F:.]{{2,45}}\])(:[0-9]{{1,5}})?",
            "must be a host name or an address, with :PORT where it is not 443",
            260,
        )
    ),
]
UserName = Annotated[
    str,
    AfterValidator(
        _text(
            r"(?!root$)[a-z_][a-z0-9_-]*",
            "must be a login name other than root: lower-case letters, digits, _ and -, "
            "beginning with a letter",
            32,
        )
    ),
    Field(json_schema_extra={"pattern": "^[a-z_][a-z0-9_-]{0,31}$", "not": {"const": "root"}}),
]
ProfileText = Annotated[
    str,
    AfterValidator(
        _text(
            r"[A-Za-z0-9][A-Za-z0-9_-]*",
            "is no vGPU profile, such as grid_a100d-10c or nvidia_h100xm-80c",
            80,
        )
    ),
]
# A card's model, such as A100-80 or "NVIDIA A100 80GB".
MODEL = r"[A-Za-z0-9][A-Za-z0-9 ._-]{0,79}"
CardText = Annotated[
    str,
    AfterValidator(
        _text(
            rf"{MODEL}|{HOST}/{ADDRESS}",
            'must be a model, such as A100, or one card, such as "esx-02/0000:3b:00.0"',
            300,
        )
    ),
]
ModelText = Annotated[str, AfterValidator(_text(MODEL, "must be a card's model, such as A100", 80))]
# Raises ValueError where a text is no label of a card.
hardware_label = _text(
    INVENTORY,
    "is no hardware label: letters, digits, spaces and ._-,:@#&'+=~()[], "
    "beginning with a letter, a digit or a bracket",
    80,
)
LabelText = Annotated[
    str,
    AfterValidator(hardware_label),
    Field(json_schema_extra={"minLength": 1, "maxLength": 80}),
]
DeviceGroupText = Annotated[
    str,
    AfterValidator(
        _text(
            r"[A-Za-z0-9][A-Za-z0-9 _.:@%+-]*",
            'is no device group, such as "Nvidia:2@grid_a100d-80c%NVLink"',
            128,
        )
    ),
]
DriverBranch = Annotated[
    str,
    AfterValidator(
        _text(
            r"[0-9]{3,4}(\.[0-9]{1,3}){0,2}",
            'must be a driver branch or version in quotes, such as "570" or "570.133.20"',
            12,
        )
    ),
    Field(json_schema_extra={"pattern": r"^[0-9]{3,4}(\.[0-9]{1,3}){0,2}$"}),
]
Sha256 = Annotated[
    str,
    AfterValidator(
        _text(r"[0-9a-f]{64}", "must be a SHA-256: 64 lower-case hexadecimal digits", 64)
    ),
    Field(json_schema_extra={"pattern": "^[0-9a-f]{64}$"}),
]
DataText = Annotated[
    str,
    AfterValidator(
        _text(
            rf"(https?://[A-Za-z0-9.-]+(:[0-9]{{1,5}})?)?/?{SEGMENT}(/{SEGMENT})*/?",
            "must be synthetic, the address of a mirror, or a path of letters, digits, spaces and "
            "._-+@,= without ..",
            1024,
        )
    ),
]
LocalPath = Annotated[str, AfterValidator(local_path)]
