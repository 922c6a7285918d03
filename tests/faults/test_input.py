"""Faults of input: what a person, or an attacker, may write into a lab file."""

import re
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from provision.spec.model import MAX_MACHINES
from provision.spec.problems import LabFileError, Problem
from provision.spec.reader import load_lab

DATA = Path(__file__).parents[1] / "data" / "spec"
HOSTILE = [
    *yaml.safe_load((DATA / "names.yaml").read_text(encoding="utf-8"))["hostile"],
    "a" * 300,
]
KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJ0n6GnFL5wYcE8TtJHHCwWsUQmzWCWrhvJxLYdSbxfS\n"
# Every value that leaves the lab file, and how a file sets it.
PLACES: dict[str, tuple[str | int, ...]] = {
    "lab": ("lab",),
    "server": ("vcenter", "server"),
    "datacenter": ("vcenter", "datacenter"),
    "cluster": ("vcenter", "cluster"),
    "datastore": ("vcenter", "datastore"),
    "network": ("vcenter", "network"),
    "folder": ("vcenter", "folder"),
    "template": ("template",),
    "user": ("guest", "user"),
    "vgpu": ("machines", "shared", "gpu", "vgpu"),
    "passthrough": ("machines", "direct", "gpu", "passthrough"),
    "group": ("machines", "pair", "gpu", "group"),
    "branch": ("drivers", "datacenter"),
    "data": ("benchmark", 0, "data"),
}
LAB = {
    "lab": "vroom",
    "vcenter": {"datacenter": "DC0", "cluster": "gpu", "datastore": "vsan"},
    "template": "ubuntu-24.04",
    "guest": {"ssh_key": "key.pub"},
    "machines": {
        "shared": {"gpu": {"vgpu": "grid_a100d-10c"}},
        "direct": {"gpu": {"passthrough": "A100"}},
        "pair": {"gpu": {"group": "Nvidia:2@grid_a100d-80c%NVLink"}},
    },
    "drivers": {"datacenter": "570"},
    "benchmark": [{"model": "mnist", "data": "/srv/data/mnist"}],
}
Read = Callable[[str | bytes], tuple[Problem, ...]]


@pytest.fixture
def read(tmp_path: Path) -> Read:
    """Read a lab file within a second, and return what is wrong with it."""
    (tmp_path / "key.pub").write_text(KEY, encoding="ascii")
    path = tmp_path / "lab.yaml"

    def problems(content: str | bytes) -> tuple[Problem, ...]:
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        begin = time.process_time()
        error: LabFileError | None = None
        try:
            load_lab(path)
        except LabFileError as caught:
            error = caught
        # Processor time: a busy machine is no fault of the reader.
        assert time.process_time() - begin < 1
        if error is None:
            return ()
        assert re.match(rf"{re.escape(str(path))}:\d+:\d+: ", error.text())
        return error.problems

    return problems


def lab_with(place: tuple[str | int, ...], value: object) -> str:
    """Return the correct lab as text, with another value in one place."""
    lab = yaml.safe_load(yaml.safe_dump(LAB, sort_keys=False))
    inner = lab
    for part in place[:-1]:
        inner = inner[part]
    inner[place[-1]] = value
    return yaml.safe_dump(lab, sort_keys=False, allow_unicode=True)


def test_the_lab_that_these_tests_spoil_is_correct(read: Read) -> None:
    assert read(yaml.safe_dump(LAB, sort_keys=False)) == ()


BOMB = "a: &a [x, x]\n" + "".join(
    f"{chr(98 + n)}: &{chr(98 + n)} [{', '.join([f'*{chr(97 + n)}'] * 9)}]\n" for n in range(20)
)


@pytest.mark.parametrize(
    ("content", "line", "column", "message"),
    [
        (BOMB, 1, 4, "anchors and aliases are not allowed"),
        ("lab: *other\n", 1, 6, "anchors and aliases are not allowed"),
        ("lab: x\nvcenter: !!python/object/apply:os.system [id]\n", 2, 10, "tags such as"),
        ("lab: !secret x\n", 1, 6, "tags such as '!secret' are not allowed"),
        ("lab: !!str x\n", 1, 6, "tags such as"),
        ("lab: x\nlab: y\n", 2, 1, "duplicate key 'lab', first given on line 1"),
        ("machines:\n  cpu: {}\n  cpu: {}\n", 3, 3, "duplicate key 'cpu'"),
        ("lab: " + "[" * 500_000, 1, 25, "nested deeper than 20 levels"),
        ("lab: " + "{a: " * 200_000, 1, 82, "nested deeper than 20 levels"),
        ("\n".join(" " * n + "a:" for n in range(100)), 21, 21, "nested deeper than 20 levels"),
        ("lab: x\nuser: \0\n", 2, 7, "control character U+0000"),
        ("lab: \x1b[2J\n", 1, 6, "control character U+001B"),
        (b"\x7fELF\x02\x01\x01\x00", 1, 1, "control character U+007F"),
        (b"lab: x\nuser: \xff\xfe\n", 2, 7, "this is no UTF-8 text"),
        ("lab: x".encode("utf-16"), 1, 1, "this is no UTF-8 text"),
        ("a" * (2**20 + 1), 1, 1, "the file is larger than 1 MiB"),
        ("[" + "x," * 500_000 + "]", 1, 200_000, "the file has more than 100,000 values"),
        ("lab: x\n---\nlab: y\n", 3, 1, "a second document begins here"),
        ("", 1, 1, "the file is empty"),
        ("# only a comment\n", 1, 1, "the file is empty"),
        ("---\n", 1, 1, "the file is empty"),
        ("- lab\n", 1, 1, "a lab file is a mapping of keys to values"),
        ("just text\n", 1, 1, "a lab file is a mapping of keys to values"),
        ("? [lab]\n: x\n", 1, 3, "a key must be plain text"),
        ("lab: [x\nuser: y\n", 2, 5, "this is no YAML"),
        ("lab:\tx: y: z\n", 1, 7, "this is no YAML"),
        ("<<: {lab: x}\n", 1, 1, "unknown key '<<'"),
    ],
)
def test_fault_43_dangerous_yaml_is_refused_at_once_with_its_place(
    read: Read, content: str | bytes, line: int, column: int, message: str
) -> None:
    problems = read(content)
    found = [(p.line, p.column) for p in problems if p.message.startswith(message)]
    assert found == [(line, column)]


