"""`vdl report`: compare the results of a run."""

from __future__ import annotations

from pathlib import Path

import click

from provision.bench.compare import compare
from provision.bench.jobs import read_jobs
from provision.bench.results import newest_run, read_results, turned_away
from provision.cli.guests import report_stage
from provision.cli.options import output_option, results_option
from provision.cli.output import say, show_json
from provision.errors import UsageError
from provision.report.document import comparison_json


@click.command("report")
@click.argument("run", required=False, type=click.Path(path_type=Path, file_okay=False))
@results_option
@output_option
def command(*, run: Path | None, results_dir: Path, output: str) -> None:
    """Compare the results of a run: a table here, report.html and report.png beside them.

    RUN is the folder of a run; without it, the newest one below --results is taken.
    """
    folder = run or newest_run(results_dir)
    results = read_results(folder)
    if not results:
        raise UsageError(
            "nothing was measured in this run", subject=str(folder),
            fix="run `vdl bench` again, or name another run",
        )  # fmt: skip
    if output == "json":
        show_json(comparison_json(compare(results), turned_away(folder), read_jobs(folder)))
        return
    page = report_stage(folder)
    say(f"report: {page}")
