"""Options of the commands that work inside machines."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import click

from provision.cli.options import Command, payload_python_option, together
from provision.guests.extravars import read_extra_vars


@dataclass(frozen=True, slots=True)
class GuestOptions:
    """Which machines to work on, and with what.

    Attributes:
        payload_python: A Python in the lab's machines that has TensorFlow.
        inventories: Ansible inventories of machines beside the lab's.
        extra_vars: Variables for the roles.
        accept_new_host_keys: Ask machines for the SSH host keys that they don't publish.
        limit: Machines or groups of machines; empty for all.
        failed: Only machines that failed last time.
        deadline: Minutes after which the run is ended.
    """

    payload_python: str | None = None
    inventories: tuple[Path, ...] = ()
    extra_vars: Mapping[str, Any] = field(default_factory=dict)
    accept_new_host_keys: bool = False
    limit: tuple[str, ...] = ()
    failed: bool = False
    deadline: float | None = None


NOTHING_SAID = GuestOptions()

_COMMON = (
    payload_python_option,
    click.option(
        "-i", "--inventory", "inventories", multiple=True, metavar="FILE",
        type=click.Path(path_type=Path, exists=True),
        help="Ansible inventory of machines beside the lab's, such as bare metal; repeatable.",
    ),
    click.option(
        "--extra-vars", multiple=True, metavar="FILE", type=click.Path(path_type=Path),
        callback=lambda _context, _option, paths: read_extra_vars(paths),
        help="YAML or JSON file of variables for the roles; repeatable.",
    ),
    click.option(
        "--accept-new-host-keys", is_flag=True,
        help="Trust the SSH host keys that machines answer with first, where they publish none.",
    ),
)  # fmt: skip

_CHOICE = (
    click.option(
        "--limit", multiple=True, metavar="NAME",
        help="Only this machine, or the machines of this group; repeatable.",
    ),
    click.option("--failed", is_flag=True, help="Only the machines that failed last time."),
    click.option(
        "--deadline", type=click.FloatRange(min=0, min_open=True), metavar="MINUTES",
        help="End the run after so long; machines that are not done have failed then.",
    ),
)  # fmt: skip


def guest_options(*, choice: bool) -> Callable[[Command], Command]:
    """Add these options; the command gets them as one argument, `guest`.

    `choice` is whether a person may choose among the machines.
    """
    options = (*_COMMON, *_CHOICE) if choice else _COMMON
    return lambda command: together(command, "guest", GuestOptions, options)
