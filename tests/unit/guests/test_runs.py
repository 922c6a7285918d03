import stat
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from provision.errors import UsageError
from provision.guests.events import HostResult, PlaybookResult
from provision.guests.runs import KEPT_LOGS, Failures, RunKind, new_log

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


def result(**machines: str | None) -> PlaybookResult:
    """Return a result in which machines with a task failed in it."""
    return PlaybookResult(
        {name: HostResult(name, failed_task=task, message="no") for name, task in machines.items()}
    )


def failed_after(tmp_path: Path, *runs: tuple[PlaybookResult, tuple[str, ...]]) -> set[str]:
    failures = Failures.of(tmp_path, RunKind.CONFIGURE)
    for one, tags in runs:
        failures.take_in(one, tags)
    return set(failures.read())


def test_each_run_has_a_log_of_its_own_for_its_owner_alone(tmp_path: Path) -> None:
    first = new_log(tmp_path, RunKind.CONFIGURE, NOON)
    second = new_log(tmp_path, RunKind.CONFIGURE, NOON)
    assert first == tmp_path / "logs" / "configure" / "20260301T120000Z.log"
    assert second.name == "20260301T120000Z-02.log"
    assert stat.S_IMODE(second.stat().st_mode) == 0o600
    assert stat.S_IMODE(second.parent.stat().st_mode) == 0o700


def test_the_newest_logs_of_each_kind_are_kept(tmp_path: Path) -> None:
    other = new_log(tmp_path, RunKind.BENCH, NOON - timedelta(days=1))
    made = [
        new_log(tmp_path, RunKind.CONFIGURE, NOON + timedelta(minutes=n))
        for n in range(KEPT_LOGS + 3)
    ]
    assert sorted((tmp_path / "logs" / "configure").iterdir()) == made[3:]
    assert other.exists()


def test_what_failed_is_remembered_until_it_succeeds(tmp_path: Path) -> None:
    assert failed_after(tmp_path, (result(a="Install", b=None, c="Install"), ())) == {"a", "c"}
    assert failed_after(tmp_path, (result(a=None), ())) == {"c"}
    failure = Failures.of(tmp_path, RunKind.CONFIGURE).read()["c"]
    assert (failure.task, failure.message) == ("Install", "no")
    assert Failures.of(tmp_path, RunKind.BENCH).read() == {}


@pytest.mark.parametrize(
    ("failed_with", "done_with", "left"),
    [
        ((), ("base",), {"a"}),
        (("base",), ("base", "payload"), set()),
        (("base", "payload"), ("base",), {"a"}),
        (("base",), (), set()),
    ],
)
def test_a_part_that_succeeds_does_not_stand_for_the_whole(
    tmp_path: Path, failed_with: tuple[str, ...], done_with: tuple[str, ...], left: set[str]
) -> None:
    runs = [(result(a="Install"), failed_with), (result(a=None), done_with)]
    assert failed_after(tmp_path, *runs) == left


def test_a_part_that_fails_does_not_narrow_what_failed_before(tmp_path: Path) -> None:
    runs = [(result(a="Install"), ()), (result(a="Hello"), ("base",)), (result(a=None), ("base",))]
    assert failed_after(tmp_path, *runs) == {"a"}


def test_a_list_that_is_not_vdl_s_is_refused(tmp_path: Path) -> None:
    (tmp_path / "failed-configure.json").write_text('{"machines": ["a"]}')
    with pytest.raises(UsageError, match="delete the file"):
        Failures.of(tmp_path, RunKind.CONFIGURE).read()
