from pathlib import Path

import pytest
import yaml

import provision.gpu
from provision.gpu import profiles
from provision.gpu.catalogue import CardModel, catalogue

DATA = yaml.safe_load(
    (Path(provision.gpu.__file__).parent / "catalogue.yaml").read_text(encoding="utf-8")
)
MODELS = catalogue().models
SHARED = [(model, profile) for model in MODELS for profile in model.profiles]
MIG = [(model, profile) for model, profile in SHARED if profile.mig]


def keys(text: str) -> list[str]:
    return [model.key for model in catalogue().matching(text)]


def test_keys_ids_and_profiles_are_unique() -> None:
    assert len({model.key.lower() for model in MODELS}) == len(MODELS)
    ids = [(model.vendor_id, device) for model in MODELS for device in model.device_ids]
    assert len(set(ids)) == len(ids)
    stems = [profiles.parse(profile.name) for _, profile in SHARED]
    assert None not in stems
    assert len({name.stem for name in stems if name}) == len(SHARED)


def test_every_fact_names_a_source_that_exists() -> None:
    for entry in DATA["cards"]:
        facts = {"device_ids", "framebuffer_gib", "needs_efi", "nvlink"} | {
            fact for fact in ("gpus_per_board", "mig") if fact in entry
        }
        assert facts <= set(entry["sources"]), entry["key"]
        assert set(entry["sources"].values()) <= set(DATA["sources"]), entry["key"]
    for section in ("geometries", "time_sliced", "mig_backed"):
        for name, table in DATA[section].items():
            assert table["source"] in DATA["sources"], name


def test_every_table_is_used() -> None:
    families = [family for entry in DATA["cards"] for family in entry["profiles"]]
    for section in ("time_sliced", "mig_backed"):
        assert {family[section] for family in families if section in family} == set(DATA[section])
    assert {entry["mig"] for entry in DATA["cards"] if "mig" in entry} == set(DATA["geometries"])


@pytest.mark.parametrize(("model", "profile"), SHARED, ids=lambda value: getattr(value, "name", ""))
def test_a_profile_says_what_its_name_says(model: CardModel, profile: object) -> None:
    found = catalogue().profile(getattr(profile, "name", ""))
    assert found is not None
    assert found == (model, profile)
    name = profiles.parse(found[1].name)
    assert name is not None
    assert name.mig is found[1].mig
    assert name.series is found[1].series
    assert (name.slices or 0) == found[1].compute_slices
    # The name rounds: 70 GB for 71,680 MiB, 24 GB for 24,672 MiB.
    assert abs(found[1].framebuffer_mib - name.size_gb * 1024) <= 1024


@pytest.mark.parametrize(("model", "profile"), SHARED, ids=lambda value: getattr(value, "name", ""))
def test_the_maximum_fits_the_card(model: CardModel, profile: object) -> None:
    found = catalogue().profile(getattr(profile, "name", ""))
    assert found is not None
    most = found[1].max_per_card
    assert most >= 1
    assert 0 <= found[1].mixed_max <= most
    if not found[1].mig:
        assert most * found[1].framebuffer_mib <= model.framebuffer_gib * 1024
        assert (found[1].mixed_max > 0) is model.mixed_size


@pytest.mark.parametrize(("model", "profile"), MIG, ids=lambda value: getattr(value, "name", ""))
def test_a_mig_profile_has_a_placement_for_each_of_its_maximum(
    model: CardModel, profile: object
) -> None:
    found = catalogue().profile(getattr(profile, "name", ""))
    assert found is not None
    assert model.mig is not None
    starts = model.mig.starts(found[1].compute_slices, found[1].memory_slices)
    assert len(starts) >= found[1].max_per_card
    assert found[1].max_per_card * found[1].compute_slices <= model.mig.compute_slices
    assert found[1].max_per_card * found[1].memory_slices <= model.mig.memory_slices
    assert all(start + found[1].memory_slices <= model.mig.memory_slices for start in starts)


def test_matching_takes_families_models_and_device_names() -> None:
    assert keys("A100") == ["A100-40", "A100-80"]
    assert keys("a100-80") == keys("A100 80GB") == ["A100-80"]
    assert keys("A10") == ["A10"]
    assert keys("L4") == ["L4"]
    assert keys("NVIDIA A100-SXM4-80GB") == ["A100-80"]
    assert keys("Tesla V100-PCIE-32GB") == ["V100-32"]
    assert keys("H100") == ["H100-80", "H100-NVL"]
    assert keys("RTX 6000 Ada") == ["RTX-6000-Ada"]
    assert keys("") == keys("A1") == keys("Voodoo2") == []


def test_pci_ids_may_be_signed_as_vsphere_gives_them() -> None:
    model = catalogue().by_pci(0x10DE, 0x20B5)
    assert model is not None
    assert model.key == "A100-80"
    assert catalogue().by_pci(0x10DE - 0x10000, 0x20B5 - 0x10000) == model
    assert catalogue().by_pci(0x1002, 0x20B5) is None


def test_a_profile_is_found_under_any_prefix_and_case() -> None:
    names = ("grid_a100d-10c", "nvidia_a100d-10c", "GRID_A100D-10C", "a100d-10c")
    found = {catalogue().profile(name) for name in names}
    assert len(found) == 1
    assert catalogue().profile("grid_a100d-11c") is None


def test_model_is_exact() -> None:
    assert catalogue().model("a100-80") is not None
    assert catalogue().model("A100") is None


def test_nearest_suggests_what_was_meant() -> None:
    assert "grid_a100d-10c" in catalogue().nearest("grid_a100d-11c")
    assert "A100-80" in catalogue().nearest("A100-81")
    assert catalogue().nearest("zzzzzz") == ()


def test_what_the_field_knows() -> None:
    small = [model.key for model in MODELS if not model.needs_efi]
    assert small == ["T4"]
    assert [model.key for model in MODELS if not model.vgpu] == ["B200"]
    assert {model.key for model in MODELS if model.gpus_per_board == 4} == {"A16"}
