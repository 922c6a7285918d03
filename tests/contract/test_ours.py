"""The cases of the contract on vdl's simulator alone, which needs nothing but Python."""

from __future__ import annotations

import pytest
from pyVmomi import vim, vmodl
from pyVmomi.VmomiSupport import GetVmodlType, GetWsdlMethod

from tests.contract.cases import CASES, EXPECTED, expected
from tests.contract.site import answer, vdl


def test_every_case_has_its_answer_and_every_answer_its_case() -> None:
    assert sorted(CASES) == sorted(EXPECTED)


@pytest.mark.parametrize("name", [n for n, e in EXPECTED.items() if "both" not in e])
def test_every_difference_is_real_and_has_its_reason(name: str) -> None:
    entry = EXPECTED[name]
    assert entry["vdl"] != entry["vcsim"]
    assert len(entry.keys() & {"decided_by", "not_comparable"}) == 1


@pytest.mark.parametrize("name", [n for n, e in EXPECTED.items() if "declares" in e])
def test_a_fault_that_decides_is_declared_by_its_method(name: str) -> None:
    """pyVmomi carries each method's declared faults, as the API's own definition has them."""
    for method, fault in EXPECTED[name]["declares"].items():
        declared = GetWsdlMethod("urn:vim25", method).info.faults
        kinds = tuple(GetVmodlType(kind) for kind in declared)
        assert issubclass(fault_type(fault), kinds), (method, declared)


def fault_type(name: str) -> type:
    """Return a fault by its short name, from whichever of the API's packages it is in."""
    packages = (vim.fault, vmodl.fault, vmodl.query)
    return next(getattr(package, name) for package in packages if hasattr(package, name))


@pytest.mark.parametrize("name", sorted(CASES))
def test_case(name: str) -> None:
    with vdl() as site:
        assert answer(CASES[name], site) == expected(name, "vdl")
