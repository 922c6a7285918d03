"""`vdl host`: prepare the hosts of a lab's cluster."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import click

from provision.apply.interrupt import StopRequest, stop_on_signals
from provision.cli.connect import vcenter_of
from provision.cli.errors import ExitCode
from provision.cli.flow import ask
from provision.cli.options import (
    VCenterOptions,
    lab_argument,
    output_option,
    vcenter_options,
    yes_option,
)
from provision.cli.output import say, show, show_json, show_on_stderr, unheard
from provision.errors import Interrupted, PlanBlocked, UsageError
from provision.gpu.types import AssignmentPolicy, VgpuMode
from provision.hosts.plan import HostPlan, StepKind, host_plan
from provision.hosts.render import WORDS, document, render_text
from provision.hosts.run import HostDeadlines, HostEvent, HostOptions, Phase, prepare
from provision.hosts.wish import PassthroughWish, SharedWish, Wish
from provision.spec.model import Lab
from provision.spec.reader import load_lab
from provision.spec.values import hardware_label
from provision.vsphere.host_port import HostPort, HostState

MODES = {"sameSize": VgpuMode.SAME_SIZE, "mixedSize": VgpuMode.MIXED_SIZE, "mig": VgpuMode.MIG}
LIMITS = HostDeadlines()
STDERR = 2


@click.group("host")
def command() -> None:
    """Prepare the hosts of the lab's cluster for passthrough or for vGPUs."""


@dataclass(frozen=True, slots=True)
class Asked:
    """What was asked for, beside the wish."""

    check: bool
    yes: bool
    leave: bool
    output: str
    deadlines: HostDeadlines


@command.command("prepare")
@click.argument("host")
@lab_argument
@click.option(
    "--passthrough", "cards", multiple=True, metavar="MODEL|ADDRESS",
    help="Pass these cards through; may be given several times, or with commas.",
)  # fmt: skip
@click.option("--label", help="With --passthrough: the hardware label that the cards get.")
@click.option("--shared", is_flag=True, help="Share all cards of the host, for vGPUs.")
@click.option("--vgpu-mode", type=click.Choice(list(MODES)), help="With --shared: the vGPU mode.")
@click.option(
    "--policy", type=click.Choice([policy.value for policy in AssignmentPolicy]),
    help="With --shared: which card a new vGPU goes to.",
)  # fmt: skip
@click.option("--check", is_flag=True, help="Only look; exit with 10 where something is pending.")
@yes_option
@click.option(
    "--leave-maintenance", "leave", is_flag=True,
    help="Leave maintenance mode at the end, whoever entered it.",
)  # fmt: skip
@click.option(
    "--evacuation-timeout", type=click.FloatRange(min=1), metavar="SECONDS",
    default=LIMITS.enter_maintenance, show_default=True,
    help="How long entering maintenance mode may take.",
)  # fmt: skip
@click.option(
    "--reboot-timeout", type=click.FloatRange(min=1), metavar="SECONDS",
    default=LIMITS.come_back, show_default=True,
    help="How long the host may stay away after its reboot.",
)  # fmt: skip
@output_option
@vcenter_options
@click.pass_context
def prepare_command(  # noqa: PLR0913 - an option each
    context: click.Context,
    *,
    host: str,
    lab_file: Path,
    cards: tuple[str, ...],
    label: str | None,
    shared: bool,
    vgpu_mode: str | None,
    policy: str | None,
    check: bool,
    yes: bool,
    leave: bool,
    evacuation_timeout: float,
    reboot_timeout: float,
    output: str,
    vcenter: VCenterOptions,
) -> None:
    """Prepare a host's cards. Shows the steps and the VMs in the way, and asks first.

    Uses maintenance mode and a reboot only where a setting needs them, and powers off no VM.
    Interrupted, it goes on where it was when it is run again.
    """  # fmt: skip
    wish = _wish(cards, label, vgpu_mode, policy, shared=shared)
    limits = HostDeadlines(enter_maintenance=evacuation_timeout, come_back=reboot_timeout)
    asked = Asked(check, yes, leave, output, limits)
    lab = load_lab(lab_file)
    with vcenter_of(lab, vcenter) as connection:
        code = _prepare(host, wish, lab, connection.hosts, asked)
    context.exit(code)


