from pathlib import Path
from typing import Any, Protocol

import pytest
import yaml

from provision.errors import SpecError, UsageError
from provision.spec.model import Lab, PassthroughRequest
from provision.spec.problems import LabFileError
from provision.spec.reader import load_lab

DATA = Path(__file__).parents[2] / "data" / "spec"
MISTAKES = yaml.safe_load((DATA / "mistakes.yaml").read_text(encoding="utf-8"))
NAMES = yaml.safe_load((DATA / "names.yaml").read_text(encoding="utf-8"))


class Files(Protocol):
    folder: Path
    key: Path

    def write(self, text: str | bytes, name: str = ...) -> Path: ...
    def lab_with(self, line: str) -> Path: ...


def problems(path: Path) -> list[str]:
    with pytest.raises(LabFileError) as caught:
        load_lab(path)
    return [problem.text("").removeprefix(":") for problem in caught.value.problems]


@pytest.mark.parametrize("case", MISTAKES, ids=lambda case: case["line"])
def test_mistake(files: Files, case: dict[str, Any]) -> None:
    assert problems(files.lab_with(case["line"])) == case["problems"]


def test_all_mistakes_are_reported_at_once_in_the_order_of_the_file(files: Files) -> None:
    path = files.write("template: 5\nlab: -x\nmachines: {cpu: {count: -1}}\nguest: {user: root}\n")
    with pytest.raises(SpecError) as caught:
        load_lab(path)
    places = [
        line.split(": ")[0].removeprefix(f"{path}:") for line in str(caught.value).split("\n")
    ]
    assert places == ["1:1", "1:11", "2:6", "3:25", "4:1", "4:15"]


def test_a_correct_file_becomes_a_lab(files: Files) -> None:
    lab = load_lab(files.lab_with("machines: {b: {count: 2, memory: 1.5 GiB}, a: {cpus: 2}}"))
    names = [(m.name, m.cpus, str(m.memory), str(m.disk)) for m in lab.resolve()]
    assert names == [
        ("vroom-b-1", 4, "1536 MiB", "40 GiB"),
        ("vroom-b-2", 4, "1536 MiB", "40 GiB"),
        ("vroom-a-1", 2, "16 GiB", "40 GiB"),
    ]


def test_the_key_is_read_and_its_place_remembered(files: Files) -> None:
    lab = load_lab(files.lab_with("guest: {ssh_key: key.pub}"))
    assert lab.guest.ssh_key.path == files.key
    assert lab.guest.ssh_key.private_path == files.folder / "key"
    assert lab.resolve()[0].ssh_key == files.key.read_text(encoding="utf-8").strip()


def test_a_comment_that_means_something_elsewhere_is_left_out(files: Files) -> None:
    kind, body, _ = files.key.read_text(encoding="utf-8").split()
    files.write(f"# my key\n{kind} {body} {{{{ evil }}}}\n\n", "key.pub")
    assert load_lab(files.lab_with("lab: vroom")).guest.ssh_key == f"{kind} {body}"


def test_home_is_expanded(files: Files, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(files.folder))
    assert load_lab(files.lab_with("guest: {ssh_key: ~/key.pub}")).guest.ssh_key.path == files.key


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "holds no OpenSSH public key"),
        ("ssh-ed25519 AAAA vdl", "holds no OpenSSH public key"),
        ("ssh-ed25519 ???? vdl", "holds no OpenSSH public key"),
        ("ssh-dss AAAAB3NzaC1kc3MAAAA=", "holds no OpenSSH public key"),
        ("ssh-rsa AAAAC3NzaC1lZDI1NTE5AAAAIJ0n6GnFL5wYcE8TtJHHCwWsUQmz", "holds no OpenSSH"),
        ("garbage", "holds no OpenSSH public key"),
        ("\xff\xfe", "holds no OpenSSH public key"),
        ("x" * 20_000, "holds no OpenSSH public key"),
        ("ssh-ed25519 AAAA\nssh-ed25519 BBBB\n", "holds 2 lines; one public key is wanted"),
        ("-----BEGIN OPENSSH PRIVATE KEY-----\nhidden\n", "is a private key; name the public one"),
    ],
)
def test_what_is_no_public_key_is_a_problem_that_never_quotes_it(
    files: Files, content: str, message: str
) -> None:
    files.write(content, "other.pub")
    (text,) = problems(files.lab_with("guest: {ssh_key: other.pub}"))
    assert text.startswith("4:18: guest.ssh_key: ")
    assert message in text
    assert not content or content not in text
    assert "hidden" not in text


