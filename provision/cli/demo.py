"""`vdl demo`: everything once, on a simulated vCenter with real guests."""

from __future__ import annotations

import importlib.util
import os
import shutil
from pathlib import Path

import click
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)

from provision.cli.flow import Consent
from provision.cli.options import VCenterOptions
from provision.cli.output import say
from provision.cli.up import run_all
from provision.errors import UsageError
from provision.guests.configure import state_folder
from provision.guests.resources import data_folder
from provision.spec.reader import load_lab

NEEDED = {
    "tensorflow": "pip install 'vdl[tensorflow]'",
    "ssh": "install the OpenSSH client",
}
NEXT = """
That was a simulated vCenter with real guests. For your own:

  vdl init                 # writes a commented lab.yaml; put in your names
  export VDL_SERVER=vcsa.example.com VDL_USERNAME=you@vsphere.local
  vdl gpus                 # what is there, and what is free
  vdl plan                 # what would happen, and why; changes nothing
  vdl up                   # does it"""


@click.command("demo")
@click.option(
    "--folder",
    type=click.Path(path_type=Path, file_okay=False),
    default="vdl-demo",
    show_default=True,
    help="Where lab file, key, results and report go.",
)
def command(*, folder: Path) -> None:
    """Provision, configure, train and compare, on a simulated vCenter with real guests."""
    _check_needs()
    # Loads pyVmomi's types, so not before the needs are known to be met.
    from provision.simulator.server import Simulator  # noqa: PLC0415

    lab_file = _lay_out(folder)
    # The host keys of an earlier demo: its guests are gone, and new ones have their names.
    shutil.rmtree(state_folder(lab_file, load_lab(lab_file)), ignore_errors=True)
    with Simulator.from_file(None) as simulator:
        door = simulator.serve()
        say(f"a simulated vCenter with GPUs answers at {door.url}\n")
        options = VCenterOptions(
            server=door.server,
            username=door.username,
            password_file=Path(door.password_file),
            ca_file=Path(door.ca_file),
        )
        run_all(lab_file, options, folder / "results", Consent(yes=True), parallel=8)
    say(NEXT)


def _check_needs() -> None:
    """Say what is missing before anything starts.

    Raises:
        UsageError: TensorFlow or the SSH client is not there.
    """
    there = {
        "tensorflow": importlib.util.find_spec("tensorflow") is not None,
        "ssh": shutil.which("ssh") is not None,
    }
    for name, found in there.items():
        if not found:
            raise UsageError(f"the demo needs {name}", fix=NEEDED[name])


def _lay_out(folder: Path) -> Path:
    """Write the demo's lab file and a fresh key pair into its folder; return the lab file."""
    folder.mkdir(parents=True, exist_ok=True)
    lab_file = folder / "lab.yaml"
    shutil.copyfile(data_folder("examples") / "demo.lab.yaml", lab_file)
    key = Ed25519PrivateKey.generate()
    private = key.private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption())
    public = key.public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH)
    path = folder / "id_ed25519"
    path.unlink(missing_ok=True)
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(private)
    path.with_suffix(".pub").write_bytes(public + b" vdl-demo\n")
    return lab_file
