from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from provision.gpu.capacity import CardLoad, Refusal, choose, derive, refusal, remaining
from provision.gpu.catalogue import Profile, catalogue
from provision.gpu.mig import arrange
from provision.gpu.types import AssignmentPolicy, VgpuMode

DATA = Path(__file__).parents[2] / "data" / "gpu"
PLACED = yaml.safe_load((DATA / "mig.yaml").read_text(encoding="utf-8"))
CASES = yaml.safe_load((DATA / "placement.yaml").read_text(encoding="utf-8"))
A100D = catalogue().model("A100-80")
TIME_SLICED = [p.name for p in A100D.profiles if not p.mig] if A100D else []
MIG = [p.name for p in A100D.profiles if p.mig] if A100D else []


def profile(name: str) -> Profile:
    found = catalogue().profile(name)
    assert found is not None
    return found[1]


def card(mode: VgpuMode, *held: str, framebuffer_mib: int = 81920) -> CardLoad:
    return CardLoad("0000:3b:00.0", framebuffer_mib, mode, held)


def load(position: int, entry: dict[str, str]) -> CardLoad:
    model = catalogue().model(entry["model"])
    assert model is not None
    address = f"0000:{position:02x}:00.0"
    mode = VgpuMode(entry["mode"])
    return CardLoad(address, model.framebuffer_gib * 1024, mode, (), model.key)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["name"])
def test_placement(case: dict[str, Any]) -> None:
    cards = [load(position, entry) for position, entry in enumerate(case["cards"])]
    outcome: list[object] = []
    for name in case["ask"]:
        chosen = choose(cards, profile(name), AssignmentPolicy(case["policy"]))
        if chosen is None:
            outcome.append([str(refusal(one, profile(name))) for one in cards])
        else:
            place = cards.index(chosen)
            cards[place] = chosen.with_profile(name)
            outcome.append(place)
    assert outcome == case["to"]


@pytest.mark.parametrize("name", TIME_SLICED)
def test_an_empty_card_takes_exactly_the_maximum(name: str) -> None:
    assert remaining(card(VgpuMode.SAME_SIZE), profile(name)) == profile(name).max_per_card
    assert remaining(card(VgpuMode.MIXED_SIZE), profile(name)) == profile(name).mixed_max


@pytest.mark.parametrize(
    "name", [p.name for model in catalogue().models for p in model.profiles if p.mig]
)
def test_an_empty_mig_card_takes_exactly_the_maximum(name: str) -> None:
    found = catalogue().profile(name)
    assert found is not None
    empty = card(VgpuMode.MIG, framebuffer_mib=found[0].framebuffer_gib * 1024)
    assert remaining(empty, found[1]) == found[1].max_per_card


@given(st.lists(st.sampled_from(MIG), max_size=10))
def test_mig_never_hands_out_more_than_the_slices(names: list[str]) -> None:
    load = card(VgpuMode.MIG)
    for name in names:
        if refusal(load, profile(name)) is None:
            load = load.with_profile(name)
    held = [profile(name) for name in load.profiles]
    assert sum(p.compute_slices for p in held) <= 7
    assert sum(p.memory_slices for p in held) <= 8


@given(st.lists(st.sampled_from(TIME_SLICED), max_size=30))
def test_mixed_size_never_hands_out_more_than_the_framebuffer(names: list[str]) -> None:
    load = card(VgpuMode.MIXED_SIZE)
    for name in names:
        if refusal(load, profile(name)) is None:
            load = load.with_profile(name)
    assert sum(profile(name).framebuffer_mib for name in load.profiles) <= 81920


@pytest.mark.parametrize("case", PLACED, ids=lambda case: f"{case['model']}: {case['shapes']}")
def test_mig_instances_lie_where_nvidia_shows_them(case: dict[str, Any]) -> None:
    model = catalogue().model(case["model"])
    assert model is not None
    assert model.mig is not None
    found = arrange(model.mig, tuple(tuple(shape) for shape in case["shapes"]))
    assert (None if found is None else list(found)) == case["starts"]


def test_ecc_does_not_make_the_whole_card_profile_too_large() -> None:
    with_ecc = card(VgpuMode.MIXED_SIZE, framebuffer_mib=81559)
    assert refusal(with_ecc, profile("grid_a100d-80c")) is None


def test_what_holds_an_unreadable_profile_is_unknown_not_free() -> None:
    for mode, name in (
        (VgpuMode.MIXED_SIZE, "grid_a100d-10c"),
        (VgpuMode.MIG, "grid_a100d-1-10c"),
    ):
        assert refusal(card(mode, "mystery"), profile(name)) is Refusal.UNKNOWN


def test_a_stranger_in_same_size_locks_the_card_even_if_unreadable() -> None:
    held = card(VgpuMode.SAME_SIZE, "mystery")
    assert refusal(held, profile("grid_a100d-10c")) is Refusal.PROFILE_LOCKED


def test_a_profile_that_only_the_host_knows_is_derived_from_what_the_host_says() -> None:
    found = derive("nvidia_x900-12q", 12288, 49152)
    assert found is not None
    assert (found.max_per_card, found.mixed_max, found.mig) == (4, 4, False)
    assert remaining(card(VgpuMode.SAME_SIZE), found) == 4
    third = derive("nvidia_x900-16q", 16384, 49152)
    assert third is not None
    assert (third.max_per_card, third.mixed_max) == (3, 2)


def test_a_derived_mig_profile_is_limited_by_framebuffer_and_media() -> None:
    found = derive("nvidia_x900-2-24q", 24576, 98304)
    assert found is not None
    assert (found.max_per_card, found.mixed_max, found.mig, found.compute_slices) == (4, 0, True, 2)
    half_used = card(VgpuMode.MIG, "nvidia_x900-4-48q", framebuffer_mib=98304)
    assert remaining(half_used, found) == 2
    media = derive("nvidia_x900-1-24qme", 24576, 98304)
    assert media is not None
    assert remaining(card(VgpuMode.MIG, framebuffer_mib=98304), media) == 1


@pytest.mark.parametrize(("name", "size"), [("mystery", 1024), ("grid_a100-10c", 0)])
def test_no_profile_is_derived_from_nonsense(name: str, size: int) -> None:
    assert derive(name, size, 81920) is None


def test_ties_go_to_the_lowest_address() -> None:
    cards = [
        CardLoad(f"0000:{bus}:00.0", 81920, VgpuMode.SAME_SIZE, ()) for bus in ("af", "3b", "86")
    ]
    for policy in AssignmentPolicy:
        chosen = choose(cards, profile("grid_a100d-10c"), policy)
        assert chosen is not None
        assert chosen.address == "0000:3b:00.0"
