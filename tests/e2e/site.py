"""A simulated vCenter in a process of its own, and `vdl` as a person calls it."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)

VDL = Path(sys.executable).parent / "vdl"
# What a message of a refusal has: what to do next, the place in a file, or how it is used.
WAY_OUT = re.compile(r"^  fix: |^Usage: |^Error: |:\d+:\d+: ", re.MULTILINE)
PROFILE = "grid_a100d-10c"
WORLD = """
guests: none
DC0:
  templates: {ubuntu-24.04: {}}
  clusters:
    gpu:
      hosts:
        esx-01: {memory: 512 GiB, cards: {count: 2, model: A100-80}, policy: consolidation}
        esx-02: {memory: 512 GiB, cards: {model: A100-80, mode: passthrough}}
      vms:
        stranger: {host: esx-01, memory: 8 GiB, power: "on", gpu: {vgpu: grid_a100d-10c}}
  datastores: {vsan: 20 TiB}
"""


@dataclass(frozen=True)
class Done:
    """What came of one call of `vdl`."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """What stdout holds; stdout must hold nothing but JSON."""
        return json.loads(self.out)

    def good(self) -> Done:
        """Insist on success; return the same."""
        assert self.code == 0, self.err
        assert "Traceback" not in self.err
        return self

    def refused(self, code: int, *said: str) -> None:
        """Insist on a refusal that says why and what to do, on stderr alone."""
        assert (self.code, self.out) == (code, ""), self.err
        assert "Traceback" not in self.err
        assert WAY_OUT.search(self.err)
        for text in said:
            assert text in self.err


@dataclass
class Site:
    """A folder to work in, and the environment of a shell in which vdl is set up.

    `door` is what the simulator said when it was ready; empty where there is none. A call may take
    `patience` seconds.
    """

    folder: Path
    environment: dict[str, str] = field(default_factory=dict)
    door: dict[str, str] = field(default_factory=dict)
    patience: float = 120

    def env(self, changes: Mapping[str, str | None] | None = None) -> dict[str, str]:
        """Return a bare environment with the site's variables; None takes one away."""
        home = self.folder / "home"
        home.mkdir(exist_ok=True)
        bare = {
            "PATH": os.environ["PATH"],
            "HOME": str(home),
            "LC_ALL": "C.UTF-8",
            # No test may meet the keyring of the person who runs it.
            "PYTHON_KEYRING_BACKEND": "keyring.backends.null.Keyring",
        }
        merged = {**bare, **self.environment, **(changes or {})}
        return {name: value for name, value in merged.items() if value is not None}

    def vdl(self, *words: str | Path, env: Mapping[str, str | None] | None = None) -> Done:
        """Run `vdl` without a terminal until it ends."""
        done = subprocess.run(
            [VDL, *map(str, words)], cwd=self.folder, env=self.env(env), check=False,
            stdin=subprocess.DEVNULL, capture_output=True, encoding="utf-8",
            timeout=self.patience,
        )  # fmt: skip
        return Done(done.returncode, done.stdout, done.stderr)

    def lab(self, name: str, *, benchmark: list[Any] | None = None, **machines: Any) -> Path:
        """Write the lab file NAME.yaml with these machine groups; return its path."""
        if not (self.folder / "key.pub").exists():
            write_key(self.folder / "key")
        path = self.folder / f"{name}.yaml"
        lab = {
            "lab": name,
            "vcenter": {"datacenter": "DC0", "cluster": "gpu", "datastore": "vsan"},
            "template": "ubuntu-24.04",
            "guest": {"ssh_key": "key.pub"},
            "defaults": {"cpus": 2, "memory": "8 GiB", "disk": "40 GiB"},
            "machines": machines or {"shared": {"gpu": {"vgpu": PROFILE}}},
            "benchmark": benchmark or [],
        }
        path.write_text(yaml.safe_dump(lab), encoding="utf-8")
        return path


def write_key(path: Path) -> None:
    """Write a fresh key pair to PATH and PATH.pub."""
    key = Ed25519PrivateKey.generate()
    private = key.private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption())
    path.touch(mode=0o600)
    path.write_bytes(private)
    public = key.public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH)
    path.with_suffix(".pub").write_bytes(public + b" test\n")


@contextmanager
def simulator_process(
    folder: Path, world: str = WORLD, *words: str
) -> Iterator[tuple[subprocess.Popen[str], dict[str, str]]]:
    """Run `vdl simulator -o json`; give its process and the line it prints when it is ready."""
    (folder / "test.world.yaml").write_text(world, encoding="utf-8")
    temporary = folder / "tmp"
    temporary.mkdir(exist_ok=True)
    process = subprocess.Popen(
        [VDL, "simulator", "test.world.yaml", "-o", "json", *words],
        cwd=folder, env={**Site(folder).env(), "TMPDIR": str(temporary)}, encoding="utf-8",
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip
    try:
        assert process.stdout is not None
        line = process.stdout.readline()
        assert line, process.communicate()[1]
        yield process, json.loads(line)
    finally:
        process.terminate()
        process.communicate(timeout=30)


def settings(door: Mapping[str, str]) -> dict[str, str]:
    """Return the environment variables that lead to a simulated vCenter."""
    names = ("server", "username", "password_file", "ca_file")
    return {f"VDL_{name.upper()}": door[name] for name in names}


@contextmanager
def served(folder: Path, world: str = WORLD) -> Iterator[Site]:
    """Serve a world in a process of its own until the block ends."""
    with simulator_process(folder, world) as (_, door):
        yield Site(folder, settings(door), door)
