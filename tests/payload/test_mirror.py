"""Fetching data from a mirror, over real HTTP and HTTPS."""

import gzip
import hashlib
import io
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from payload.data import dataset as data
from payload.data import files, mirror
from payload.errors import DataUnusable
from payload.settings import Settings
from provision.simulator.engine.certificates import make_identity
from tests.payload.mirror import Mirror, serving

CONTENT = bytes(range(256)) * 40
DIGEST = hashlib.sha256(CONTENT).hexdigest()
EXPECTED = {"a.npz": DIGEST}


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache of the test's own, and no proxy of the machine's."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    return tmp_path / "cache/vdl/data"


@pytest.fixture
def served() -> Iterator[Mirror]:
    with serving({"/d/a.npz": CONTENT}) as made:
        yield made


def kept(cache: Path) -> list[str]:
    return [path.name for path in cache.rglob("*") if path.is_file()]


def test_a_file_is_fetched_once(served: Mirror, cache: Path) -> None:
    first = mirror.fetch(f"{served.url}/d", "a.npz", EXPECTED)
    assert first.read_bytes() == CONTENT
    assert mirror.fetch(f"{served.url}/d/", "a.npz", EXPECTED) == first
    assert served.asked == ["/d/a.npz"]
    assert first.is_relative_to(cache)


def test_a_damaged_file_of_the_cache_is_fetched_again(served: Mirror) -> None:
    mirror.fetch(f"{served.url}/d", "a.npz", EXPECTED).write_bytes(b"damaged")
    assert mirror.fetch(f"{served.url}/d", "a.npz", EXPECTED).read_bytes() == CONTENT


@pytest.mark.parametrize(
    ("fault", "limits", "says"),
    [
        ({"files": {}}, {}, "the mirror answers 404 Not Found"),
        ({"files": {"/d/a.npz": b"another"}}, {}, f"expected {DIGEST}"),
        ({"cut": 1000}, {}, "ended after 1000 of 10240 bytes"),
        ({}, {"size": 5000}, "longer than 5000 bytes"),
        ({"delay": 0.3}, {"answer": 0.1}, "no answer for 0 s"),
        ({"delay": 0.05}, {"whole": 0.2}, "not here after 0 s"),
    ],
    ids=["absent", "another", "cut", "large", "silent", "slow"],
)
def test_fault_41_a_file_that_is_not_what_was_asked_for_is_not_kept(
    served: Mirror, cache: Path, fault: dict[str, Any], limits: dict[str, Any], says: str
) -> None:
    for name, value in fault.items():
        setattr(served, name, value)
    with pytest.raises(DataUnusable, match=says) as refused:
        mirror.fetch(f"{served.url}/d", "a.npz", EXPECTED, limits=mirror.Limits(**limits))
    assert f"{served.url}/d/a.npz" in str(refused.value)
    assert kept(cache) == []


def test_fault_41_a_mirror_that_is_away_is_an_error(served: Mirror) -> None:
    url = served.url.rpartition(":")[0] + ":1/d"
    with pytest.raises(DataUnusable, match=r"can't be fetched: .*refused"):
        mirror.fetch(url, "a.npz", EXPECTED)


def test_a_file_without_a_checksum_is_not_asked_for(served: Mirror) -> None:
    with pytest.raises(DataUnusable, match=r"no checksum is known for b\.npz"):
        mirror.fetch(f"{served.url}/d", "b.npz", EXPECTED)
    assert served.asked == []


