import io
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from provision.bench.compare import compare
from provision.bench.jobs import Job
from provision.bench.results import Interval, MachineFacts, Result
from provision.report import chart, table
from provision.report.page import write_report
from provision.report.words import speed


def result(
    name: str,
    mode: str,
    median: float | None,
    document: dict[str, Any] | None = None,
    **changes: Any,
) -> Result:
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
        document={"throughput": throughput, "environment": {"cpu": {"model": "EPYC <9654>"}},
                  **(document or {})},
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
    for part in ("vGPU grid_a100d-10c", "esx-01", "21,000", "20,370 to 21,840", "50.0 %"):
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


MEASURED = {
    "ceilings": {"of_convolution": 0.834, "of_matmul": 0.51},
    "telemetry": {"energy": {"gpu_joules": 90.0, "gpu_joules_per_image": 0.0123}},
    "training": {"accuracy": 0.981, "target_accuracy": 0.97, "time_to_accuracy_seconds": 12.34},
}
FIGURES = [
    result("metal-1", "bare-metal", 1_000.0, MEASURED),
    result("direct-1", "passthrough", 970.0),
]


def test_a_result_says_more_than_its_speed_where_that_was_measured(tmp_path: Path) -> None:
    text = text_of(FIGURES)
    (line,) = [line for line in text.splitlines() if "metal-1" in line]
    for part in ("100 %", "83.4 %", "0.0123", "97.0 % after 12.3 s"):
        assert part in line
    assert "of ceiling" in text
    assert "of ceiling" not in text_of(RESULTS)
    page = write_report(FIGURES, tmp_path).read_text()
    for part in ("83.4 % convolution", "51.0 % matmul", "0.0123", "97.0 % after 12.3 s", "97.0 %"):
        assert part in page


def test_published_figures_stand_beside_what_they_were_measured_of() -> None:
    metal, direct = (text_of(results) for results in (FIGURES, RESULTS))
    assert "published: training in a VM against bare metal (ResNet): within 5 % (Dell)" in metal
    assert "vGPUs against bare metal" not in metal  # no vGPU stands there
    assert "CIFAR-10 images/s, vGPU against DirectPath I/O: 83 %" in direct
    simulated = [result("a-1", "bare-metal", 10.0, simulated=True),
                 result("b-1", "vgpu", 9.0, simulated=True)]  # fmt: skip
    assert "published" not in text_of(simulated)


def job(name: str, *, valid: bool = True) -> Job:
    machines = tuple(MachineFacts(f"{name}-{n}", name, "vgpu", simulated=True) for n in (1, 2))
    return Job(
        group=name, name="mnist-together", machines=machines, title="mnist, batch 128 a device",
        speed=Interval(2900.0, 3000.0, 3100.0), alone=4000.0, efficiency=0.75,
        gradient_bytes=13_098_536, network_bytes_per_second=1.25e9, bound=24_400.0, valid=valid,
        reasons=() if valid else ("weights-differ: the workers differ",), document={},
    )  # fmt: skip


def test_jobs_of_several_machines_have_a_table_of_their_own(tmp_path: Path) -> None:
    jobs = [job("shared"), job("other", valid=False)]
    console = Console(file=io.StringIO(), width=160)
    console.print(table.render(compare(RESULTS), jobs=jobs))
    assert isinstance(console.file, io.StringIO)
    text = console.file.getvalue()
    (line,) = [line for line in text.splitlines() if "mnist, batch 128 a device" in line]
    for part in ("shared", "3,000", "4,000", "75.0 %", "13.1 MB", "24,400", "simulated"):
        assert part in line
    assert "left out: other mnist-together: weights-differ: the workers differ" in text
    page = write_report(RESULTS, tmp_path, jobs=jobs).read_text()
    for part in ("75.0 %", "13.1 MB", "1.25 GB/s", "24,400", "Left out: weights-differ"):
        assert part in page
    assert "Simulated guests hold no GPU" in page
