"""Options that several commands share."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import click

lab_argument = click.argument(
    "lab_file", metavar="[LAB.YAML]", default="lab.yaml", type=click.Path(path_type=Path)
)

output_option = click.option(
    "-o", "--output", type=click.Choice(["text", "json"]), default="text", show_default=True,
    help="What to print on stdout.",
)  # fmt: skip

yes_option = click.option("--yes", is_flag=True, help="Do not ask.")

parallel_option = click.option(
    "--parallel", type=click.IntRange(1, 64), default=8, show_default=True,
    help="How many machines to work on at a time.",
)  # fmt: skip

log_file_option = click.option(
    "--log-file", type=click.Path(path_type=Path, dir_okay=False),
    help="Append a line of JSON for each thing that happens, with vCenter's ids of it.",
)  # fmt: skip

results_option = click.option(
    "--results", "results_dir", type=click.Path(path_type=Path, file_okay=False),
    default="results", show_default=True, help="Folder of results and logs.",
)  # fmt: skip

payload_python_option = click.option(
    "--payload-python", metavar="PATH",
    help="A Python in the lab's machines that has the framework; else one is made there.",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class VCenterOptions:
    """Which vCenter to use, and as whom, as far as options and environment say so."""

    server: str | None = None
    username: str | None = None
    password_file: Path | None = None
    ca_file: Path | None = None
    thumbprint: str | None = None


@dataclass(frozen=True, slots=True)
class Agreed:
    """What a person has agreed to on the command line.

    `checks` is whether vCenter's own checks judge the plan first.
    """

    allow_shrink: bool = False
    allow_restart: bool = False
    allow_recreate: bool = False
    checks: bool = True


_PATH = click.Path(path_type=Path)
_VCENTER = (
    click.option("--server", envvar="VDL_SERVER",
                 help="vCenter, as HOST or HOST:PORT; else the one of the lab file."),
    click.option("--username", envvar="VDL_USERNAME", help="vCenter user."),
    click.option("--password-file", envvar="VDL_PASSWORD_FILE", type=_PATH,
                 help="File that holds the password."),
    click.option("--ca-file", envvar="VDL_CA_FILE", type=_PATH,
                 help="PEM file of the CA that signed vCenter's certificate."),
    click.option("--thumbprint", envvar="VDL_THUMBPRINT",
                 help="SHA-256 of vCenter's certificate, instead of a trusted chain."),
)  # fmt: skip
_AGREED = (
    click.option("--allow-shrink", is_flag=True,
                 help="Agree to delete machines that left the file."),
    click.option("--allow-restart", is_flag=True,
                 help="Agree to power running machines off for a change, and to make machines "
                 "again."),
    click.option("--allow-recreate", is_flag=True,
                 help="Agree to create machines again that stood before and are gone."),
    click.option("--vcenter-checks/--no-vcenter-checks", "checks", default=True, show_default=True,
                 help="Let vCenter's own checks judge the machines."),
)  # fmt: skip

Command = Callable[..., Any]


def vcenter_options(command: Command) -> Command:
    """Add the options of a connection; the command gets them as one argument, `vcenter`."""
    return together(command, "vcenter", VCenterOptions, _VCENTER)


def agreement_options(command: Command) -> Command:
    """Add what a person may agree to; the command gets it as one argument, `agreed`."""
    return together(command, "agreed", Agreed, _AGREED)


def together(
    command: Command,
    argument: str,
    kind: type[Any],
    options: Sequence[Callable[[Command], Command]],
) -> Command:
    """Add options that the command gets as one value of a dataclass.

    Fields without an option have their default.
    """

    @functools.wraps(command)
    def gathering(**arguments: Any) -> Any:
        names = [field.name for field in fields(kind) if field.name in arguments]
        given = {name: arguments.pop(name) for name in names}
        return command(**{argument: kind(**given)}, **arguments)

    decorated: Command = gathering
    for option in reversed(options):
        decorated = option(decorated)
    return decorated
