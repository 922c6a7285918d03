"""docs/placement.md shows pictures that the code has drawn, as it would draw them today."""

from __future__ import annotations

import re
from xml.etree import ElementTree as ET

import pytest

from docs.make_pictures import pictures
from provision.gpu.catalogue import catalogue
from provision.plan.placement import MOST_LOOKS
from provision.plan.search import MOST_HOSTS, MOST_MACHINES
from tests.docs.reading import DOCS, tables

DRAWN = pictures()
PAGE = (DOCS / "placement.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("name", DRAWN)
def test_a_picture_is_up_to_date(name: str) -> None:
    kept = (DOCS / "pictures" / name).read_text(encoding="utf-8")
    assert kept == DRAWN[name], "draw it again: python -m docs.make_pictures"
    assert ET.fromstring(kept).tag.endswith("svg")  # noqa: S314 - drawn a line above


def test_the_page_shows_every_picture() -> None:
    assert set(re.findall(r"\(pictures/(placement-[a-z-]+\.svg)\)", PAGE)) == set(DRAWN)


def test_the_table_of_mig_slots_is_that_of_the_catalogue() -> None:
    for title, model in (("A100, H100 and H200", "A100-80"), ("A30", "A30")):
        found = catalogue().model(model)
        assert found is not None
        assert found.mig is not None
        shown = {
            tuple(map(int, shape.split(" + "))): [int(start) for start in starts.split(", ")]
            for shape, (starts,) in tables("placement.md")[title].items()
        }
        assert shown == {
            (p.compute_slices, p.memory_slices): list(p.starts) for p in found.mig.placements
        }


def test_cards_said_to_share_a_geometry_do() -> None:
    models = [catalogue().model(name) for name in ("A100-40", "A100-80", "H100-80", "H200")]
    assert len({model.mig for model in models if model}) == 1


def test_the_limits_of_the_search_are_those_of_the_code() -> None:
    assert f"up to {MOST_MACHINES} machines on up to {MOST_HOSTS} hosts" in PAGE
    assert f"{MOST_LOOKS:,} looks" in PAGE
