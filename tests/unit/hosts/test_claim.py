"""The note on the host, as text and back."""

import pytest

from provision.vsphere.host_claim import claim_of, text_of
from provision.vsphere.host_port import Claim
from tests.unit.hosts.states import BOOTED, NOW


@pytest.mark.parametrize("claim", [Claim(), Claim(NOW), Claim(booted=BOOTED), Claim(NOW, BOOTED)])
def test_a_claim_survives_being_written(claim: Claim) -> None:
    assert claim_of(text_of(claim)) == claim


@pytest.mark.parametrize(
    "text", ["", "hands off", "maintenance=yesterday", "maintenance=2026-03-01T12:00:00"]
)
def test_what_vdl_did_not_write_claims_nothing(text: str) -> None:
    assert claim_of(text) == Claim()