def test_a_cache_that_cannot_be_written_is_an_error(
    served: Mirror, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    with pytest.raises(DataUnusable, match="can't be written"):
        mirror.fetch(f"{served.url}/d", "a.npz", EXPECTED)


def test_https_is_verified_against_authorities_from_the_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    identity = make_identity("127.0.0.1", tmp_path / "tls")
    with serving({"/a.npz": CONTENT}, identity.context) as served:
        with pytest.raises(DataUnusable, match=r"verify failed.*SSL_CERT_FILE"):
            mirror.fetch(served.url, "a.npz", EXPECTED)
        assert served.asked == []
        monkeypatch.setenv("SSL_CERT_FILE", str(identity.ca_file))
        assert mirror.fetch(served.url, "a.npz", EXPECTED).read_bytes() == CONTENT


def test_a_redirection_is_followed_but_not_out_of_https(
    served: Mirror, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    identity = make_identity("127.0.0.1", tmp_path / "tls")
    monkeypatch.setenv("SSL_CERT_FILE", str(identity.ca_file))
    with serving({}, identity.context) as first:
        first.redirect = f"{served.url}/d/a.npz"
        with pytest.raises(DataUnusable, match="leads from HTTPS to http:"):
            mirror.fetch(first.url, "a.npz", EXPECTED)
    with serving({}) as plain:
        plain.redirect = f"{served.url}/d/a.npz"
        assert mirror.fetch(plain.url, "a.npz", EXPECTED).read_bytes() == CONTENT


def test_a_proxy_comes_from_the_environment(
    served: Mirror, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("http_proxy", served.url)
    assert mirror.fetch("http://elsewhere/d", "a.npz", EXPECTED).read_bytes() == CONTENT
    assert served.asked == ["http://elsewhere/d/a.npz"]


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("https://u:secret@mirror/x", "no user name"),
        ("https:///x", "no host"),
        ("https://mirror:99999/x", "Port out of range"),
        ("https://mirror/x?token=1", "without"),
        ("https://mirror/mnist/", None),
    ],
)
def test_an_address_is_checked(url: str, says: str | None) -> None:
    assert mirror.is_url(url)
    found = mirror.problem(url)
    assert found is None if says is None else says in str(found)


def test_no_other_scheme_is_taken_for_a_mirror() -> None:
    assert not mirror.is_url("file:///etc/passwd")
    assert not mirror.is_url("/data/https:/x")


def test_mnist_is_trained_on_from_a_mirror(
    idx_folder: Callable[..., Path], write_checksums: Callable[[Path], Path]
) -> None:
    folder = idx_folder(packed=True)
    served = {f"/mnist/{path.name}": path.read_bytes() for path in folder.iterdir()}
    with serving(served) as made:
        url = f"{made.url}/mnist/"
        settings = Settings("mnist", 8, data=url, checksums=write_checksums(folder))
        found = data.load(settings)
    assert found.describe()["path"] == url
    assert len(found.sha256) == 4
    assert len(found.train) == 40


def test_fault_41_fashion_mnist_from_a_mirror_is_not_taken_for_mnist(
    idx_folder: Callable[..., Path],
) -> None:
    served = {f"/{path.name}": path.read_bytes() for path in idx_folder(packed=True).iterdir()}
    with serving(served) as made, pytest.raises(DataUnusable, match="440fcabf73cc"):
        data.load(Settings("mnist", 8, data=made.url))


def test_an_archive_of_a_mirror_is_read(tmp_path: Path) -> None:
    images, labels = np.zeros((9, 28, 28), np.uint8), np.zeros(9, np.uint8)
    file = io.BytesIO()
    np.savez(file, x_train=images, y_train=labels, x_test=images, y_test=labels)
    sums = tmp_path / "SHA256SUMS"
    sums.write_text(f"{hashlib.sha256(file.getvalue()).hexdigest()}  own.npz\n")
    with serving({"/x/own.npz": file.getvalue()}) as made:
        found = files.load_mirror(f"{made.url}/x/own.npz", sums)
    assert found.train[0].shape == (9, 28, 28, 1)


def test_keras_cache_is_read_from_where_keras_keeps_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    assert data.keras_cache() == tmp_path / "datasets/mnist.npz"
    with pytest.raises(DataUnusable, match=r"datasets/mnist\.npz: no such file or folder"):
        data.load(Settings("mnist", 8, data="keras"))
    (tmp_path / "datasets").mkdir()
    (tmp_path / "datasets/mnist.npz").write_bytes(gzip.compress(b"another"))
    with pytest.raises(DataUnusable, match=r"expected 731c5ac602752760"):
        data.load(Settings("mnist", 8, data="keras"))
