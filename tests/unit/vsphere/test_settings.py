import pytest
from pydantic import SecretStr

from provision.errors import UsageError
from provision.vsphere.settings import ConnectionSettings

DIGITS = "ab" * 32


def settings(server: str = "vcsa.example.com", thumbprint: str | None = None) -> ConnectionSettings:
    return ConnectionSettings(server, "me", SecretStr("s3cret"), thumbprint=thumbprint)


@pytest.mark.parametrize(
    ("server", "host", "port"),
    [
        ("vcsa.example.com", "vcsa.example.com", 443),
        ("vcsa.example.com:8443", "vcsa.example.com", 8443),
        ("192.0.2.1:444", "192.0.2.1", 444),
        ("[2001:db8::1]", "2001:db8::1", 443),
        ("[2001:db8::1]:8443", "2001:db8::1", 8443),
    ],
)
def test_a_server_may_name_its_port(server: str, host: str, port: int) -> None:
    found = settings(server)
    assert (found.host, found.port) == (host, port)


@pytest.mark.parametrize(
    "server",
    ["", "https://vcsa", "vcsa/sdk", "vcsa:port", "vcsa:99999", "vcsa:0", "me@vcsa", "a b", "[::1"],
)
def test_what_can_be_no_server_is_refused(server: str) -> None:
    with pytest.raises(UsageError, match="is no server"):
        settings(server)


@pytest.mark.parametrize("text", [DIGITS, DIGITS.upper(), ":".join([DIGITS[:2]] * 32)])
def test_a_thumbprint_may_have_colons_and_capitals(text: str) -> None:
    assert settings(thumbprint=text).pin == DIGITS


@pytest.mark.parametrize("text", ["", "ab" * 20, "xy" * 32, DIGITS + "a"])
def test_what_can_be_no_sha_256_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="no SHA-256"):
        settings(thumbprint=text)


def test_the_password_shows_nowhere() -> None:
    assert "s3cret" not in repr(settings()) + str(settings())
