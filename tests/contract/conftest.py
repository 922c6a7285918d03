"""VMware's own command line, built from source, and a simulated vCenter for it.

Contract tests that need more than Python run by `make contract`, which names their files.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from provision.simulator.server import Simulator
from tests.conftest import MakeSimulator
from tests.contract.govccli import Attempt, Govc

collect_ignore = ["test_both.py", "test_govc.py", "test_govc_more.py"]

SOURCE = Path(__file__).parent / "govc"
BINARY = Path(__file__).parents[2] / ".tools" / "govc" / "govc"
WORLD = """
DC0:
  templates: {u24: {memory: 4 GiB}}
  clusters:
    gpu:
      hosts:
        esx-[01-02]: {memory: 512 GiB, cards: {count: 2, model: A100-80}}
      vms:
        old-job: {host: esx-01, memory: 8 GiB, power: on, gpu: {vgpu: grid_a100d-80c}}
  datastores: {vsan: 20 TiB}
"""


@pytest.fixture(scope="session")
def binary() -> Path:
    assert shutil.which("go"), "the contract tests build govc: install Go and put it on the PATH"
    BINARY.parent.mkdir(parents=True, exist_ok=True)
    subprocess.run(["go", "build", "-o", BINARY, "."], cwd=SOURCE, check=True)  # noqa: S607 - Go as the PATH has it
    return BINARY


@pytest.fixture
def world(simulator: MakeSimulator) -> Simulator:
    return simulator(WORLD)


@pytest.fixture
def attempt(binary: Path, world: Simulator, tmp_path: Path) -> Attempt:
    """Return a function that runs govc and returns how it ended."""
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": str(tmp_path),  # govc keeps its sessions there
        "GOVC_URL": world.door.url,
        "GOVC_USERNAME": world.door.username,
        "GOVC_PASSWORD": Path(world.door.password_file).read_text(encoding="utf-8"),
        "GOVC_TLS_CA_CERTS": world.door.ca_file,
    }

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [binary, *arguments],
            env=environment,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    return run


@pytest.fixture
def govc(attempt: Attempt) -> Govc:
    """Return a function that runs govc, which must succeed, and returns what it printed."""

    def run(*arguments: str) -> str:
        done = attempt(*arguments)
        assert done.returncode == 0, done.stderr
        return done.stdout

    return run
