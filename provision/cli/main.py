"""`vdl`: the command line. Each command's module is imported when it is called."""

from __future__ import annotations

import sys

import click

from provision import __version__
from provision.cli.errors import exit_code_of
from provision.cli.lazy import DEBUG_HELP, LazyGroup
from provision.cli.output import prepare_streams

COMMANDS = {
    "init": "Write a commented lab.yaml.",
    "schema": "Print the JSON Schema of lab.yaml, for editors.",
    "doctor": "Check this computer, the lab file and the way to vCenter.",
    "gpus": "Show hosts, cards, modes, and what still fits.",
    "host": "Prepare hosts for passthrough or vGPUs.",
    "plan": "Show what provision would do, and why.",
    "provision": "Create and update the machines of a lab.",
    "status": "Show the machines of a lab as they are.",
    "inventory": "Print the Ansible inventory of a lab.",
    "configure": "Run the playbooks in the machines.",
    "bench": "Train in the machines and keep what was measured.",
    "report": "Compare the results, in the terminal and as a page.",
    "payload": "Write the payload as one file that runs without vdl.",
    "up": "provision, configure, bench and report in one go.",
    "destroy": "Delete the machines of a lab and free their cards.",
    "simulator": "Serve a simulated vCenter with GPUs.",
    "demo": "Do everything once, on a simulated vCenter.",
}


@click.group(cls=LazyGroup, commands_help=COMMANDS, context_settings={"max_content_width": 100})
@click.version_option(__version__, prog_name="vdl")
@click.option("--debug", is_flag=True, expose_value=False, help=DEBUG_HELP)
def cli() -> None:
    """Deep-learning labs on vSphere: passthrough GPUs, NVIDIA vGPUs, and what they cost in speed.

    Start with `vdl demo`, which needs no vCenter, or with `vdl init` and `vdl plan`.
    """


def main() -> None:
    """Run the command line and end the process with the exit code of the contract."""
    prepare_streams()
    sys.exit(exit_code_of(lambda: cli.main(standalone_mode=False)))