def test_fault_43_a_long_file_of_mistakes_is_read_within_a_second(read: Read) -> None:
    problems = read("".join(f"key{n}: 1\n" for n in range(40_000)))
    assert len(problems) == 1_000


@pytest.mark.parametrize(
    ("machines", "message"),
    [
        ("{cpu: {count: 100000}}", "must be between 0 and 10,000, not 100000"),
        ("{cpu: {count: 9999999999}}", "must be between 0 and 10,000, not 9999999999"),
        ("{a: {count: 9000}, b: {count: 1001}}", "10,001 machines in all are too many"),
    ],
)
def test_fault_44_too_many_machines_are_refused_when_read(
    read: Read, machines: str, message: str
) -> None:
    problems = read(lab_with(("machines",), yaml.safe_load(machines)))
    assert len(problems) == 1
    assert problems[0].message.startswith(message)
    assert problems[0].path.startswith("machines")


def test_fault_44_the_limit_itself_is_taken(read: Read) -> None:
    assert read(lab_with(("machines",), {"cpu": {"count": MAX_MACHINES}})) == ()


@pytest.mark.parametrize("value", HOSTILE, ids=lambda value: ascii(value)[:20])
@pytest.mark.parametrize("place", PLACES)
def test_fault_45_hostile_values_are_refused_when_read(read: Read, place: str, value: str) -> None:
    problems = read(lab_with(PLACES[place], value))
    assert len(problems) == 1
    # What the value holds reaches no terminal either.
    assert problems[0].text("lab.yaml").isprintable()


@pytest.mark.parametrize("name", [*HOSTILE, "a.b", "A", "1a", "ü"], ids=lambda n: ascii(n)[:20])
def test_fault_45_hostile_group_names_are_refused_when_read(read: Read, name: str) -> None:
    problems = read(lab_with(("machines",), {name: {"count": 1}}))
    assert len(problems) == 1
    assert problems[0].text("lab.yaml").isprintable()


@pytest.mark.parametrize("path", ["$(id).pub", "-i", "a\nb", "{{ x }}", "`id`", "a;b", "k" * 2000])
def test_fault_45_hostile_paths_are_refused_when_read(read: Read, path: str) -> None:
    (problem,) = read(lab_with(("guest", "ssh_key"), path))
    assert problem.text("lab.yaml").isprintable()
    assert read(lab_with(("drivers", "vgpu"), {"package": path, "token": path}))


@pytest.mark.parametrize(
    ("line", "path", "column", "nearest"),
    [
        ("machine: {}", "", 1, "machines"),
        ("benchmarks: []", "", 1, "benchmark"),
        ("defaults: {cpu: 4}", "defaults", 12, "cpus"),
        ("drivers: {datacentre: '570'}", "drivers", 11, "datacenter"),
        ("benchmark: [{model: mnist, batchsize: [1]}]", "benchmark[0]", 28, "batch_size"),
        ("Defaults: {}", "", 1, "defaults"),
    ],
)
def test_fault_48_an_unknown_key_is_named_with_the_nearest_one(
    read: Read, line: str, path: str, column: int, nearest: str
) -> None:
    key = line.partition(":")[0]
    text = yaml.safe_dump({k: v for k, v in LAB.items() if k != key}, sort_keys=False)
    (problem,) = read(f"{line}\n{text}")
    assert (problem.line, problem.column, problem.path) == (1, column, path)
    assert problem.nearest == nearest
    assert nearest in problem.allowed
    assert problem.message.startswith("unknown key ")


def test_fault_48_nothing_is_suggested_where_nothing_is_near(read: Read) -> None:
    (problem,) = read("zzz: 1\n" + yaml.safe_dump(LAB, sort_keys=False))
    assert problem.nearest is None
    assert "machines" in problem.allowed
