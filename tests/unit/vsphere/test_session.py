from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from pyVmomi import vim

from provision.deadline import Deadline
from provision.errors import NoConnection
from provision.vsphere.connection import best_version
from provision.vsphere.retry import within
from provision.vsphere.session import Session, VCenterAway
from provision.vsphere.tls import ResponseLost
from tests.unit.vsphere.site import Site, open_site


def find(session: Session) -> object:
    return session.content.searchIndex.FindAllByUuid(
        uuid="00000000-0000-0000-0000-000000000000", vmSearch=True, instanceUuid=True
    )


def test_it_speaks_the_newest_version_that_both_sides_know(site: Site) -> None:
    with site.session() as session:
        assert session.version == "vim.version.v8_0_3_0"


@pytest.mark.parametrize(
    ("server", "spoken"),
    [
        ("7.0.0.0", "vim.version.v7_0"),
        ("8.0.2.5", "vim.version.v8_0_2_0"),
        ("8.0.3.0", "vim.version.v8_0_3_0"),
    ],
)
def test_a_version_that_pyvmomi_lacks_is_spoken_as_the_one_before(server: str, spoken: str) -> None:
    assert best_version(server) == spoken


def test_an_old_vcenter_is_refused_before_the_password_leaves(tmp_path: Path) -> None:
    with open_site(tmp_path, "vcenter: {api: 6.7.3}\nDC0: {}\n") as site:
        with pytest.raises(NoConnection, match="too old"):
            Session(site.settings)
        assert not site.calls("Login")


def test_closing_logs_out_and_may_be_repeated(site: Site) -> None:
    session = Session(site.settings)
    assert site.sessions() == 1
    session.close()
    session.close()
    assert site.sessions() == 0


def test_closing_an_ended_session_is_quiet(site: Site) -> None:
    with site.session():
        site.simulator.terminate_sessions()


def test_many_threads_log_in_again_only_once(site: Site) -> None:
    with site.session() as session, ThreadPoolExecutor(32) as pool:
        for logins in (2, 3, 4):
            site.simulator.terminate_sessions()
            list(pool.map(lambda _: find(session), range(64)))
            assert site.calls("Login") == logins


def test_a_read_whose_response_is_lost_is_sent_again(site: Site) -> None:
    with site.session() as session:
        site.break_(on="FindAllByUuid", nth=1, lose="response")
        assert not find(session)
        assert site.calls("FindAllByUuid") == 2


def test_a_change_whose_response_is_lost_is_not_sent_again(site: Site) -> None:
    with site.session() as session:
        site.break_(on="CreateFolder", nth=1, lose="response")
        with pytest.raises(ResponseLost):
            session.content.rootFolder.CreateFolder("once")
        assert site.calls("CreateFolder") == 1


def test_a_change_refused_for_want_of_a_session_is_sent_after_the_login(site: Site) -> None:
    with site.session() as session:
        site.simulator.terminate_sessions()
        session.content.rootFolder.CreateFolder("once")
        with pytest.raises(vim.fault.DuplicateName):
            session.content.rootFolder.CreateFolder("once")


def test_fault_04_what_was_never_sent_is_tried_until_vcenter_is_back(site: Site) -> None:
    with site.session() as session:
        site.break_(on="FindAllByUuid", nth=1, outage="500 ms")
        with within(Deadline.after(30)):
            find(session)
            session.content.rootFolder.CreateFolder("after the outage")


def test_fault_04_the_deadline_ends_the_patience(site: Site) -> None:
    with site.session() as session:
        site.break_(on="FindAllByUuid", nth=1, outage="1 min")
        with within(Deadline.after(0.5)), pytest.raises(VCenterAway, match="did not come back"):
            find(session)
