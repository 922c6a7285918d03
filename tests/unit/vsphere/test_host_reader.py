"""What differs between releases and machines, and so is in no simulated world."""

from typing import Any

import pytest
from pyVmomi import vim

from provision.gpu.types import CardMode, VgpuMode
from provision.plan.snapshot import CardUse, VgpuProfileInfo
from provision.vsphere import host_reader
from provision.vsphere.collector import Found

ADDRESS = "0000:3b:00.0"
OTHER = "0000:86:00.0"
VM = vim.VirtualMachine("vm-7")
GIB = 2**30


def signed(number: int) -> int:
    return number - 0x10000 if number & 0x8000 else number


def pci(address: str = ADDRESS, **changes: int) -> Any:
    ids = {"vendorId": 0x10DE, "deviceId": 0x20B5, "classId": 0x0302} | changes
    return vim.host.PciDevice(
        id=address,
        bus=0,
        slot=0,
        function=0,
        subVendorId=0,
        subDeviceId=0,
        vendorName="v",
        deviceName="NVIDIA A100",
        **{name: signed(number) for name, number in ids.items()},
    )


def graphics(address: str = ADDRESS, kind: str = "sharedDirect", **more: Any) -> Any:
    return vim.host.GraphicsInfo(
        deviceName="A100",
        vendorName="NVIDIA",
        pciId=address,
        graphicsType=kind,
        memorySizeInKB=more.pop("kib", 80 * 2**20),
        **more,
    )


def host_default(kind: str) -> Any:
    return vim.host.GraphicsConfig(
        hostDefaultGraphicsType=kind, sharedPassthruAssignmentPolicy="performance"
    )


def read(
    vgpus: dict[str, list[str]] | None = None,
    held: dict[str, list[str]] | None = None,
    **values: Any,
) -> Any:
    properties = {path.replace("_", "."): value for path, value in values.items()}
    properties = {"hardware.pciDevice": [pci()], **properties}
    found = Found(vim.HostSystem("host-1"), properties)
    return host_reader.host(found, reserved=0, profiles=(), vgpus=vgpus or {}, held=held or {})


def sriov(address: str, functions: int) -> Any:
    return vim.host.SriovInfo(
        id=address, dependentDevice=address,
        passthruEnabled=False, passthruCapable=True, passthruActive=False,
        sriovEnabled=True, sriovCapable=True, sriovActive=True,
        numVirtualFunctionRequested=functions, numVirtualFunction=functions,
        maxVirtualFunctionSupported=functions,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("devices", "infos", "cards"),
    [
        # Two cards with virtual functions, whose slots and functions go on behind the card.
        (
            ["3b:00.0", "3b:00.4", "3b:00.7", "3b:01.0", "3b:02.3", "86:00.0", "86:00.4"],
            [],
            ["3b:00.0", "86:00.0"],
        ),
        # On the root's own bus only what the host says tells functions from cards.
        (["00:05.0", "00:06.0"], [], ["00:05.0", "00:06.0"]),
        (["00:05.0", "00:06.0"], [("00:05.0", 1)], ["00:05.0"]),
        # A card that has none now.
        (["3b:00.0", "86:00.0"], [("3b:00.0", 0)], ["3b:00.0", "86:00.0"]),
        # Nothing is at the place of a physical function: each is taken as it is.
        (["3b:01.0", "3b:02.0"], [], ["3b:01.0", "3b:02.0"]),
    ],
)
def test_virtual_functions_are_no_cards(
    devices: list[str], infos: list[tuple[str, int]], cards: list[str]
) -> None:
    found = read(
        hardware_pciDevice=[pci(f"0000:{address}") for address in devices],
        config_pciPassthruInfo=[sriov(f"0000:{address}", count) for address, count in infos],
    )
    assert [card.address.removeprefix("0000:") for card in found.cards] == cards


@pytest.mark.parametrize(
    ("ids", "is_card"),
    [
        ({}, True),
        ({"classId": 0x0300}, True),
        ({"deviceId": 0xA0B5}, True),  # negative as a signed number
        ({"vendorId": 0x8086}, False),
        ({"vendorId": 0x1002}, False),
        ({"classId": 0x0403}, False),  # the audio function of a graphics card
        ({"classId": 0x0680}, False),  # an NVSwitch
    ],
)
def test_only_nvidia_display_controllers_are_cards(ids: dict[str, int], *, is_card: bool) -> None:
    found = read(hardware_pciDevice=[pci(**ids)])
    assert bool(found.cards) is is_card
    for card in found.cards:
        assert card.device_id == ids.get("deviceId", 0x20B5)


