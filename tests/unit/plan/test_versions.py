import pytest

from provision.plan.versions import DEVICE_GROUPS, has, most_pci_devices, newest_hardware


@pytest.mark.parametrize(
    ("api", "hardware", "devices"),
    [
        ("6.5", 13, 16),
        ("6.7.3", 15, 16),
        ("7.0.0.0", 17, 16),
        ("7.0.3.2", 19, 16),
        ("8.0.0.1", 20, 32),
        ("8.0.1.0", 20, 64),
        ("8.0.2.0", 21, 128),
        ("9.0.0.0", 22, 128),
    ],
)
def test_what_a_release_has(api: str, hardware: int, devices: int) -> None:
    assert newest_hardware(api) == hardware
    assert most_pci_devices(api, hardware) == devices
    assert has(api, DEVICE_GROUPS) is (hardware >= 20)


def test_a_vm_of_an_older_hardware_version_has_fewer_devices() -> None:
    assert most_pci_devices("8.0.3.0", 20) == 64
    assert most_pci_devices("8.0.0.0", 17) == 32


def test_a_host_that_tells_no_release_has_everything() -> None:
    assert newest_hardware("") is None
    assert most_pci_devices("unknown", 21) is None
    assert has("", DEVICE_GROUPS)
