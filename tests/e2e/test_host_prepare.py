"""`vdl host prepare` as a person calls it."""

import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.site import VDL, Done, Site, served

WORLD = """
guests: none
latency: {RebootHost_Task: 300 ms}
DC0:
  templates: {ubuntu-24.04: {}}
  clusters:
    gpu:
      hosts:
        esx-01: {cards: {count: 2, model: A100-80}}
        esx-02: {cards: {model: A100-80}}
        lost: {cards: {model: A100-80}, reboots: false}
      vms:
        web: {host: esx-01, memory: 8 GiB, power: "on"}
        job: {host: esx-02, memory: 8 GiB, power: "on", gpu: {vgpu: grid_a100d-10c}}
  datastores: {vsan: 20 TiB}
"""


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    with served(tmp_path, WORLD) as site:
        site.lab("lab")
        yield site


def prepare(site: Site, host: str, *words: str) -> Done:
    return site.vdl("host", "prepare", host, *words)


def test_check_shows_steps_and_exits_10_until_they_are_done(site: Site) -> None:
    wish = ("--passthrough", "A100")
    pending = prepare(site, "esx-01", *wish, "--check")
    assert pending.code == 10, pending.err
    for words in ("1. enter maintenance mode", "VM web: DRS moves it", "6 steps, one reboot"):
        assert words in pending.out
    done = prepare(site, "esx-01", *wish, "--yes").good()
    assert done.out == ""
    for words in ("1. enter maintenance mode", "reboot the host done", "esx-01 is prepared"):
        assert words in done.err
    assert "Nothing to do" in prepare(site, "esx-01", *wish, "--check").good().out
    assert "Nothing to do" in prepare(site, "esx-01", *wish, "--yes").good().out


def test_json_has_a_version_the_steps_and_the_state(site: Site) -> None:
    wish = ("--shared", "--vgpu-mode", "mixedSize", "--policy", "consolidation", "-o", "json")
    before = prepare(site, "esx-01", *wish, "--check")
    assert (before.code, before.json["version"], before.json["result"]) == (10, 1, "pending")
    graphics = next(step for step in before.json["steps"] if step["step"] == "set-graphics")
    assert graphics["graphics"]["policy"] == "consolidation"
    after = prepare(site, "esx-01", *wish, "--yes").good().json
    assert after["result"] == "done"
    assert all(step["done"] for step in after["steps"])
    assert {card["vgpu_mode"] for card in after["state"]["cards"]} == {"mixedSize"}


def test_a_strangers_gpu_vm_is_refused_by_name(site: Site) -> None:
    for extra in (("--yes",), ("--check",)):
        refused = prepare(site, "esx-02", "--passthrough", "A100", *extra)
        assert refused.code == 3
        assert "in use by job" in refused.out
    found = prepare(site, "esx-02", "--passthrough", "A100", "-o", "json", "--check")
    assert (found.code, found.json["result"]) == (3, "blocked")
    assert found.json["findings"][0]["code"] == "gpu-in-use"


def test_fault_28_a_host_that_stays_away_fails_with_its_state(site: Site) -> None:
    failed = prepare(
        site, "lost", "--passthrough", "A100", "--yes", "--reboot-timeout", "2", "-o", "json"
    )
    assert failed.code == 1
    assert "in maintenance mode (entered by vdl), and stays so" in failed.err
    assert failed.json["result"] == "failed"
    assert failed.json["state"]["connection"] == "notResponding"
    assert failed.json["state"]["maintenance_by_vdl"]


@pytest.mark.parametrize("signals", [1, 2])
def test_ctrl_c_while_the_host_reboots_says_where_it_stands(site: Site, signals: int) -> None:
    words = [VDL, "host", "prepare", "lost", "--passthrough", "A100", "--yes"]
    with subprocess.Popen(
        words, cwd=site.folder, env=site.env(), stderr=subprocess.PIPE, encoding="utf-8"
    ) as process:
        assert process.stderr is not None
        for line in process.stderr:
            if "wait for its return" in line and "started" in line:
                break
        for _ in range(signals):
            process.send_signal(signal.SIGINT)
        rest = process.stderr.read()
        assert process.wait(30) == 130, rest
    if signals == 1:
        assert "in maintenance mode (entered by vdl)" in rest
    again = prepare(site, "lost", "--passthrough", "A100", "--check")
    assert "1. wait for its return" in again.out


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ((), "either --passthrough MODEL|ADDRESS or --shared"),
        (("--shared", "--passthrough", "A100"), "either --passthrough MODEL|ADDRESS or --shared"),
        (("--passthrough", "A100", "--policy", "performance"), "go with --shared"),
        (("--passthrough", "H100"), "0000:3b:00.0 (A100-80)"),
        (("--shared",), "--yes"),
    ],
)
def test_wrong_usage_is_refused(site: Site, words: tuple[str, ...], said: str) -> None:
    host = () if said != "--yes" else ("--policy", "consolidation")
    refused = prepare(site, "esx-01", *words, *host)
    assert refused.code == 2
    assert said in refused.err
    assert prepare(site, "esx-99", "--shared").code == 2
