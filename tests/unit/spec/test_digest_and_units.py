import pytest

from provision.spec.model import Lab, Machine
from provision.spec.units import Size

LAB = {
    "lab": "vroom",
    "vcenter": {"datacenter": "DC0", "cluster": "gpu", "datastore": "vsan"},
    "template": "ubuntu-24.04",
    "guest": {"ssh_key": "ssh-ed25519 AAAA"},
    "machines": {"shared": {"gpu": {"vgpu": "grid_a100d-10c", "count": 2}, "cpus": 2}},
}


def turned(value: object) -> object:
    """Return the same mapping with every order of keys reversed."""
    if isinstance(value, dict):
        return {key: turned(value[key]) for key in reversed(value)}
    return value


def machine(**changes: object) -> Machine:
    return Lab.model_validate(LAB).resolve()[0].model_copy(update=changes)


def test_the_digest_does_not_depend_on_the_order_of_keys() -> None:
    other = Lab.model_validate(turned(LAB)).resolve()[0]
    assert other.digest == machine().digest


def test_the_digest_of_a_release_stays() -> None:
    # A changed digest makes every VM of every lab look outdated; change it knowingly.
    assert machine().digest == "9bbd3e40de1f41a8da1ea70354b2099fce3d7ea8d08e4f376ad5a50133594987"


def test_the_digest_survives_a_round_trip_through_json() -> None:
    assert Machine.model_validate_json(machine().model_dump_json()).digest == machine().digest


@pytest.mark.parametrize(
    "change",
    [
        {"cpus": 3},
        {"memory": Size.gib(17)},
        {"disk": Size.gib(41)},
        {"gpu": None},
        {"template": "other"},
        {"network": "other"},
        {"user": "other"},
        {"ssh_key": "other"},
        {"index": 2},
    ],
)
def test_the_digest_changes_with_everything_that_is_asked_for(change: dict[str, object]) -> None:
    assert machine(**change).digest != machine().digest


@pytest.mark.parametrize("wish", [{"together": True}, {"spread": True}, {"host": "esx-02"}])
def test_where_a_machine_goes_does_not_change_what_it_is(wish: dict[str, object]) -> None:
    assert machine(**wish).digest == machine().digest


def test_equal_sizes_in_other_units_are_no_change() -> None:
    assert Size.parse("2 GiB") == Size.parse("2048 MiB") == Size.parse("2GiB")
    assert (
        machine(memory=Size.parse("2 GiB")).digest == machine(memory=Size.parse("2048 MiB")).digest
    )


@pytest.mark.parametrize(
    ("text", "mib", "shown"),
    [
        ("32 GiB", 32768, "32 GiB"),
        ("1.5 TiB", 1572864, "1536 GiB"),
        ("512MiB", 512, "512 MiB"),
        ("32 GB", 30517, "30517 MiB"),
        ("0.5 GiB", 512, "512 MiB"),
    ],
)
def test_size(text: str, mib: int, shown: str) -> None:
    size = Size.parse(text)
    assert (size.mib, str(size), size % 2**20) == (mib, shown, 0)
    assert Size.parse(str(size)) == size


@pytest.mark.parametrize(
    "text",
    ["32", "GiB", "32 gib", "-1 GiB", "1e3 GiB", "32 GiB\n", "٣ GiB", "9" * 400 + " TiB", 32, None],
)
def test_no_size(text: object) -> None:
    with pytest.raises(ValueError, match="a number and a unit"):
        Size.parse(text)
