"""Ansible inventory plugin: the guests of a lab, read from vCenter by vdl itself."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ansible.errors import AnsibleParserError
from ansible.plugins.inventory import BaseInventoryPlugin, Cacheable, Constructable

DOCUMENTATION = """
name: machines
short_description: Guests of a vdl lab
description:
  - Reads the lab's VMs from vCenter, in a few round trips, and the SSH host keys that they publish.
  - Names of sources end with C(.vdl.yml) or C(.vdl.yaml).
  - Groups are C(vdl), C(lab_NAME), C(group_MACHINE_GROUP), C(gpu_MODE) and C(model_CARD).
  - Needs vdl in the Python that runs Ansible; with C(pip install vdl), Ansible finds it there.
extends_documentation_fragment: [constructed, inventory_cache]
options:
  plugin:
    description: The name of this plugin.
    required: true
    choices: [vdl.lab.machines]
  lab:
    description: The lab file, relative to this source.
    type: str
    required: true
  state:
    description: >-
      Folder for the lab's known_hosts, relative to this source. Left out, it is where vdl itself
      keeps it, beside the lab file.
    type: str
  server:
    description: The vCenter. Left out, the one that the lab file names.
    env: [{name: VDL_SERVER}]
  username:
    description: Who logs in.
    env: [{name: VDL_USERNAME}]
  password_file:
    description: >-
      File that holds the password. Without it, VDL_PASSWORD and the keyring are looked at.
    type: path
    env: [{name: VDL_PASSWORD_FILE}]
  ca_file:
    description: Certificate authorities to trust instead of the system's.
    type: path
    env: [{name: VDL_CA_FILE}]
  thumbprint:
    description: SHA-256 of the server's certificate.
    env: [{name: VDL_THUMBPRINT}]
"""

EXAMPLES = """
plugin: vdl.lab.machines
lab: lab.yaml
username: reader@vsphere.local
password_file: /run/secrets/vcenter
keyed_groups:
  - {key: vdl_host, prefix: esx}
"""

SUFFIXES = (".vdl.yml", ".vdl.yaml")


class InventoryModule(BaseInventoryPlugin, Constructable, Cacheable):
    """Connects, and hands over what `provision.guests` makes of the VMs."""

    NAME = "vdl.lab.machines"

    def verify_file(self, path: str) -> bool:
        """Whether a source is meant for this plugin."""
        return path.endswith(SUFFIXES) and super().verify_file(path)

    def parse(self, inventory: Any, loader: Any, path: str, cache: bool = True) -> None:  # noqa: FBT001, FBT002 - Ansible's own signature
        """Read the source, then the cache or vCenter.

        Raises:
            AnsibleParserError: The lab or vCenter can't be read; its message says why.
        """
        super().parse(inventory, loader, path, cache)
        self._read_config_data(path)
        key, caching = self.get_cache_key(path), self.get_option("cache")
        content = self._cache.get(key) if caching and cache else None
        if content is None:
            content = self._fetch(Path(path).parent)
            if caching:
                self._cache[key] = content
        self._fill(content)

    def _fetch(self, base: Path) -> dict[str, Any]:
        try:
            from provision.errors import VdlError  # noqa: PLC0415 - its absence is reported
        except ImportError as error:
            raise AnsibleParserError(f"vdl is not installed beside Ansible: {error}") from error
        try:
            return self._read(base)
        except VdlError as error:
            raise AnsibleParserError(error.text()) from error

    def _read(self, base: Path) -> dict[str, Any]:
        # Late, so that the reason above can be given, and --help stays quick.
        from provision.cli.connect import vcenter_of  # noqa: PLC0415
        from provision.cli.options import VCenterOptions  # noqa: PLC0415
        from provision.guests.configure import reach_guests, state_folder  # noqa: PLC0415
        from provision.spec.reader import load_lab  # noqa: PLC0415

        lab_file = base / Path(self.get_option("lab")).expanduser()
        lab = load_lab(lab_file)
        names = ("server", "username", "password_file", "ca_file", "thumbprint")
        values = {name: self.get_option(name) for name in names}
        paths = {name: values[name] and Path(values[name]) for name in ("password_file", "ca_file")}
        with vcenter_of(lab, VCenterOptions(**(values | paths))) as vcenter:
            snapshot = vcenter.snapshot(lab)
        state = self.get_option("state")
        guests = reach_guests(
            lab,
            snapshot.vms,
            base / Path(state).expanduser() if state else state_folder(lab_file, lab),
            hosts=snapshot.hosts,
            simulated=snapshot.vcenter.simulated,
        )
        for machine, reason in guests.left_out.items():
            self.display.warning(f"{machine} is left out: {reason}")
        for machine in guests.renewed:
            self.display.warning(f"{machine} was made anew and has a new SSH host key")
        return guests.inventory

    def _fill(self, found: dict[str, Any]) -> None:
        """Hand the inventory over. Ansible takes no text that comes this way for a template."""
        for name, group in found.items():
            if name not in {"_meta", "all"}:
                self.inventory.add_group(name)
                for host in group["hosts"]:
                    self.inventory.add_host(host, group=name)
                for variable, value in group.get("vars", {}).items():
                    self.inventory.set_variable(name, variable, value)
        for host, variables in found["_meta"]["hostvars"].items():
            for variable, value in variables.items():
                self.inventory.set_variable(host, variable, value)
            self._construct(host)

    def _construct(self, host: str) -> None:
        strict = self.get_option("strict")
        variables = self.inventory.get_host(host).get_vars()
        self._set_composite_vars(self.get_option("compose"), variables, host, strict=strict)
        variables = self.inventory.get_host(host).get_vars()
        self._add_host_to_composed_groups(self.get_option("groups"), variables, host, strict)
        self._add_host_to_keyed_groups(self.get_option("keyed_groups"), variables, host, strict)
