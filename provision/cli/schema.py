"""`vdl schema`: the JSON Schema of lab.yaml."""

from __future__ import annotations

import click

from provision.cli.output import show_json
from provision.spec.schema import json_schema


@click.command("schema")
def command() -> None:
    """Print the JSON Schema of lab.yaml, for editors that check while you type."""
    show_json(json_schema())
