from pathlib import Path
from typing import Any

import pytest
import yaml
from pyVmomi import vim

from provision.vsphere import guest
from provision.vsphere.port import GuestReport

CASES = yaml.safe_load(
    (Path(__file__).parents[2] / "data" / "vsphere" / "addresses.yaml").read_text()
)


def values(nics: list[dict[str, Any]], **extra: str) -> dict[str, Any]:
    return {
        "guest.toolsRunningStatus": "guestToolsRunning",
        "guest.net": [
            vim.vm.GuestInfo.NicInfo(
                connected=True, deviceConfigId=nic["device"], ipAddress=nic["addresses"]
            )
            for nic in nics
        ],
        "config.extraConfig": [
            vim.option.OptionValue(key=f"guestinfo.vdl.{key}", value=value)
            for key, value in extra.items()
        ],
    }


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["name"])
def test_fault_29_only_addresses_that_lead_to_the_guest_count(case: dict[str, Any]) -> None:
    told = guest.report(values(case["nics"]), simulated=case.get("simulated", False))
    assert list(told.addresses) == case["usable"]


ONE = [{"device": 4000, "addresses": ["192.0.2.7"]}]


def test_an_address_counts_only_while_tools_run() -> None:
    stopped = values(ONE) | {"guest.toolsRunningStatus": "guestToolsNotRunning"}
    assert guest.report(stopped, simulated=False).addresses == ()


def test_the_primary_address_will_do_where_tools_list_no_interfaces() -> None:
    primary = values([]) | {"guest.ipAddress": "192.0.2.8"}
    assert guest.report(primary, simulated=False).addresses == ("192.0.2.8",)


def test_host_keys_and_port_are_what_the_guest_publishes() -> None:
    published = values(ONE, hostkeys="ssh-ed25519 AAAA; ssh-rsa BBBB ;", ssh_port="2222")
    assert guest.report(published, simulated=True) == GuestReport(
        ("192.0.2.7",), ("ssh-ed25519 AAAA", "ssh-rsa BBBB"), 2222
    )


@pytest.mark.parametrize("port", ["", "ssh", "-1"])
def test_a_port_that_is_none_is_the_usual_one(port: str) -> None:
    assert guest.report(values(ONE, ssh_port=port), simulated=False).ssh_port == 22


def test_benchmark_addresses_lead_nowhere() -> None:
    assert guest.nowhere(["198.18.0.1", "198.19.255.1"])
    assert not guest.nowhere(["198.18.0.1", "127.0.0.9"])
    assert not guest.nowhere(["2001:db8::1"])
