"""What every peer script shares: its arguments, reading its inputs, writing its answers. Needs nothing but pandas.

Inputs are CSV: `reference` with entity_id, name, country; `queries` with name and, where the row is allowed to use it, country;
`train` with name, entity_id (empty = truly not in the reference) and country likewise. Answers are CSV rows `query, entity_id, score`:
`query` is the row of the queries from 0, the best answer of a query first, at most ten of each.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Iterable, Mapping
from pathlib import Path

import pandas as pd

SHOWN = 10


def parser(about: str | None) -> argparse.ArgumentParser:
    """The arguments that every peer takes."""
    made = argparse.ArgumentParser(description=about)
    made.add_argument("--reference", type=Path, required=True)
    made.add_argument("--queries", type=Path, required=True)
    made.add_argument("--train", type=Path, help="labelled records; absent: there are none")
    made.add_argument("--out", type=Path, required=True)
    return made


def read(path: Path) -> pd.DataFrame:
    """A CSV as text; missing is empty."""
    return pd.read_csv(path, dtype=str, keep_default_na=False)


def write(answers: pd.DataFrame, out: Path) -> None:
    """Keep the ten best of each query and write them; `answers` is sorted by query, best first."""
    answers = answers[answers.groupby("query").cumcount() < SHOWN]
    answers.to_csv(out, index=False)


def ranked(query: Iterable[int], entity_id: Iterable[str], score: Iterable[float]) -> pd.DataFrame:
    """Answers in any order as `write` wants them; ties keep their order."""
    table = pd.DataFrame({"query": list(query), "entity_id": list(entity_id), "score": list(score)})
    return table.sort_values(["query", "score"], ascending=[True, False], kind="stable").reset_index(drop=True)


class Clock:
    """Seconds of named steps, printed as one line of JSON that the benchmark reads."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self._since = time.perf_counter()

    def lap(self, step: str) -> None:
        """Give the time since the last lap to `step`."""
        now = time.perf_counter()
        self.seconds[step] = self.seconds.get(step, 0.0) + now - self._since
        self._since = now

    def report(self, **also: object) -> None:
        """Print the steps, and whatever else is worth a note."""
        steps: Mapping[str, object] = {name: round(value, 1) for name, value in self.seconds.items()}
        print(json.dumps({**steps, **also}), flush=True)
