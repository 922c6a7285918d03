"""Whatever stands in a file, the reader answers with a lab or with problems that have a place."""

from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from provision.spec.document import Unreadable, read
from provision.spec.model import Lab
from provision.spec.problems import LabFileError
from provision.spec.reader import load_lab

KEYS = sorted(
    {"shared", "cpu", "<vgpu>", "[key]", "datastor", "0"}
    | set(Lab.model_fields)
    | {
        name
        for definition in Lab.model_json_schema()["$defs"].values()
        for name in definition["properties"]
    }
)
SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-5, 20_000),
    st.floats(allow_nan=False, allow_infinity=False),
    st.sampled_from(["A100", "grid_a100d-10c", "32 GiB", "mnist", "fp32", "key.pub", "", "é"]),
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3), st.dictionaries(st.sampled_from(KEYS), inner, max_size=4)
    ),
    max_leaves=12,
)
GOOD: dict[str, Any] = {
    "lab": "vroom",
    "vcenter": {"datacenter": "DC0", "cluster": "gpu", "datastore": "vsan"},
    "template": "ubuntu-24.04",
    "guest": {"ssh_key": "key.pub"},
    "machines": {"cpu": {"count": 1}},
}
# libyaml and PyYAML's own scanner differ on odd corners; the reader takes the first it finds.
LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
PER_TEST_FOLDER = settings(suppress_health_check=[HealthCheck.function_scoped_fixture])


@given(st.one_of(st.binary(max_size=60), st.text(max_size=60).map(str.encode)))
def test_any_bytes_are_a_document_or_unreadable(data: bytes) -> None:
    places = [(1, 1)]
    try:
        places += [(place.line, place.column) for place in read(data).values.values()]
    except Unreadable as error:
        places.append((error.problem.line, error.problem.column))
    assert min(min(place) for place in places) == 1


@given(st.text(alphabet="ab:-?[]{}&*!|>'\"#%@` \n", max_size=40))
def test_any_yaml_that_is_read_means_what_pyyaml_reads(text: str) -> None:
    try:
        found = read(text.encode())
    except Unreadable:
        return
    if not found.problems:
        assert found.value == named(yaml.load(text, Loader=LOADER))  # noqa: S506 - a safe loader


def named(value: object) -> object:
    """Return a value with the reader's keys: an empty one is text, not null."""
    if isinstance(value, dict):
        return {key or "": named(inner) for key, inner in value.items()}
    return [named(inner) for inner in value] if isinstance(value, list) else value


@PER_TEST_FOLDER
@given(changes=st.dictionaries(st.sampled_from([*GOOD, "defaults", "drivers"]), VALUES))
def test_any_structure_gives_problems_with_a_place(tmp_path: Path, changes: dict[str, Any]) -> None:
    path = tmp_path / "lab.yaml"
    text = yaml.safe_dump(GOOD | changes, sort_keys=False, allow_unicode=True)
    path.write_text(text, encoding="utf-8")
    # The key is missing, so there is always one problem at least.
    with pytest.raises(LabFileError) as caught:
        load_lab(path)
    lines = text.count("\n") + 1
    assert all(1 <= problem.line <= lines for problem in caught.value.problems)
    assert all(problem.text("f").isprintable() for problem in caught.value.problems)


@PER_TEST_FOLDER
@given(gpu=VALUES, count=SCALARS)
def test_any_gpu_request_gives_problems_beside_that_of_the_key(
    tmp_path: Path, gpu: object, count: object
) -> None:
    (tmp_path / "key.pub").write_text("x", encoding="ascii")
    path = tmp_path / "lab.yaml"
    machines = {"machines": {"a": {"gpu": gpu, "count": count}}}
    path.write_text(yaml.safe_dump(GOOD | machines), encoding="utf-8")
    with pytest.raises(LabFileError) as caught:
        load_lab(path)
    assert "guest.ssh_key" in {problem.path for problem in caught.value.problems}
