"""A command group that imports a command only when it is called: `vdl --help` stays instant."""

from __future__ import annotations

import difflib
import importlib
from typing import Any

import click

DEBUG_HELP = "Show the traceback of an error."


class LazyGroup(click.Group):
    """Finds command `x-y` as `command` in the module `provision.cli.x_y`.

    Args:
        commands_help: Each command's name and its one-line help, in the order to show.
    """

    def __init__(self, *args: Any, commands_help: dict[str, str], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._help = commands_help

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names in the order of a lab's life, which is the order to learn them in."""
        del ctx
        return list(self._help)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import and return a command, or None where there is no such command."""
        del ctx
        if cmd_name not in self._help:
            return None
        command = importlib.import_module(f"provision.cli.{cmd_name}").command
        if not isinstance(command, click.Command):
            raise TypeError(f"provision.cli.{cmd_name}.command is no command")
        _take_debug(command)
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the command, or name the nearest one there is."""
        if args and args[0] not in self._help:
            near = difflib.get_close_matches(args[0], self._help, n=1)
            hint = f" Did you mean '{near[0]}'?" if near else ""
            ctx.fail(f"No such command '{args[0]}'.{hint}")
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the list of commands without importing any."""
        del ctx
        with formatter.section("Commands"):
            formatter.write_dl(list(self._help.items()))


def _take_debug(command: click.Command) -> None:
    """Let a command and those below it take the group's `--debug` too, where people type it."""
    if all(option.name != "debug" for option in command.params):
        command.params.append(
            click.Option(["--debug"], is_flag=True, expose_value=False, help=DEBUG_HELP)
        )
    for inner in getattr(command, "commands", {}).values():
        _take_debug(inner)
