from collections.abc import Iterator
from pathlib import Path

import pytest
from pyVmomi import vim

from provision.vsphere.collector import Collector, moid
from provision.vsphere.session import Session, VCenterAway
from tests.unit.vsphere.site import Site, open_site

WORLD = """
DC0:
  clusters:
    plain:
      hosts: {esx-01: {}}
      vms: {"job-[01-10]": {}}
"""
NAMES = {f"job-{n:02}" for n in range(1, 11)}
WANTED = {vim.VirtualMachine: ("name", "runtime.powerState")}


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    with open_site(tmp_path, WORLD) as site:
        yield site


@pytest.fixture
def session(site: Site) -> Iterator[Session]:
    with site.session() as session:
        yield session


def names(session: Session, page: int = 3) -> set[str]:
    found = Collector(session, page).under(session.content.rootFolder, WANTED)
    return {one.get("name") for one in found}


def test_a_read_takes_as_many_calls_as_it_has_pages(site: Site, session: Session) -> None:
    assert names(session, page=100) == NAMES
    assert (site.calls("RetrievePropertiesEx"), site.calls("ContinueRetrievePropertiesEx")) == (
        1,
        0,
    )
    assert names(session, page=3) == NAMES
    assert site.calls("ContinueRetrievePropertiesEx") == 3


def test_no_view_is_left_behind(site: Site, session: Session) -> None:
    names(session)
    assert site.calls("CreateContainerView") == site.calls("DestroyView") == 1


@pytest.mark.parametrize(
    "method", ["RetrievePropertiesEx", "ContinueRetrievePropertiesEx", "CreateContainerView"]
)
@pytest.mark.parametrize("effect", [{"terminate": "sessions"}, {"lose": "response"}])
def test_a_read_that_loses_its_place_starts_again(
    site: Site, session: Session, method: str, effect: dict[str, str]
) -> None:
    site.break_(on=method, nth=1, **effect)
    assert names(session) == NAMES


def test_a_read_that_never_gets_through_gives_up(site: Site, session: Session) -> None:
    site.break_(on="ContinueRetrievePropertiesEx", lose="response")
    with pytest.raises(VCenterAway, match="long read"):
        names(session)


def test_objects_that_are_gone_are_left_out(session: Session) -> None:
    collector = Collector(session)
    found = collector.under(session.content.rootFolder, WANTED)
    gone = [one.ref for one in found[:2]]
    for ref in gone:
        ref.Destroy_Task()
    left = collector.of([one.ref for one in found], {vim.VirtualMachine: ("name",)})
    assert {one.id for one in left} == {one.id for one in found} - {moid(ref) for ref in gone}
    assert collector.one(gone[0], ["name"]) is None


def test_an_entity_comes_with_all_that_it_lies_in(session: Session) -> None:
    collector = Collector(session)
    first = collector.under(session.content.rootFolder, WANTED)[0]
    found = collector.with_ancestors(first.ref, ["name", "parent"])
    assert {one.get("name") for one in found} >= {first.get("name"), "vm", "DC0"}
