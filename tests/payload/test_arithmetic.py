"""What is computed where bfloat16 is asked for."""

from typing import Any

import pytest

from payload.arithmetic import chosen

AMPERE = {"name": "NVIDIA A100", "compute_capability": "8.0"}
TURING = {"name": "Tesla T4", "compute_capability": "7.5"}
BLACKWELL = {"name": "NVIDIA B200", "compute_capability": "10.0"}


@pytest.mark.parametrize(
    ("asked", "gpus", "flags", "expected"),
    [
        ("mixed_bf16", [], ["avx2", "avx512f", "avx512_bf16"], "mixed_bf16"),
        ("mixed_bf16", [], ["amx_bf16"], "mixed_bf16"),
        ("mixed_bf16", [], ["asimd", "bf16"], "mixed_bf16"),
        ("mixed_bf16", [], ["avx2", "avx512f"], "fp32"),
        ("mixed_bf16", [], [], "fp32"),
        ("mixed_bf16", [AMPERE], [], "mixed_bf16"),
        ("mixed_bf16", [BLACKWELL], [], "mixed_bf16"),
        ("mixed_bf16", [TURING], ["avx512_bf16"], "fp32"),
        ("mixed_bf16", [AMPERE, TURING], [], "fp32"),
        ("mixed_fp16", [], [], "mixed_fp16"),
        ("fp32", [TURING], [], "fp32"),
    ],
)
def test_bfloat16_is_computed_only_where_hardware_has_it(
    asked: str, gpus: list[Any], flags: list[str], expected: str
) -> None:
    precision, why = chosen(asked, gpus, flags)
    assert precision == expected
    assert (why is None) is (precision == asked)
    if why is not None:
        assert why.startswith("precision: ")
        assert "computed in fp32" in why
