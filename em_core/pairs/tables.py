"""Training and evaluation records as tables: made once from the reference and the labels, read by every fit."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from em_core.files import read_table
from em_core.pairs.training import PairSettings, ditto_pairs, evaluation_copies, prepare_labels, training_queries
from em_core.retrieval.index import CandidateIndex
from em_core.storage import TableStore
from em_core.storage.names import EVALUATION_TABLE, PAIR_TABLE, QUERY_TABLE, REFERENCE_TABLE


def training_tables(
    store: TableStore, index: Path, settings: PairSettings, labels: Path | None = None
) -> tuple[pd.DataFrame, pd.DataFrame, int]:
    """(records with known answers, Ditto's pairs out of them, labels among them), written to their tables. Raises `UserError`."""
    reference = store.read(REFERENCE_TABLE)
    known = None if labels is None else prepare_labels(read_table(labels), reference, labels.name)
    queries = training_queries(reference, settings, known)
    pairs = ditto_pairs(queries, CandidateIndex.load(index), settings)
    store.replace(QUERY_TABLE, queries)
    store.replace(PAIR_TABLE, pairs)
    return queries, pairs, 0 if known is None else len(known)


def evaluation_table(store: TableStore, settings: PairSettings, labels: Path | None = None) -> pd.DataFrame:
    """The fixed records that matchers are compared by: the labels, else noisy copies that are made once and kept. Raises `UserError`."""
    if labels is not None:
        reference = store.read(REFERENCE_TABLE)
        known = prepare_labels(read_table(labels), reference, labels.name, labels.name.split(".")[0])
        store.replace(EVALUATION_TABLE, known.assign(hidden_id=None, origin="label"))
    elif not store.exists(EVALUATION_TABLE):
        store.replace(EVALUATION_TABLE, evaluation_copies(store.read(REFERENCE_TABLE), settings))
    return store.read(EVALUATION_TABLE)
