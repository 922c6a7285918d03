"""What the survey of a machine decides, from PCI trees and lists of packages."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import yaml

from provision.gpu.catalogue import catalogue
from tests.gate.states import pci_config
from tests.roles.trees import gpu_tree, secure_boot

DATA = Path(__file__).parents[1] / "data" / "roles"
CASES: dict[str, dict[str, Any]] = yaml.safe_load((DATA / "drivers.yaml").read_text())
ROLE = Path(__file__).parents[2] / "playbooks" / "roles" / "nvidia_driver"


def script(path: Path) -> ModuleType:
    """Load a script that a role sends to guests."""
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


SURVEY = script(ROLE / "files" / "survey.py")


@pytest.mark.parametrize("name", CASES)
def test_the_driver_follows_from_the_lab_and_the_cards(name: str, tmp_path: Path) -> None:
    case = CASES[name]
    defaults = {"branch": "570", "modules": "auto", "profile": "", "package_branch": ""}
    question = {key: case.get(key, default) for key, default in defaults.items()}
    question["mode"] = case["mode"]
    for number, device in enumerate(case.get("devices", [])):
        config = pci_config("550.144.02" if device.startswith("v") else None)
        gpu_tree(tmp_path, f"0x{device[-4:]}", config, f"0000:{3 + number:02x}:00.0")
    packages = case.get("packages", {})

    gpus, _ = SURVEY.read_devices(tmp_path)
    kind = SURVEY.kind_of_driver(question, gpus)
    opened = kind != "none" and SURVEY.wants_open(kind, question, gpus)
    expected = case["expect"]
    assert (kind, opened) == (expected["kind"], expected["open"])
    reasons = SURVEY.refusals(kind, opened, question, gpus)
    words = expected.get("refusals", [])
    assert len(reasons) == len(words)
    assert all(word in reason for word, reason in zip(words, reasons, strict=True))
    assert SURVEY.wrong_packages(kind, question, packages) == expected.get("wrong", [])


def test_a_vgpu_tells_the_version_of_its_host(tmp_path: Path) -> None:
    gpu_tree(tmp_path, "0x20b5", pci_config("550.144.02"))
    (gpu,), switches = SURVEY.read_devices(tmp_path)
    assert (gpu["virtual"], gpu["host_version"], switches) == (True, "550.144.02", 0)


@pytest.mark.parametrize("config", [b"", b"\x00" * 64, b"\x48" * 256, pci_config("550.1")[:0xD4]])
def test_a_damaged_configuration_space_is_no_vgpu(tmp_path: Path, config: bytes) -> None:
    gpu_tree(tmp_path, "0x20b5", config)
    (gpu,), _ = SURVEY.read_devices(tmp_path)
    assert gpu["host_version"] is None


def test_other_devices_are_no_gpus_and_switches_are_counted(tmp_path: Path) -> None:
    gpu_tree(tmp_path, "0x20b5", pci_config(None))
    for number, (vendor, kind) in enumerate((("0x15ad", "0x030000"), ("0x10de", "0x068000"))):
        folder = tmp_path / f"bus/pci/devices/0000:0{number}:0f.0"
        folder.mkdir()
        (folder / "vendor").write_text(f"{vendor}\n")
        (folder / "class").write_text(f"{kind}\n")
    gpus, switches = SURVEY.read_devices(tmp_path)
    assert (len(gpus), switches) == (1, 1)


def test_every_card_of_the_catalogue_has_its_architecture() -> None:
    for model in catalogue().models:
        for device in model.device_ids:
            assert SURVEY.architecture(device) in ("older", model.architecture.capitalize()), model


def test_the_loaded_version_is_read_from_both_kinds_of_modules(tmp_path: Path) -> None:
    path = tmp_path / "version"
    assert SURVEY.loaded_version(path) is None
    path.write_text("NVRM version: NVIDIA UNIX x86_64 Kernel Module  535.161.08  Sat Feb 17\n")
    assert SURVEY.loaded_version(path) == "535.161.08"
    path.write_text(
        "NVRM version: NVIDIA UNIX Open Kernel Module for x86_64  570.133.20  Release\n"
    )
    assert SURVEY.loaded_version(path) == "570.133.20"


def test_secure_boot_is_read_from_the_firmware(tmp_path: Path) -> None:
    assert not SURVEY.secure_boot(tmp_path)
    secure_boot(tmp_path)
    assert SURVEY.secure_boot(tmp_path)