@pytest.mark.parametrize(
    ("kind", "default", "mode"),
    [
        ("sharedDirect", "sharedDirect", CardMode.SHARED),
        ("shared", "shared", CardMode.SHARED),
        ("shared", "sharedDirect", CardMode.NONE),
        ("basic", "sharedDirect", CardMode.NONE),
        ("direct", "sharedDirect", CardMode.NONE),
    ],
)
def test_mode_of_a_card_that_is_not_passed_through(kind: str, default: str, mode: CardMode) -> None:
    found = read(
        config_graphicsInfo=[graphics(kind=kind)], config_graphicsConfig=host_default(default)
    )
    assert found.cards[0].mode is mode


def passthru(*, enabled: bool, active: bool) -> Any:
    return vim.host.PciPassthruInfo(
        id=ADDRESS,
        dependentDevice=ADDRESS,
        passthruEnabled=enabled,
        passthruCapable=True,
        passthruActive=active,
    )


@pytest.mark.parametrize("enabled", [True, False])
@pytest.mark.parametrize("active", [True, False])
def test_a_setting_that_waits_for_a_reboot_is_seen_in_both_directions(
    *, enabled: bool, active: bool
) -> None:
    (card,) = read(config_pciPassthruInfo=[passthru(enabled=enabled, active=active)]).cards
    assert (card.mode is CardMode.PASSTHROUGH) is enabled
    assert card.passthrough_active is (enabled == active)


def test_a_host_without_graphics_facts_has_cards_that_nothing_is_known_of() -> None:
    (card,) = read().cards
    assert (card.mode, card.vgpu_mode, card.uses) == (CardMode.NONE, VgpuMode.SAME_SIZE, ())
    assert card.framebuffer == 80 * GIB  # from the catalogue
    assert card.numa_node is None


def test_a_mode_that_this_version_does_not_know_is_taken_for_the_usual_one() -> None:
    (card,) = read(config_graphicsInfo=[graphics(vgpuMode="none")]).cards
    assert card.vgpu_mode is VgpuMode.SAME_SIZE


def binding(**names: Any) -> Any:
    return vim.host.AssignableHardwareBinding(**{"instanceId": "x", "vm": VM, **names})


@pytest.mark.parametrize(
    "facts",
    [
        {"config_assignableHardwareBinding": [binding(pciId=ADDRESS)]},
        {"config_assignableHardwareBinding": [binding(instanceId=f"pci:{ADDRESS}")]},
        {"config_graphicsInfo": [graphics(kind="direct", vm=[VM])]},
        {"held": {"vm-7": [ADDRESS]}},
    ],
    ids=["binding with address", "binding without", "graphics info", "backing"],
)
def test_whoever_tells_of_a_passed_through_card_is_believed(facts: dict[str, Any]) -> None:
    (card,) = read(config_pciPassthruInfo=[passthru(enabled=True, active=True)], **facts).cards
    assert card.uses == (CardUse("vm-7"),)


def test_a_binding_of_another_device_is_none_of_a_cards() -> None:
    (card,) = read(config_assignableHardwareBinding=[binding(pciId="0000:12:00.0")]).cards
    assert card.uses == ()


def test_vgpus_are_dealt_out_over_the_cards_of_their_vm() -> None:
    found = read(
        {"vm-7": ["grid_a100d-20c", "grid_a100d-20c", "grid_a100d-20c"]},
        hardware_pciDevice=[pci(), pci(OTHER)],
        config_graphicsInfo=[graphics(vm=[VM]), graphics(OTHER, vm=[VM])],
    )
    assert [len(card.uses) for card in found.cards] == [2, 1]
    assert {use.profile for card in found.cards for use in card.uses} == {"grid_a100d-20c"}


def test_a_vgpu_is_no_whole_card_though_it_is_bound_too() -> None:
    (card,) = read(
        {"vm-7": ["grid_a100d-20c"]},
        config_graphicsInfo=[graphics(vm=[VM])],
        config_assignableHardwareBinding=[binding(pciId=ADDRESS)],
    ).cards
    assert card.uses == (CardUse("vm-7", "grid_a100d-20c"),)


def test_profiles_are_sized_by_the_cluster_or_else_by_the_catalogue() -> None:
    found = Found(
        vim.HostSystem("host-1"),
        {"config.sharedPassthruGpuTypes": ["grid_a100d-10c", "grid_new-7c", "grid_odd"]},
    )
    known = (VgpuProfileInfo("grid_new-7c", 7 * GIB), VgpuProfileInfo("grid_a100d-10c", 0))
    host = host_reader.host(found, reserved=0, profiles=known, vgpus={}, held={})
    assert {profile.name: profile.framebuffer // GIB for profile in host.profiles} == {
        "grid_a100d-10c": 10,
        "grid_new-7c": 7,
        "grid_odd": 0,
    }
