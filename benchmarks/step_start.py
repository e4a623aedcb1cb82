"""What a run in which nothing changed costs: `em_match_feeds` over feeds whose decisions all stand, a process each.

    python benchmarks/step_start.py [--times 5] [--ditto FOLDER] [--code FOLDER]

`--code` runs another checkout's code on the same tables and the same matcher, for comparing; `--ditto` is a model folder of `train_ditto`
that the matcher is fitted with.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pandas as pd

from em_core.demo.feeds import write_demo
from em_core.feeds import land_feeds
from em_core.fit import fit_matcher
from em_core.pairs.training import training_queries
from em_core.retrieval.index import CandidateIndex
from em_core.schema import prepare_reference
from em_core.settings import FitSettings
from em_core.storage import DeltaStore


def prepare(root: Path, ditto: Path | None) -> list[str]:
    """The arguments of a step over 800 entities and 120 records, matched once."""
    made = write_demo(root / "landing", root / "reference.parquet", root / "truth.csv", 800, 120, 120)
    settings = FitSettings()
    settings.retrieval.encoder = None
    settings.pairs.queries = 700
    settings.ditto.enabled = ditto is not None
    settings.scorer.pair_iterations = settings.scorer.list_iterations = 40
    reference = prepare_reference(pd.read_parquet(root / "reference.parquet"))
    queries = training_queries(reference, settings.pairs, None)
    fit_matcher(CandidateIndex.build(reference, settings.retrieval), queries, ditto, root / "matcher", settings)
    feed = made.feeds[0].name
    land_feeds(DeltaStore(root / "tables"), root / "landing", [feed])
    return ["--tables", str(root / "tables"), "--matcher", str(root / "matcher"), "--feed", feed]


def main() -> None:
    """Print the median of the runs."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--times", type=int, default=5)
    parser.add_argument("--ditto", type=Path)
    parser.add_argument("--code", type=Path, action="append", default=[], help="another checkout; may be repeated")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        step = prepare(Path(scratch), arguments.ditto)
        print("| code | seconds (median) | best | worst |\n|---|---|---|---|")
        for code in (*arguments.code, Path(__file__).parents[1]):
            command = [sys.executable, "-m", "em_core.steps.feeds", *step]
            took = []
            for run in range(arguments.times + 1):
                start = time.perf_counter()
                subprocess.run(
                    command, check=True, capture_output=True, cwd=code, env={**os.environ, "PYTHONPATH": str(code)}
                )
                took += [time.perf_counter() - start] if run else []  # the first one matches
            print(f"| {code.name} | {statistics.median(took):.2f} | {min(took):.2f} | {max(took):.2f} |")


if __name__ == "__main__":
    main()