def test_a_private_key_brings_its_public_one_to_mind(files: Files) -> None:
    files.write("-----BEGIN OPENSSH PRIVATE KEY-----\n", "key")
    (text,) = problems(files.lab_with("guest: {ssh_key: key}"))
    assert text.endswith(f"did you mean {files.key}?")


def test_a_missing_key_says_how_to_make_one(files: Files) -> None:
    (text,) = problems(files.lab_with("guest: {ssh_key: none.pub}"))
    assert "there is no such file; make one with `ssh-keygen" in text


def test_driver_paths_start_at_the_lab_file(files: Files) -> None:
    lab = load_lab(files.lab_with("drivers: {vgpu: {package: d/x.deb, token: /srv/client.tok}}"))
    assert lab.drivers.vgpu is not None
    assert lab.drivers.vgpu.package == str(files.folder / "d" / "x.deb")
    assert lab.drivers.vgpu.token == "/srv/client.tok"  # noqa: S105 - the path of a token


@pytest.mark.parametrize("name", NAMES["usual"])
def test_usual_names_of_vsphere_objects_are_taken(files: Files, name: str) -> None:
    assert (
        load_lab(files.lab_with(f"template: {yaml.safe_dump(name).splitlines()[0]}")).template
        == name
    )


@pytest.mark.parametrize(
    ("text", "pinned", "model"),
    [
        ("A100", None, "A100"),
        ("RTX 6000 Ada", None, "RTX 6000 Ada"),
        ("esx-02/0000:3B:00.0", ("esx-02", "0000:3b:00.0"), None),
        ("esx-02.example.com/0000:af:00.1", ("esx-02.example.com", "0000:af:00.1"), None),
    ],
)
def test_passthrough_is_by_card_or_by_model(
    text: str, pinned: tuple[str, str] | None, model: str | None
) -> None:
    request = PassthroughRequest(passthrough=text)
    assert (request.pinned, request.model) == (pinned, model)


@pytest.mark.parametrize("server", ["vcsa", "vcsa.example.com:8443", "10.0.0.1", "[fd00::1]:443"])
def test_servers(files: Files, server: str) -> None:
    line = f"vcenter: {{datacenter: D, cluster: g, datastore: v, server: '{server}'}}"
    assert load_lab(files.lab_with(line)).vcenter.server == server


def test_a_name_longer_than_a_host_name_is_refused(files: Files) -> None:
    path = files.write(
        files.lab_with(f"machines: {{{'b' * 30}: {{count: 100}}}}")
        .read_text(encoding="utf-8")
        .replace("vroom", "a" * 30)
    )
    (text,) = problems(path)
    assert "is too long for a host name: 65 characters, at most 63" in text


def test_a_lab_built_by_hand_holds_the_key_itself() -> None:
    lab = Lab.model_validate(
        {
            "lab": "vroom",
            "vcenter": {"datacenter": "DC0", "cluster": "gpu", "datastore": "vsan"},
            "template": "ubuntu-24.04",
            "guest": {"ssh_key": "ssh-ed25519 AAAA"},
            "machines": {"cpu": {}},
        }
    )
    assert lab.guest.ssh_key.path is None
    assert lab.resolve()[0].ssh_key == "ssh-ed25519 AAAA"


@pytest.mark.parametrize("name", ["nothing.yaml", "."])
def test_a_file_that_is_none_is_wrong_usage(files: Files, name: str) -> None:
    with pytest.raises(UsageError, match="can't read the lab file") as caught:
        load_lab(files.folder / name)
    assert caught.value.fix


@pytest.mark.parametrize("data", ["digits", "/srv/mnist", "https://mirror.example:8443/mnist/"])
def test_data_may_be_a_name_a_path_or_a_mirror(files: Files, data: str) -> None:
    path = files.lab_with(f"benchmark: [{{model: mnist, data: '{data}'}}]")
    assert load_lab(path).benchmark[0].data == data


@pytest.mark.parametrize("data", ["https://u:p@mirror/x", "ftp://mirror/x", "https://mirror/../x"])
def test_data_from_elsewhere_is_refused(files: Files, data: str) -> None:
    (problem,) = problems(files.lab_with(f"benchmark: [{{model: mnist, data: '{data}'}}]"))
    assert "must be synthetic, the address of a mirror, or a path" in problem
