"""`vdl destroy`: delete the machines of a lab and free their cards."""

from __future__ import annotations

from pathlib import Path

import click

from provision.apply.destroy import copies, destroy, destroy_plan
from provision.apply.interrupt import StopRequest, stop_on_signals
from provision.apply.making import settled_snapshot
from provision.apply.result import Result
from provision.apply.runner import Options
from provision.cli.connect import vcenter_of
from provision.cli.flow import ask, journal
from provision.cli.memory import Memory
from provision.cli.options import (
    VCenterOptions,
    lab_argument,
    log_file_option,
    output_option,
    parallel_option,
    vcenter_options,
    yes_option,
)
from provision.cli.output import say, show_json
from provision.cli.progress import progress
from provision.cli.results import failures, result_json
from provision.plan.devices import devices_text
from provision.plan.snapshot import Vm
from provision.spec.reader import load_lab


@click.command("destroy")
@lab_argument
@yes_option
@parallel_option
@log_file_option
@output_option
@vcenter_options
def command(
    *,
    lab_file: Path,
    yes: bool,
    parallel: int,
    log_file: Path | None,
    output: str,
    vcenter: VCenterOptions,
) -> None:
    """Delete the machines of a lab and free their cards. Shows what will go, and asks.

    Only VMs that carry this lab's owner stamp go, whatever they are called and wherever they
    were moved. Everything else is a stranger's and stays.
    """
    lab = load_lab(lab_file)
    with vcenter_of(lab, vcenter) as connection:
        snapshot = settled_snapshot(lab, connection, say)
        vms = destroy_plan(lab.lab, snapshot)
        _tell(lab.lab, vms, copies(lab.lab, snapshot))
        if vms and not yes:
            ask(f"Delete {len(vms)} VM(s) with their disks?")
        names = [vm.machine for vm in vms if vm.machine]
        Memory.of(lab_file, lab, snapshot.vcenter.instance_uuid).change(leaving=names)
        with (
            journal(log_file, lab.lab) as write,
            stop_on_signals(StopRequest()) as stop,
            progress(len(vms), stop) as on_event,
        ):
            options = Options(parallel=parallel, on_event=on_event, journal=write, stop=stop)
            result = destroy(lab.lab, vms, connection, options=options)
    _report(result, output)


def _tell(lab: str, vms: tuple[Vm, ...], left: tuple[Vm, ...]) -> None:
    for vm in vms:
        gpus = devices_text(vm.gpus)
        say(f"  - {vm.path} ({vm.power.value}{', frees ' + gpus if gpus else ''})")
    for vm in left:
        say(f"    {vm.path} is a copy of a VM of this lab: it stays")
    if not vms:
        say(f"nothing to destroy: vCenter has no VM of lab {lab}")


def _report(result: Result, output: str) -> None:
    for text in failures(result):
        say(text)
    if output == "json":
        show_json(result_json(result))
    if error := result.error():
        raise error
