"""Reads a world file (`*.world.yaml`) and says where it is wrong, all at once."""

from __future__ import annotations

import difflib
from collections.abc import Iterator
from importlib import resources
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from provision.errors import SpecError
from provision.gpu.catalogue import catalogue
from provision.simulator.ages import too_new
from provision.simulator.marked import Document, Problem
from provision.simulator.worldmodel import (
    CardBlock,
    Cluster,
    Datacenter,
    GpuRequest,
    Host,
    Template,
    VCenter,
    Vm,
    World,
    expand,
)

RESERVED = frozenset({"vcenter", "latency", "faults", "guests"})
MAX_BYTES = 16 * 2**20
MAX_SHOWN = 20

Path_ = tuple[str | int, ...]


def read(path: Path | None) -> World:
    """Read a world file; None is the demonstration world that comes with vdl.

    Raises:
        SpecError: The file can't be read or is wrong; every reason has a line and a column.
    """
    if path is None:
        demo = resources.files("provision.simulator") / "worlds" / "demo.world.yaml"
        return parse(demo.read_text(encoding="utf-8"), "demo.world.yaml")
    try:
        content = path.read_bytes()
    except OSError as error:
        raise SpecError(
            "the world file can't be read",
            subject=str(path),
            why=error.strerror,
            fix="name a world file, or none for the demonstration world",
        ) from error
    if len(content) > MAX_BYTES:
        raise SpecError("the world file is too large", subject=str(path), why=f"{MAX_BYTES} bytes")
    try:
        text = content.decode("utf-8")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        problem = Problem(line, 1, "this is no UTF-8 text")
        raise _wrong(str(path), [problem]) from error
    return parse(text, str(path))


def parse(text: str, source: str = "world file") -> World:
    """Read a world from text; `source` is what messages call it.

    Raises:
        SpecError: The text is wrong; every reason has a line and a column.
    """
    try:
        document = Document(text)
    except Problem as problem:
        raise _wrong(source, [problem]) from problem
    if not isinstance(document.data, dict):
        raise _wrong(source, [Problem(1, 1, "a world file is a mapping of keys to values")])
    try:
        world = World.model_validate(_sorted_out(document.data))
    except ValidationError as error:
        raise _wrong(source, [_located(document, e) for e in error.errors()]) from error
    problems = [Problem(*document.place(at), message) for at, message in _contradictions(world)]
    if problems:
        raise _wrong(source, problems)
    return world


def from_data(data: dict[str, Any]) -> World:
    """Read a world from plain values, as tests write them.

    Raises:
        SpecError: The values are wrong; every reason has its path.
    """
    try:
        world = World.model_validate(_sorted_out(data))
    except ValidationError as error:
        why = "\n".join(f"{_dotted(e['loc'])}: {e['msg']}" for e in error.errors())
        raise SpecError("the world is wrong", why=why) from error
    if problems := [f"{_dotted(at)}: {message}" for at, message in _contradictions(world)]:
        raise SpecError("the world is wrong", why="\n".join(problems))
    return world


def _dotted(path: Path_) -> str:
    return ".".join(map(str, path))


def _sorted_out(data: dict[str, Any]) -> dict[str, Any]:
    known = {key: value for key, value in data.items() if key in RESERVED}
    rest = {key: value or {} for key, value in data.items() if key not in RESERVED}
    return {**known, "datacenters": rest}


def _wrong(source: str, problems: list[Problem]) -> SpecError:
    problems.sort(key=lambda p: (p.line, p.column))
    shown = [f"{source}:{p.line}:{p.column}: {p.message}" for p in problems[:MAX_SHOWN]]
    if len(problems) > MAX_SHOWN:
        shown.append(f"and {len(problems) - MAX_SHOWN} more")
    return SpecError(
        "the world file is wrong",
        subject=source,
        why="\n       ".join(shown),
        fix="correct the lines named above",
    )


def _located(document: Document, error: Any) -> Problem:
    path = tuple(step for step in error["loc"] if step != "datacenters")
    unknown = error["type"] == "extra_forbidden"
    message = error["msg"].removeprefix("Value error, ")
    if unknown:
        message = f"unknown key {path[-1]!r}{_suggestion(path)}"
    elif error["type"] == "missing":
        message = f"the key {path[-1]!r} is missing"
    return Problem(*document.place(path, key=unknown), message)


