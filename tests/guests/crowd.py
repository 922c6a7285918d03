"""Worlds in which the machines of a large lab stand already, each with an address and a key."""

import base64
import json
import struct
from pathlib import Path
from typing import Any

KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJ5m9oMZXs0rCrLT6wVDcRsWVCYvVs5mV1r5vE3p7gXY x@y"
CARDS, VGPUS = 8, 8
PER_HOST = CARDS * VGPUS
LAB: dict[str, Any] = {
    "lab": "crowd",
    "vcenter": {"datacenter": "DC0", "cluster": "gpu", "datastore": "vsan"},
    "template": "ubuntu-24.04",
    "guest": {"ssh_key": "key.pub"},
    "machines": {"shared": {"gpu": {"vgpu": "grid_a100d-10c"}}},
}


def write_lab(folder: Path) -> Path:
    """Write the lab file, and the key that it names; return its path."""
    (folder / "key.pub").write_text(f"{KEY}\n")
    path = folder / "lab.yaml"
    path.write_text(json.dumps(LAB))
    return path


def crowded_world(machines: int) -> dict[str, Any]:
    """Return a world file's values: 64 machines with a vGPU each on every host."""
    hosts = -(-machines // PER_HOST)
    cards = {"count": CARDS, "model": "A100-80"}
    host = {"memory": "4 TiB", "cards": cards, "policy": "consolidation"}
    return {
        "DC0": {
            "templates": {"ubuntu-24.04": {}},
            "clusters": {
                "gpu": {
                    "hosts": {f"esx-{n:02}": host for n in range(1, hosts + 1)},
                    "vms": {f"crowd-shared-{n}": _vm(n) for n in range(1, machines + 1)},
                }
            },
            "datastores": {"vsan": "900 TiB"},
        }
    }


def _vm(number: int) -> dict[str, Any]:
    name = f"crowd-shared-{number}"
    return {
        "host": f"esx-{(number - 1) // PER_HOST + 1:02}",
        "memory": "8 GiB",
        "power": "on",
        "gpu": {"vgpu": "grid_a100d-10c"},
        "addresses": [f"10.{number // 65536}.{number // 256 % 256}.{number % 256}"],
        "extra": {
            "vdl.lab": "crowd",
            "vdl.machine": name,
            "guestinfo.vdl.hostkeys": f"ssh-ed25519 {_key(number)}",
        },
    }


def _key(number: int) -> str:
    """Return a public key as OpenSSH writes it; nobody has the private half."""
    kind = b"ssh-ed25519"
    blob = struct.pack(">I", len(kind)) + kind + struct.pack(">I32s", 32, number.to_bytes(32))
    return base64.b64encode(blob).decode()
