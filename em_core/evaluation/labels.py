"""Joins truth to results, and guards against leaks between training and test."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from em_core.errors import UserError
from em_core.schema import prepare_truth

Bools = NDArray[np.bool_]
KEY = ["source_system", "source_id"]


@dataclass(frozen=True)
class Labels:
    """Truth laid beside the results: one place for each result row."""

    labelled: Bools
    entity_id: NDArray[np.object_]
    """the right entity; None where unlabelled or truly not in the reference"""
    unmatched: int
    """truth rows that name no record of the results"""

    @property
    def known(self) -> Bools:
        """Labelled, and the right entity is in the reference."""
        return np.asarray(pd.notna(self.entity_id))

    @property
    def unseen(self) -> Bools:
        """Labelled as truly not in the reference."""
        return self.labelled & ~self.known


def key_index(frame: pd.DataFrame) -> pd.MultiIndex:
    """The record key `(source_system, source_id)`."""
    return pd.MultiIndex.from_frame(frame[KEY])


def _positions(results: pd.DataFrame, truth: pd.DataFrame) -> NDArray[np.intp]:
    """Result row of each truth row, -1 if there is none. Truth without a system joins on source_id alone."""
    positions = np.full(len(truth), -1, dtype=np.intp)
    keyed = truth["source_system"].notna().to_numpy()
    positions[keyed] = key_index(results).get_indexer(key_index(truth[keyed]))
    if not keyed.all():
        repeated = results["source_id"].duplicated(keep=False)
        unclear = truth["source_id"][~keyed & truth["source_id"].isin(results["source_id"][repeated]).to_numpy()]
        if len(unclear):
            systems = results["source_system"][results["source_id"] == unclear.iloc[0]]
            raise UserError(
                f"truth: source_id {unclear.iloc[0]!r} occurs in several source systems "
                f"({', '.join(sorted(map(str, systems)))}); add a source_system column to the truth"
            )
        rows = np.flatnonzero(~repeated)
        place = pd.Index(results["source_id"].to_numpy()[rows]).get_indexer(pd.Index(truth["source_id"][~keyed]))
        positions[~keyed] = np.where(place >= 0, rows[place], -1) if len(rows) else -1
    return positions


def _shown(frame: pd.DataFrame, row: int) -> str:
    system, key = frame["source_system"].iloc[row], frame["source_id"].iloc[row]
    return repr(key) if system is None else f"{system!r}/{key!r}"


def join_truth(results: pd.DataFrame, truth: pd.DataFrame | None) -> Labels:
    """Lay truth beside results (result contract). Without truth nothing is labelled.

    Raises `UserError` if no truth row names a record of the results, if a record is labelled twice, or if truth names
    a source_id alone that several source systems share.
    """
    labelled = np.zeros(len(results), dtype=bool)
    entity = np.full(len(results), None, dtype=object)
    if truth is None:
        return Labels(labelled, entity, 0)
    truth = prepare_truth(truth)
    positions = _positions(results, truth)
    joined = positions >= 0
    if not joined.any():
        raise UserError(
            f"truth: none of its {len(truth)} record(s) is in the results; "
            f"truth begins with {_shown(truth, 0)}, results begin with {_shown(results, 0)}"
        )
    twice = pd.Series(positions[joined]).duplicated()
    if twice.any():
        first = int(positions[joined][np.flatnonzero(twice)[0]])
        raise UserError(f"truth: record {_shown(results, first)} is labelled twice, with and without its source_system")
    labelled[positions[joined]] = True
    entity[positions[joined]] = truth["entity_id"].to_numpy(dtype=object)[joined]
    return Labels(labelled, entity, int(np.count_nonzero(~joined)))


def same_entity(
    given: NDArray[np.object_], right: NDArray[np.object_], equivalent: Mapping[str, Hashable] | None = None
) -> Bools:
    """Where `given` is the right entity, or one of the same group in `equivalent` (entity_id -> group).

    A missing id on either side is never the same.
    """
    both = np.asarray(pd.notna(given) & pd.notna(right))
    same = both & np.asarray(given == right)
    if equivalent:
        groups = dict(equivalent)
        left, other = (pd.Series(ids, dtype=object).map(groups) for ids in (given, right))
        same |= both & (left.notna() & (left == other)).to_numpy()
    return same


def check_disjoint(train_ids: Iterable[Hashable], test_ids: Iterable[Hashable]) -> None:
    """Refuse a leak: raises `UserError` with the number of ids on both sides and the first of them.

    Missing ids (records that are truly not in the reference) are not compared.
    """
    train, test = (pd.Index(pd.Series(list(ids), dtype=object).dropna()).unique() for ids in (train_ids, test_ids))
    shared = test[test.isin(train)]
    if len(shared):
        raise UserError(
            f"leak: {len(shared)} of {len(test)} test id(s) are also in the training data, for example {shared[0]!r}"
        )
