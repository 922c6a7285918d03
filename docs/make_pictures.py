"""Draw the pictures of docs/placement.md: cards, their slots, and which machine sits where.

    python -m docs.make_pictures

What is drawn is what the planner says about cases of tests/data/plan; a test draws the pictures
again and compares.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from xml.sax.saxutils import escape

import yaml

from provision.gpu.catalogue import Profile, catalogue
from provision.gpu.mig import arrange
from provision.gpu.types import VgpuMode
from provision.plan.drift import request_text
from provision.plan.needs import VgpuNeed, framebuffer_mib, model_of, resolve
from provision.plan.planner import plan
from provision.plan.poweron import power_on_one
from provision.plan.shared import deck_of, shape_of
from provision.plan.snapshot import Card, Host, Snapshot
from provision.spec.model import Lab
from tests.unit.plan import worlds

HERE = Path(__file__).parent
CASES = HERE.parent / "tests" / "data" / "plan"
PICTURES = HERE / "pictures"

WIDTH, LEFT, CARD_WIDTH = 760, 196, 544
CARD_HEIGHT, CARD_STEP, HEAD, LINE = 44, 62, 34, 20
# Light enough for black letters, and told apart by people who see few colours.
COLOURS = ("#a6d4f2", "#f6cf8b", "#a8dcc3", "#f0b9d2", "#e9e39a")
STRANGER = "#c9c9c9"

# Who holds a vGPU, and its profile; by the card's address, in the order of arrival.
Holdings = dict[str, list[tuple[str, str]]]


@dataclass(frozen=True, slots=True)
class Panel:
    """A host with what its cards hold, and the machines that find no place on it."""

    title: str
    host: Host
    holdings: Holdings
    left_over: Sequence[str] = ()


def pictures() -> dict[str, str]:
    """Return every picture as SVG, by its file's name."""
    spread, fill = "worked-example-performance", "worked-example-consolidation"
    return {
        "placement-worked-example.svg": _svg(
            [
                _in_file_order("performance, powered on in the order of the file", spread),
                *_planned("performance, powered on in the order of the plan", spread),
                *_planned("consolidation", fill),
            ]
        ),
        "placement-locked-card.svg": _svg(_planned("consolidation, two cards in use", "one-lock")),
        "placement-mixed-size.svg": _svg(_planned("mixedSize", "mixed-size")),
        "placement-mig-slots.svg": _svg(_planned("MIG", "mig-slots")),
    }


def _case(name: str) -> tuple[Lab, Snapshot]:
    case = yaml.safe_load((CASES / f"{name}.yaml").read_text("utf-8"))
    lab = worlds.lab(case["lab"])
    return lab, worlds.snapshot(case["world"], lab)


def _held_now(host: Host, snapshot: Snapshot) -> Holdings:
    names = {vm.id: vm.name for vm in snapshot.vms}
    return {
        card.address: [(names[use.vm_id], use.profile or "") for use in card.uses]
        for card in host.cards
    }


def _planned(title: str, case: str) -> Iterator[Panel]:
    """Yield each host as it is when the plan of a case has been carried out."""
    lab, snapshot = _case(case)
    result = plan(lab, snapshot)
    left_over = [
        f"{action.machine.removeprefix('vroom-')} ({request_text(action.spec.gpu)}) finds no card"
        for action in result.actions
        if action.host is None and action.spec is not None
    ]
    for host in snapshot.hosts:
        held = _held_now(host, snapshot)
        number = 0
        for action in result.actions:
            mine = [choice for choice in action.cards if choice.host == host.name]
            number += bool(mine)
            for choice in mine:
                name = f"{number}. {action.machine.removeprefix('vroom-')}"
                held[choice.address].append((name, choice.profile or "passthrough"))
        yield Panel(f"{host.name}: {title}", host, held, left_over)


def _in_file_order(title: str, case: str) -> Panel:
    """Return the case's only host after power-ons in the order of the file, as the host chooses."""
    lab, snapshot = _case(case)
    [host] = snapshot.hosts
    held, deck, left_over = _held_now(host, snapshot), deck_of(host), []
    for number, machine in enumerate(lab.resolve(), 1):
        name = f"{number}. {machine.name.removeprefix('vroom-')}"
        need = resolve(machine.gpu, snapshot.hosts) if machine.gpu else None
        if not isinstance(need, VgpuNeed):
            raise TypeError(f"{machine.name} has no vGPU, so there is nothing to draw")
        result = power_on_one(deck, shape_of(need))
        if result is None:
            left_over.append(f"{name} ({need.profile.name}) is refused by the host")
            continue
        deck, picks = result
        for pick in picks:
            held[deck.loads[pick].address].append((name, need.profile.name))
    return Panel(f"{host.name}: {title}", host, held, left_over)


