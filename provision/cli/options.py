"""Options that several commands share."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

F = TypeVar("F", bound=Callable[..., Any])

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

log_option = click.option(
    "--results", "results_dir", type=click.Path(path_type=Path, file_okay=False),
    default="results", show_default=True, help="Folder of results and logs.",
)  # fmt: skip


def vcenter_options(command: F) -> F:
    """Add the options that say which vCenter to use, and as whom."""
    for option in (
        click.option("--thumbprint", envvar="VDL_THUMBPRINT",
                     help="SHA-256 of vCenter's certificate, instead of a trusted chain."),
        click.option("--ca-file", envvar="VDL_CA_FILE", type=click.Path(path_type=Path),
                     help="PEM file of the CA that signed vCenter's certificate."),
        click.option("--password-file", envvar="VDL_PASSWORD_FILE",
                     type=click.Path(path_type=Path), help="File that holds the password."),
        click.option("--username", envvar="VDL_USERNAME", help="vCenter user."),
        click.option("--server", envvar="VDL_SERVER",
                     help="vCenter, as HOST or HOST:PORT; else the one of the lab file."),
    ):  # fmt: skip
        command = option(command)
    return command
