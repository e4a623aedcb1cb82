"""What retrieval lost is lost for good: recall of the candidate lists."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from em_core.evaluation.figures import Share
from em_core.evaluation.labels import same_entity


class RetrievalRecall(BaseModel):
    """Share of known records whose right entity is among the first k candidates."""

    model_config = ConfigDict(frozen=True)

    known: int
    recall_at: dict[int, Share]
    """k -> share of known records"""
    lost: list[int]
    """query positions whose right entity is in no candidate at all"""


def rank_of_truth(
    candidates: pd.DataFrame, truth_ids: Sequence[str | None], equivalent: Mapping[str, Hashable] | None = None
) -> NDArray[np.float64]:
    """Best rank of the right entity for each query: inf where it is not among the candidates, NaN where none is right.

    `candidates` has `query` (position in `truth_ids`, from 0), `rank` (from 1) and `entity_id`, in any row order.
    `truth_ids` has one entry for each query, None or NaN where the record is truly not in the reference.
    `ValueError` if a query position or rank is out of range.
    """
    truth = np.asarray(pd.Series(list(truth_ids), dtype=object))
    query = candidates["query"].to_numpy(dtype=np.int64)
    rank = candidates["rank"].to_numpy(dtype=float)
    if len(query) and (query.min() < 0 or query.max() >= len(truth)):
        raise ValueError(f"query positions must lie between 0 and {len(truth) - 1}")
    if len(rank) and not rank.min() >= 1:
        raise ValueError("ranks start at 1")
    best = np.where(pd.notna(truth), np.inf, np.nan)
    hit = same_entity(candidates["entity_id"].to_numpy(dtype=object), truth[query], equivalent)
    np.minimum.at(best, query[hit], rank[hit])
    return best


def retrieval_recall(
    candidates: pd.DataFrame,
    truth_ids: Sequence[str | None],
    ks: Sequence[int] = (1, 5, 10, 20),
    *,
    equivalent: Mapping[str, Hashable] | None = None,
    level: float = 0.95,
) -> RetrievalRecall:
    """Recall at each k over the known queries, with exact intervals. Arguments as in `rank_of_truth`."""
    best = rank_of_truth(candidates, truth_ids, equivalent)
    known = best[~np.isnan(best)]
    hits = [int(np.count_nonzero(known <= k)) for k in ks]
    shares = Share.each(hits, [len(known)] * len(hits), level)
    return RetrievalRecall(
        known=len(known), recall_at=dict(zip(ks, shares, strict=True)), lost=np.flatnonzero(np.isinf(best)).tolist()
    )
