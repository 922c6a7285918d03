from pathlib import Path

import pytest
import yaml

from provision.gpu import profiles
from provision.gpu.mmio import mmio_size_gb

DATA = Path(__file__).parents[2] / "data" / "gpu"
NAMES = yaml.safe_load((DATA / "names.yaml").read_text(encoding="utf-8"))
SIZES = yaml.safe_load((DATA / "mmio.yaml").read_text(encoding="utf-8"))


@pytest.mark.parametrize("name", NAMES)
def test_parse(name: str) -> None:
    parts = profiles.parse(name)
    found = parts and [
        parts.prefix,
        parts.gpu,
        parts.size_gb,
        parts.series.value,
        parts.slices,
        parts.media,
    ]
    assert found == NAMES[name]


def test_the_stem_is_the_name_without_its_prefix() -> None:
    for name in ("grid_a100-1-5cme", "grid_a100d-10c", "nvidia_rtx6000-ada-48q"):
        parts = profiles.parse(name)
        assert parts is not None
        assert parts.stem == name.partition("_")[2]


@pytest.mark.parametrize("case", SIZES, ids=lambda case: case["note"])
def test_mmio_size(case: dict[str, object]) -> None:
    cards = case["cards"]
    assert isinstance(cards, list)
    assert mmio_size_gb(cards) == case["size"]


@pytest.mark.parametrize("framebuffer", [0, -80])
def test_mmio_refuses_a_card_without_framebuffer(framebuffer: int) -> None:
    with pytest.raises(ValueError, match="must be positive"):
        mmio_size_gb([80, framebuffer])
