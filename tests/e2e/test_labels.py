"""Cards by hardware label, from setting the label to the VM that holds such a card."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pyVmomi import vim

from tests.e2e.site import Site, served
from tests.e2e.vcenter import administrator, vms
from tests.faults.apply_site import wait_for_task

FIRST, SECOND = "0000:3b:00.0", "0000:86:00.0"
WORLD = f"""
guests: none
DC0:
  templates: {{ubuntu-24.04: {{}}}}
  clusters:
    gpu:
      hosts:
        esx-01:
          cards:
            - {{model: A100-80, address: "{FIRST}", mode: passthrough}}
            - {{model: A100-80, address: "{SECOND}", mode: passthrough}}
  datastores: {{vsan: 20 TiB}}
"""


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    with served(tmp_path, WORLD) as site:
        yield site


def backing(site: Site, name: str) -> Any:
    with administrator(site) as content:
        devices = vms(content)[name].config.hardware.device
        return next(
            d.backing for d in devices if isinstance(d, vim.vm.device.VirtualPCIPassthrough)
        )


def blocked(site: Site, lab: Path) -> str:
    """Return the findings of a plan that says that no card has the label."""
    done = site.vdl("plan", lab)
    assert (done.code, "no card has the label fast" in done.out) == (3, True)
    return done.out


def test_a_label_is_set_asked_for_and_honoured(site: Site) -> None:
    lab = site.lab("tag", any={"gpu": {"passthrough": "A100"}}, fast={"gpu": _labelled("fast")})
    assert "host prepare HOST --passthrough MODEL --label fast" in blocked(site, lab)
    prepare = ("host", "prepare", "esx-01", lab, "--passthrough", FIRST, "--label", "fast")
    pending = site.vdl(*prepare, "--check")
    assert (pending.code, "set hardware labels: fast" in pending.out) == (10, True)
    assert "no reboot" in pending.out
    site.vdl(*prepare, "--yes").good()
    assert "Nothing to do" in site.vdl(*prepare, "--check").good().out
    shown = site.vdl("gpus", lab).good().out.splitlines()
    assert ["fast" in line for line in shown] == [False, True, False]
    assert [card["label"] for card in site.vdl("gpus", lab, "-o", "json").json["cards"]] == [
        "fast", None,
    ]  # fmt: skip
    site.vdl("provision", lab, "--yes").good()
    held = backing(site, "tag-fast-1")
    assert (held.customLabel, held.assignedId) == ("fast", FIRST)
    held = backing(site, "tag-any-1")
    assert (held.customLabel, held.assignedId) == (None, SECOND)
    rows = site.vdl("status", lab, "-o", "json").json["machines"]
    gpu = {row["machine"]: row["gpu"] for row in rows}
    assert gpu == {
        "tag-any-1": "A100-80 (passthrough)",
        "tag-fast-1": "A100-80 labelled fast (passthrough)",
    }
    assert site.vdl("plan", lab, "--check").good()
    refused = site.vdl("host", "prepare", "esx-01", lab, "--passthrough", FIRST, "--label", "x")
    assert (refused.code, "in use by tag-fast-1" in refused.out) == (3, True)


def test_a_vm_gets_no_card_with_another_label(site: Site) -> None:
    """What the simulator enforces: a label that left its card keeps a VM from starting."""
    lab = site.lab("tag", fast={"gpu": _labelled("fast")})
    one = ("--passthrough", FIRST, "--label")
    site.vdl("host", "prepare", "esx-01", lab, *one, "fast", "--yes").good()
    site.vdl("provision", lab, "--yes").good()
    with administrator(site) as content:
        vm = vms(content)["tag-fast-1"]
        wait_for_task(vm.PowerOff())
        system = vm.runtime.host.configManager.pciPassthruSystem
        system.UpdatePassthruConfig(
            [vim.host.PciPassthruConfig(id=FIRST, passthruEnabled=True, hardwareLabel="slow")]
        )
        with pytest.raises(AssertionError, match="InsufficientResources"):
            wait_for_task(vm.PowerOn())
    assert "labels there are: slow" in blocked(site, lab)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--shared", "--label", "fast"), "--label goes with --passthrough"),
        (("--passthrough", "A100", "--label", "$(id)"), "is no hardware label"),
    ],
)
def test_wrong_labels_are_refused(site: Site, words: tuple[str, ...], said: str) -> None:
    site.vdl("host", "prepare", "esx-01", site.lab("tag"), *words).refused(2, said)


def _labelled(label: str) -> dict[str, Any]:
    return {"passthrough": {"label": label}}
