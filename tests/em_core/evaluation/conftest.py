"""Small result and truth tables, written as one short tuple a record."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pandas as pd
import pytest

from em_core.schema import RESULT, prepare_truth

Record = tuple[str, str | None, str | None, float | None]
"""decision, identifier that came back, truth (None = truly none, "?" = unlabelled), confidence"""


def _tables(records: Sequence[Record], **columns: Sequence[Any]) -> tuple[pd.DataFrame, pd.DataFrame | None]:
    results = pd.DataFrame({column: [None] * len(records) for column in RESULT.columns}, dtype=object)
    results["source_system"] = "CRM"
    results["source_id"] = [f"S{row}" for row in range(len(records))]
    results["decision"] = [record[0] for record in records]
    results["matched_entity_id"] = [record[1] for record in records]
    results["matched_name"] = [None if record[1] is None else f"Firm {record[1]}" for record in records]
    results["confidence"] = [record[3] for record in records]
    results["stage"], results["method"], results["reason"] = "scorer", "SCORER", "because"
    for column, values in columns.items():
        results[column] = list(values)
    kept = [row for row, record in enumerate(records) if record[2] != "?"]
    if not kept:
        return results, None
    truth = results[["source_system", "source_id"]].iloc[kept].assign(entity_id=[records[row][2] for row in kept])
    return results, prepare_truth(truth)


@pytest.fixture(scope="session")
def tables() -> Callable[..., tuple[pd.DataFrame, pd.DataFrame | None]]:
    """Builder of `(results, truth)` from records; further columns by name."""
    return _tables


@pytest.fixture(scope="session")
def feed() -> tuple[pd.DataFrame, pd.DataFrame | None]:
    """A middling feed of 600 records in three systems, 20 % of them not in the reference, 100 without truth."""
    generator = np.random.default_rng(7)
    records: list[Record] = []
    for row in range(600):
        unseen = generator.random() < 0.2
        stated = float(generator.beta(1, 3) if unseen else generator.beta(9, 1))
        right = not unseen and generator.random() < stated
        decision = "auto_match" if stated > 0.9 else "review" if stated > 0.5 else "no_match"
        given = None if decision == "no_match" else f"E{row}" if right else "X"
        records.append((decision, given, "?" if row >= 500 else None if unseen else f"E{row}", stated))
    return _tables(records, source_system=generator.choice(["CRM", "INVOICE", "SEC"], 600))
