"""The one place that turns errors into messages and exit codes."""

from __future__ import annotations

import signal
import sys
import traceback
from collections.abc import Callable
from enum import IntEnum
from typing import Any

import click

from provision import errors
from provision.cli.output import give_up_stdout, say, unheard


class ExitCode(IntEnum):
    """What the exit code of `vdl` says. Other people's scripts rely on these."""

    DONE = 0
    FAILED = 1
    USAGE = 2
    BLOCKED = 3
    PARTLY_DONE = 4
    NO_CONNECTION = 5
    STALE = 6
    CHANGES_PENDING = 10
    INTERRUPTED = 128 + signal.SIGINT


CODES: tuple[tuple[type[errors.VdlError], ExitCode], ...] = (
    (errors.UsageError, ExitCode.USAGE),
    (errors.SpecError, ExitCode.USAGE),
    (errors.PlanBlocked, ExitCode.BLOCKED),
    (errors.PartlyDone, ExitCode.PARTLY_DONE),
    (errors.NoConnection, ExitCode.NO_CONNECTION),
    (errors.StalePlan, ExitCode.STALE),
    (errors.Interrupted, ExitCode.INTERRUPTED),
    (errors.VdlError, ExitCode.FAILED),
)


def exit_code_of(run: Callable[[], Any]) -> int:
    """Run a command; print what went wrong on stderr; return the exit code."""
    try:
        result = run()
    except click.ClickException as error:
        with unheard():
            error.show(file=sys.stderr)
        return ExitCode.USAGE if isinstance(error, click.UsageError) else ExitCode.FAILED
    except (click.Abort, KeyboardInterrupt):
        _complain("interrupted")
        return ExitCode.INTERRUPTED
    except errors.VdlError as error:
        _complain(error.text())
        return next(code for kind, code in CODES if isinstance(error, kind))
    except OSError as error:
        # The controller's own disk, files and sockets: no bug of vdl's, so no traceback.
        _complain(str(error))
        give_up_stdout()
        return ExitCode.FAILED
    # Click hands back the code of ctx.exit() here, and None from a command that just returned.
    return result if isinstance(result, int) else ExitCode.DONE


def _complain(text: str) -> None:
    if "--debug" in sys.argv:
        with unheard():
            traceback.print_exc(file=sys.stderr)
    say(click.style("error: ", fg="red", bold=True) + text)
