"""The programs that play GPUs answer as the state says."""

import subprocess
from pathlib import Path

from tests.gate.states import install, load, turn


def test_the_state_file_decides_what_nvidia_smi_says(tmp_path: Path) -> None:
    licensed, unlicensed = load("a100-vgpu"), load("a100-vgpu-unlicensed")
    install(tmp_path, licensed, unlicensed)

    def status() -> str:
        words = [str(tmp_path / "bin" / "nvidia-smi"), "-q", "-x"]
        text = subprocess.run(words, capture_output=True, text=True, check=True).stdout
        assert "<!DOCTYPE nvidia_smi_log" in text
        return text.partition("<license_status>")[2].partition("<")[0]

    assert status().startswith("Licensed (Expiry: ")
    turn(tmp_path, unlicensed)
    assert status() == "Unlicensed (Restricted)"