def _wish(
    cards: tuple[str, ...],
    label: str | None,
    vgpu_mode: str | None,
    policy: str | None,
    *,
    shared: bool,
) -> Wish:
    if shared is bool(cards):
        raise UsageError(
            "say what the host shall be prepared for",
            fix="use either --passthrough MODEL|ADDRESS or --shared",
        )
    if cards and (vgpu_mode or policy):
        raise UsageError("--vgpu-mode and --policy go with --shared", fix="leave them out")
    if shared and label is not None:
        raise UsageError("--label goes with --passthrough", fix="leave it out")
    if shared:
        return SharedWish(
            MODES[vgpu_mode] if vgpu_mode else None, AssignmentPolicy(policy) if policy else None
        )
    names = tuple(part.strip() for text in cards for part in text.split(","))
    return PassthroughWish(names, None if label is None else _label(label))


def _label(text: str) -> str:
    try:
        return hardware_label(text)
    except ValueError as error:
        fix = "use a label that a lab file can ask for"
        raise UsageError(f"--label {error}", subject=repr(text), fix=fix) from None


def _prepare(host: str, wish: Wish, lab: Lab, port: HostPort, asked: Asked) -> ExitCode:
    state = port.read(lab, host)
    plan = host_plan(state, wish, datetime.now(UTC), leave=asked.leave)
    if asked.check or plan.blocked or not plan.steps:
        return _show(plan, state, asked)
    show_on_stderr(render_text(plan))
    if not asked.yes:
        ask(f"Carry out these {len(plan.steps)} steps on {host}?")
    with _listening() as stop:
        options = HostOptions(asked.deadlines, asked.leave, _tell, lambda: stop.asked)
        result = prepare(plan, wish, lab, port, options)
    error = result.error
    if asked.output == "json":
        ended = "interrupted" if isinstance(error, Interrupted) else "failed"
        ended = ended if error else "done"
        why = error.text() if error else ""
        show_json(document(plan, result.state, ended, done=result.done, why=why))
    if error:
        raise error
    say(f"{host} is prepared: {plan.wish}")
    return ExitCode.DONE


def _show(plan: HostPlan, state: HostState, asked: Asked) -> ExitCode:
    """Show a plan that is not carried out."""
    result = "blocked" if plan.blocked else "pending" if plan.steps else "nothing"
    if asked.output == "json":
        show_json(document(plan, state, result))
    else:
        show(render_text(plan))
    if plan.blocked and not asked.check:
        raise PlanBlocked(
            "the host can't be prepared; nothing was changed",
            subject=plan.host,
            fix="see the errors above; when they are gone, run the same command again",
        )
    if plan.blocked:
        return ExitCode.BLOCKED
    return ExitCode.CHANGES_PENDING if plan.steps else ExitCode.DONE


@contextmanager
def _listening() -> Iterator[StopRequest]:
    """Stop between two steps at the first Ctrl-C, and at once at the second."""
    stop = StopRequest()

    def heard() -> None:
        if stop.at_once:
            raise KeyboardInterrupt
        # In a signal handler: Python's own streams may be in the middle of a write.
        with unheard():
            os.write(STDERR, b"\nstopping after this step; Ctrl-C again leaves at once\n")

    with stop_on_signals(stop), stop.listening(heard):
        yield stop


def _tell(event: HostEvent) -> None:
    """Print a line of progress."""
    words = WORDS[StepKind(event.step)]
    text = f": {event.text}" if event.text else ""
    phase = "" if event.phase is Phase.NOTE else f" {event.phase.value}"
    say(f"{event.host} {words}{phase}{text}")
