"""`vdl simulator --record`: a copy of a vCenter that shows the same cards, and no secrets."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.e2e.site import Site, served


def test_a_copy_shows_the_same_cards(site: Site, tmp_path: Path) -> None:
    lab = site.lab("vroom")
    file = tmp_path / "copy.world.yaml"
    done = site.vdl("simulator", "--record", file, "-o", "json").good()
    assert done.json["counts"] == {
        "datacenters": 1, "clusters": 1, "hosts": 2, "cards": 3, "vms": 1, "templates": 1,
    }  # fmt: skip
    assert done.json["notes"] == []
    copied = tmp_path / "copied"
    copied.mkdir()
    with served(copied, file.read_text("utf-8")) as copy:
        assert copy.vdl("gpus", lab, "-o", "json").json == site.vdl("gpus", lab, "-o", "json").json
        copy.vdl("plan", lab).good()


def test_an_anonymous_copy_names_nothing(site: Site, tmp_path: Path) -> None:
    file = tmp_path / "copy.world.yaml"
    site.vdl("simulator", "--record", file, "--anonymous").good()
    text = file.read_text("utf-8")
    for name in ("DC0", "esx-0", "stranger", "ubuntu-24.04", "vsan", "VM Network"):
        assert name not in text


def test_a_copy_holds_no_password(site: Site, tmp_path: Path) -> None:
    file = tmp_path / "copy.world.yaml"
    site.vdl("simulator", "--record", file).good()
    password = Path(site.door["password_file"]).read_text("utf-8").strip()
    text = file.read_text("utf-8")
    assert password not in text
    assert site.door["username"] not in text


def test_a_person_is_told_what_was_copied_and_what_is_next(site: Site, tmp_path: Path) -> None:
    done = site.vdl("simulator", "--record", tmp_path / "copy.world.yaml").good()
    assert "2 hosts, 3 cards, 1 vms" in done.out
    assert "now rehearse: vdl simulator" in done.err


def test_a_recording_never_replaces_a_file(site: Site, tmp_path: Path) -> None:
    file = tmp_path / "copy.world.yaml"
    file.write_text("precious", encoding="utf-8")
    site.vdl("simulator", "--record", file).refused(2, str(file), "exists")
    assert file.read_text("utf-8") == "precious"


def test_a_recording_that_fails_leaves_no_file(site: Site, tmp_path: Path) -> None:
    file = tmp_path / "copy.world.yaml"
    (tmp_path / "wrong").write_text("not the password", encoding="utf-8")
    wrong = {"VDL_PASSWORD_FILE": str(tmp_path / "wrong")}
    site.vdl("simulator", "--record", file, env=wrong).refused(5)
    assert not file.exists()


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["world.yaml", "--record", "copy.yaml"], "not both"),
        (["--anonymous"], "--record"),
    ],
)
def test_what_makes_no_sense_is_refused(site: Site, words: list[str], says: str) -> None:
    site.vdl("simulator", *words).refused(2, says)


def test_a_recording_needs_a_vcenter(site: Site, tmp_path: Path) -> None:
    file = tmp_path / "copy.yaml"
    site.vdl("simulator", "--record", file, env={"VDL_SERVER": None}).refused(2, "--server")
    assert not file.exists()
