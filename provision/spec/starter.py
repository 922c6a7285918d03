"""The commented lab file that `vdl init` writes."""

from __future__ import annotations

from importlib import resources

STARTER = resources.files("provision.spec").joinpath("starter.lab.yaml").read_text("utf-8")
"""Text of the file; every line of it is valid once the names fit the site."""
