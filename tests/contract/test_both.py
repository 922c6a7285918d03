"""The same cases on vdl's simulator and on VMware's: what each answers is in data files.

Where both answer alike, an entry has `both`. Where they differ, it has `vdl` and `vcsim`, and
`decided_by` names the document after which vdl's simulator is right, `declares` the fault that a
method declares, which `test_ours.py` looks up; with `not_comparable` instead, it says what vcsim
does not have. Both run every case, so that a vcsim which learns something shows here.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager

import pytest

from tests.contract.cases import CASES, expected
from tests.contract.site import Site, answer, build_vcsim, vcsim, vdl

SERVICES: dict[str, Callable[[], AbstractContextManager[Site]]] = {"vdl": vdl, "vcsim": vcsim}


@pytest.fixture(scope="session", autouse=True)
def built() -> None:
    build_vcsim()


@pytest.mark.parametrize("service", SERVICES)
@pytest.mark.parametrize("name", sorted(CASES))
def test_case(name: str, service: str) -> None:
    with SERVICES[service]() as site:
        assert answer(CASES[name], site) == expected(name, service)
