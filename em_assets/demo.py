"""The demo: write real data into a workspace, then materialize every asset through Dagster.

python -m em_assets.demo --root var [--rows 50000]
"""

from __future__ import annotations

import argparse
import os
import resource
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import pandas as pd
from rich.console import Console
from rich.table import Table

from em_core.errors import UserError

_QUIET = {"loggers": {"console": {"config": {"log_level": "ERROR"}}}}
_MB = 1 / 1024


def _seconds(result: dg.ExecuteInProcessResult) -> Iterator[tuple[str, float]]:
    for event in result.all_events:
        if event.event_type == dg.DagsterEventType.STEP_SUCCESS:
            yield str(event.step_key), event.step_success_data.duration_ms / 1000


def run(root: Path, rows: int | None, crm: int, invoice: int, console: Console, only_data: bool = False) -> None:
    """Write the data, launch the jobs on the instance of DAGSTER_HOME, print what came out.

    `only_data`: write the data and add the feeds' partitions, no more.
    """
    home = os.environ.get("DAGSTER_HOME", "")
    if not Path(home).is_dir() or not home:
        raise UserError("DAGSTER_HOME must name a folder for Dagster's history; `make demo` and `make ui` set it")
    os.environ["EM_ROOT"] = str(root)
    from em_assets.definitions import defs
    from em_assets.partitions import RANGE_END, RANGE_START, source_files
    from em_assets.resources import Workspace
    from em_core.demo.feeds import write_demo

    workspace = Workspace(root=str(root))
    console.rule("1 of 4: real names into the drop folder")
    start = time.perf_counter()
    made = write_demo(
        workspace.landing, root / "reference" / "reference.parquet", root / "labels" / "truth.csv", rows, crm, invoice
    )
    seconds = {"demo_data": time.perf_counter() - start}
    for name, count in made.rows.items():
        console.print(f"   {name:<16} {count:>8,} rows")

    location = defs()
    with dg.DagsterInstance.get() as instance:
        keys = [path.name for path in made.feeds]
        instance.add_dynamic_partitions(str(source_files.name), keys)
        if only_data:
            return

        def launch(job: str, tags: dict[str, str] | None = None) -> None:
            done = location.resolve_job_def(job).execute_in_process(_QUIET, instance=instance, tags=tags)
            for step, took in _seconds(done):
                seconds[step] = seconds.get(step, 0.0) + took

        console.rule("2 of 4: reference, index, training (job `fit`)")
        launch("fit")
        console.rule("3 of 4: one partition for each feed, matched in one run (job `match`)")
        console.print(f"   {', '.join(keys)}")
        launch("match", {RANGE_START: keys[0], RANGE_END: keys[-1]})
        console.rule("4 of 4: results against known answers (job `report`)")
        launch("report")
    _print_results(workspace, seconds, console)


def _print_results(workspace: object, seconds: dict[str, float], console: Console) -> None:
    from em_assets.resources import Workspace
    from em_core.evaluation import evaluate
    from em_core.files import read_table
    from em_core.schema import prepare_truth
    from em_core.storage.names import RESULT_TABLE

    assert isinstance(workspace, Workspace)
    results = workspace.tables.read(RESULT_TABLE).drop(columns="source_file")
    truth = prepare_truth(read_table(workspace.truth), origin="truth.csv") if workspace.truth else None
    table = Table(title="Matched records")
    for column in ("feed", "records", "auto", "review", "no match", "precision", "recall"):
        table.add_column(column, justify="left" if column == "feed" else "right")
    for feed, part in [*results.groupby("source_system"), ("both with truth", _with_truth(results, truth))]:
        evaluation = evaluate(part, _truth_of(truth, part))
        decided = part["decision"].value_counts()
        counts = [f"{int(decided.get(d, 0)):,}" for d in ("auto_match", "review", "no_match")]
        shares = [
            "no truth" if s.value is None else f"{s.value:.2%}" for s in (evaluation.precision, evaluation.recall)
        ]
        table.add_row(str(feed), f"{len(part):,}", *counts, *shares)
    console.print(table)
    console.print(
        "precision: auto-matched records with the right identifier. recall: of the records whose entity is in the reference."
    )
    steps = Table(title="Seconds")
    steps.add_column("step")
    steps.add_column("seconds", justify="right")
    for step, took in seconds.items():
        steps.add_row(step, f"{took:.1f}")
    steps.add_row("all", f"{sum(seconds.values()):.1f}")
    console.print(steps)
    peak = max(resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    console.print(f"Peak memory of one process: {peak * (_MB if sys.platform != 'darwin' else _MB * _MB):,.0f} MB")
    console.print(
        f"Results: {workspace.path / 'tables' / 'gold' / 'matched_entities'} (Delta)", soft_wrap=True, markup=False
    )
    console.print(f"Report:  {workspace.report}", soft_wrap=True, markup=False)
    console.print("UI:      make ui, then http://localhost:3000")


def _truth_of(truth: pd.DataFrame | None, part: pd.DataFrame) -> pd.DataFrame | None:
    if truth is None:
        return None
    mine = truth[truth["source_system"].isin(part["source_system"])]
    return mine if len(mine) else None


def _with_truth(results: pd.DataFrame, truth: pd.DataFrame | None) -> pd.DataFrame:
    return results if truth is None else results[results["source_system"].isin(truth["source_system"])]


def main() -> None:
    """Console entry point."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--root", type=Path, default=Path("var"), help="workspace folder")
    parser.add_argument("--rows", default="50000", help="reference rows, or `all` for the 399,203 of the package")
    parser.add_argument("--crm", type=int, default=5000, help="records of the CRM export")
    parser.add_argument("--invoice", type=int, default=5000, help="records of the invoice feed")
    parser.add_argument(
        "--only-data", action="store_true", help="write the files and add their partitions, run nothing"
    )
    arguments = parser.parse_args()
    console = Console()
    try:
        if arguments.rows != "all" and not arguments.rows.isdigit():
            raise UserError(f"--rows {arguments.rows}: a number or `all`")
        rows = None if arguments.rows == "all" else int(arguments.rows)
        run(arguments.root.resolve(), rows, arguments.crm, arguments.invoice, console, arguments.only_data)
    except UserError as error:
        sys.stderr.write(f"demo: {error}\n")
        sys.exit(2)


if __name__ == "__main__":
    main()