def _svg(panels: Sequence[Panel] | Iterator[Panel]) -> str:
    parts: list[str] = []
    y = 0
    for panel in panels:
        parts += _panel(panel, y)
        y += HEAD + CARD_STEP * len(panel.host.cards) + LINE * len(panel.left_over)
    height = y + 8
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" '
        f'width="{WIDTH}" height="{height}" font-family="sans-serif" font-size="12">'
    )
    ground = f'<rect width="{WIDTH}" height="{height}" fill="#ffffff"/>'
    return "\n".join([head, ground, *parts, "</svg>\n"])


def _panel(panel: Panel, top: int) -> Iterator[str]:
    yield _text(16, top + 22, panel.title, weight="bold")
    colours = _colours(panel)
    y = top + HEAD
    for card in sorted(panel.host.cards, key=lambda card: card.address):
        yield from _card(card, panel.holdings[card.address], colours, y)
        y += CARD_STEP
    for line in panel.left_over:
        yield _text(LEFT, y + 8, line, colour="#a01c1c")
        y += LINE


def _colours(panel: Panel) -> Mapping[str, str]:
    """Return a colour per profile, so that equal ones look equal on every card of the host."""
    names = sorted({profile for held in panel.holdings.values() for _, profile in held})
    return {name: COLOURS[n % len(COLOURS)] for n, name in enumerate(names)}


def _card(
    card: Card, held: Sequence[tuple[str, str]], colours: Mapping[str, str], y: int
) -> Iterator[str]:
    model = model_of(card)
    yield _text(16, y + 18, f"{model.key if model else card.name}, {card.vgpu_mode.value}")
    yield _text(16, y + 34, card.address, colour="#555555")
    yield _box(0, 1, y, "#ffffff", dashed=False)
    for number, (start, size) in enumerate(_slots(card, held)):
        yield _box(start, size, y, "none", dashed=True)
        if card.vgpu_mode is VgpuMode.MIG:
            middle = LEFT + (start + size / 2) * CARD_WIDTH
            yield _text(middle - 3, y + CARD_HEIGHT + 12, str(number), colour="#777777")
    for (name, profile), (start, size) in zip(held, _spans(card, held), strict=True):
        stranger = not name[0].isdigit()
        yield _box(start, size, y, STRANGER if stranger else colours[profile], dashed=False)
        x = LEFT + start * CARD_WIDTH + 5
        yield _text(x, y + 18, name)
        yield _text(x, y + 34, profile.partition("_")[2].partition("-")[2], colour="#333333")


def _profile(name: str) -> Profile:
    found = catalogue().profile(name)
    if found is None:
        raise LookupError(f"the catalogue has no profile {name}")
    return found[1]


def _spans(card: Card, held: Sequence[tuple[str, str]]) -> list[tuple[float, float]]:
    """Return where on its card each vGPU is drawn: start and size as parts of the card.

    MIG instances lie in their memory slots. Where a time-sliced vGPU lies in the framebuffer is
    the host's affair; here they stand side by side.
    """
    profiles = [_profile(name) for _, name in held]
    model = model_of(card)
    if card.vgpu_mode is VgpuMode.MIG and model is not None and model.mig is not None:
        shapes = tuple((p.compute_slices, p.memory_slices) for p in profiles)
        slots = model.mig.memory_slices
        starts = arrange(model.mig, shapes) or ()
        return [
            (start / slots, memory / slots)
            for start, (_, memory) in zip(starts, shapes, strict=True)
        ]
    spans, start = [], 0.0
    for profile in profiles:
        size = profile.framebuffer_mib / framebuffer_mib(card)
        spans.append((start, size))
        start += size
    return spans


def _slots(card: Card, held: Sequence[tuple[str, str]]) -> Iterator[tuple[float, float]]:
    """Yield the slots of a card: those of MIG, or as many as the profile that locks it has."""
    model = model_of(card)
    count = 1
    if card.vgpu_mode is VgpuMode.MIG and model is not None and model.mig is not None:
        count = model.mig.memory_slices
    elif card.vgpu_mode is VgpuMode.SAME_SIZE and held:
        count = _profile(held[0][1]).max_per_card
    yield from ((n / count, 1 / count) for n in range(count))


def _box(start: float, size: float, y: int, fill: str, *, dashed: bool) -> str:
    x, width = LEFT + start * CARD_WIDTH, size * CARD_WIDTH
    line = 'stroke="#aaaaaa" stroke-dasharray="3 3"' if dashed else 'stroke="#333333"'
    return (
        f'<rect x="{x:.1f}" y="{y}" width="{width:.1f}" height="{CARD_HEIGHT}" '
        f'fill="{fill}" {line}/>'
    )


def _text(x: float, y: int, text: str, *, colour: str = "#111111", weight: str = "normal") -> str:
    return f'<text x="{x:.1f}" y="{y}" fill="{colour}" font-weight="{weight}">{escape(text)}</text>'


def main() -> None:
    """Write the pictures."""
    PICTURES.mkdir(exist_ok=True)
    for name, text in pictures().items():
        (PICTURES / name).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
