"""Files of variables: each case is an entry of tests/data/guests/extra-vars.yaml."""

import os
from pathlib import Path
from typing import Any

import pytest
import yaml

from provision.errors import SpecError, UsageError
from provision.guests.extravars import read_extra_vars

CASES = yaml.safe_load((Path(__file__).parents[2] / "data/guests/extra-vars.yaml").read_text())


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["name"])
def test_case(tmp_path: Path, case: dict[str, Any]) -> None:
    path = tmp_path / "vars.yml"
    path.write_text(case["text"])
    if "variables" in case:
        assert read_extra_vars([path]) == case["variables"]
        return
    with pytest.raises(SpecError) as refusal:
        read_extra_vars([path])
    for words in case["refused"]:
        assert words in refusal.value.text()


def test_the_later_file_counts(tmp_path: Path) -> None:
    first, second = tmp_path / "a.yml", tmp_path / "b.json"
    first.write_text("a: 1\nb: 1\n")
    second.write_text('{"b": 2}')
    assert read_extra_vars([first, second]) == {"a": 1, "b": 2}


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"missing\.yml"):
        read_extra_vars([tmp_path / "missing.yml"])


def test_a_pipe_will_do_so_that_secrets_need_not_lie_on_a_disk() -> None:
    ours, theirs = os.pipe()
    os.write(theirs, b"ansible_become_password: xyzzy")
    os.close(theirs)
    assert read_extra_vars([Path(f"/dev/fd/{ours}")]) == {"ansible_become_password": "xyzzy"}
    os.close(ours)
