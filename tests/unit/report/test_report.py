import io
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from provision.bench.compare import compare
from provision.bench.results import Interval, MachineFacts, Result
from provision.report import chart, table
from provision.report.page import write_report
from provision.report.words import speed


def result(name: str, mode: str, median: float | None, **changes: Any) -> Result:
    facts = {"gpu": None, "host": "esx-01", "simulated": False, **changes}
    throughput = {
        "step_seconds": {"median": 0.05, "p90": 0.06, "p99": 0.09}, "first_step_seconds": 2.5,
    }  # fmt: skip
    return Result(
        machine=MachineFacts(name, "group", mode, gpu_count=int(mode != "none"), **facts),
        run_id="20260301T120000Z", model="mnist", batch_size=64, precision="fp32",
        data="synthetic", engine="tensorflow", image_shape=(28, 28, 1),
        speed=Interval(0.97 * median, median, 1.04 * median) if median else None,
        valid=median is not None, reasons=() if median else ("licence: unlicensed",),
        document={"throughput": throughput, "environment": {"cpu": {"model": "EPYC <9654>"}}},
    )  # fmt: skip


RESULTS = [
    result("cpu-1", "none", 1_500.0),
    result("shared-1", "vgpu", 21_000.0, gpu="grid_a100d-10c"),
    result("shared-2", "vgpu", 20_500.0, gpu="grid_a100d-10c"),
    result("shared-3", "vgpu", None, gpu="grid_a100d-10c"),
    result("direct-1", "passthrough", 42_000.0, gpu="A100-80", host="esx-05"),
]
SIMULATED = [result(f"cpu-{n}", "none", 1_000.0 + n, simulated=True) for n in (1, 2)]


def text_of(results: list[Result]) -> str:
    console = Console(file=io.StringIO(), width=140)
    console.print(table.render(compare(results)))
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def test_the_table_shows_each_speed_its_interval_and_its_share_of_the_baseline() -> None:
    text = text_of(RESULTS)
    line = next(line for line in text.splitlines() if "shared-1" in line)
    for part in ("vGPU grid_a100d-10c", "esx-01", "21,000", "20,370 to 21,840", "0.50"):
        assert part in line
    assert "of passthrough" in text
    assert "left out: shared-3: licence: unlicensed" in text


def test_every_simulated_number_is_marked_in_the_table() -> None:
    lines = [line for line in text_of(SIMULATED).splitlines() if "cpu-" in line]
    assert len(lines) == 2
    assert all("simulated" in line for line in lines)


class _Links(HTMLParser):
    found: list[str]

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        outside = {"src", "href", "xlink:href", "action", "data"}
        self.found += [v for k, v in attrs if k in outside and v and not v.startswith("#")]
        assert tag != "script"


def test_the_page_needs_no_network_and_escapes_what_guests_say(tmp_path: Path) -> None:
    page = write_report(RESULTS, tmp_path).read_text()
    links = _Links()
    links.found = []
    links.feed(page)
    assert links.found == []
    assert "@import" not in page
    assert "url(http" not in page
    assert "EPYC &lt;9654&gt;" in page
    assert "Left out: shared-3: licence: unlicensed" in page


def test_every_simulated_number_is_marked_on_the_page_and_in_the_chart(tmp_path: Path) -> None:
    page = write_report(SIMULATED, tmp_path).read_text()
    for number in ("1,001", "1,002"):
        assert re.search(rf"{number}<span class=.mark.>simulated", page)
    assert "Simulated guests hold no GPU" in page
    svg = chart.svg(chart.draw(compare(SIMULATED)))
    numbers = re.findall(r">([\d,.]+ images/s[^<]*)<", svg)
    assert numbers
    assert all(number.endswith("(simulated)") for number in numbers)


def test_the_chart_is_a_png_for_slides_too(tmp_path: Path) -> None:
    write_report(RESULTS, tmp_path)
    assert (tmp_path / "report.png").read_bytes().startswith(b"\x89PNG")


def test_a_run_without_a_valid_result_still_has_a_page(tmp_path: Path) -> None:
    page = write_report([result("shared-1", "vgpu", None)], tmp_path).read_text()
    assert "no valid result" in page


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.1234, "0.123"), (1.0, "1.00"), (99.94, "99.9"), (100.4, "100"), (41234.5, "41,234")],
)
def test_speeds_have_three_digits_or_more(value: float, text: str) -> None:
    assert speed(value) == text
