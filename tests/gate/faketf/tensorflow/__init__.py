"""Stands in TensorFlow's place for the gate's probe: lists the GPUs of FAKE_GPUS."""

import json
import os
import sys
from types import SimpleNamespace

GPUS = json.loads(os.environ["FAKE_GPUS"])
if not GPUS:
    sys.stderr.write("failed call to cuInit: CUDA_ERROR_NO_DEVICE\n")

config = SimpleNamespace(
    list_physical_devices=lambda kind: [
        SimpleNamespace(name=f"/physical_device:{kind}:{n}") for n in range(len(GPUS))
    ]
)