def _suggestion(path: Path_) -> str:
    entries = (Cluster, CardBlock, Datacenter, GpuRequest, Host, Template, VCenter, Vm)
    names = {name for entry in entries for name in entry.model_fields}
    near = difflib.get_close_matches(str(path[-1]), names, n=1)
    return f"; did you mean {near[0]!r}?" if near else ""


def _contradictions(world: World) -> Iterator[tuple[Path_, str]]:
    """What no single value shows to be wrong: names that lead nowhere, things there twice."""
    for name, datacenter in world.datacenters.items():
        for cluster_name, cluster in datacenter.clusters.items():
            at: Path_ = (name, "clusters", cluster_name)
            yield from _wrong_hosts(at, datacenter, cluster)
            yield from _wrong_vms(at, datacenter, cluster)
        for template_name, template in datacenter.templates.items():
            at = (name, "templates", template_name)
            yield from _wrong_names(at, datacenter, template.datastore, template.network)
    yield from too_new(world)


def _wrong_names(
    at: Path_, datacenter: Datacenter, datastore: str | None, network: str | None
) -> Iterator[tuple[Path_, str]]:
    if datastore is not None and datastore not in datacenter.datastores:
        yield (*at, "datastore"), f"there is no datastore {datastore!r}"
    if network is not None and network not in datacenter.every_network:
        yield (*at, "network"), f"there is no network {network!r}"


def _wrong_hosts(
    at: Path_, datacenter: Datacenter, cluster: Cluster
) -> Iterator[tuple[Path_, str]]:
    seen: set[str] = set()
    for key, host in cluster.hosts.items():
        where = (*at, "hosts", key)
        for name in expand(key):
            if name in seen:
                yield where, f"the host {name} is there twice"
            seen.add(name)
        for store in host.datastores or ():
            yield from _wrong_names((*where, "datastores"), datacenter, store, None)
        for network in host.networks or ():
            yield from _wrong_names((*where, "networks"), datacenter, None, network)
        yield from _wrong_cards(where, host)


def _wrong_cards(at: Path_, host: Host) -> Iterator[tuple[Path_, str]]:
    for index, block in enumerate(host.cards):
        model = catalogue().model(block.model)
        if model is None:
            near = [m.key for m in catalogue().matching(block.model)]
            known = near or [m.key for m in catalogue().models]
            yield (
                (*at, "cards", index, "model"),
                f"there is no card {block.model!r}; there is {', '.join(known)}",
            )
            continue
        for key, given, known in (
            ("device", block.device, [f"{number:04x}" for number in model.device_ids]),
            ("board", block.board, list(model.boards)),
        ):
            if given is not None and given not in known:
                message = f"{model.key} has no {key} {given!r}; it has {', '.join(known)}"
                yield (*at, "cards", index, key), message
    addresses = _addresses(host)
    for address in sorted({a for a in addresses if addresses.count(a) > 1}):
        yield (*at, "cards"), f"two cards have the address {address}"


def _addresses(host: Host) -> list[str]:
    return [address for address, _ in host.card_blocks()]


def _wrong_vms(at: Path_, datacenter: Datacenter, cluster: Cluster) -> Iterator[tuple[Path_, str]]:
    hosts = {name: host for key, host in cluster.hosts.items() for name in expand(key)}
    for key, vm in cluster.vms.items():
        where = (*at, "vms", key)
        yield from _wrong_names(where, datacenter, vm.datastore, vm.network)
        if not hosts:
            yield where, "a VM needs a host in its cluster"
        elif vm.host is None and vm.card:
            yield (*where, "card"), "a VM that names its card must name its host too"
        elif vm.host is not None and vm.host not in hosts:
            yield (*where, "host"), f"there is no host {vm.host!r} in this cluster"
        elif vm.host is not None:
            for address in sorted({*vm.card} - {*_addresses(hosts[vm.host])}):
                yield (*where, "card"), f"{vm.host} has no card at {address}"
        if vm.gpu and sum(map(bool, (vm.gpu.vgpu, vm.gpu.passthrough, vm.gpu.group))) != 1:
            yield (*where, "gpu"), "exactly one of vgpu, passthrough and group is needed"
