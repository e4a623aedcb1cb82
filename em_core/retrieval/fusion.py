"""From what the channels found to one ranked list for each record: pure functions over sorted pairs of record and entity."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from em_core.retrieval.keys import KEYS
from em_core.retrieval.products import place_in_run

# Cosines are rounded so that batch-dependent last bits cannot reorder ties.
_DIGITS = 5


@dataclass(frozen=True)
class SharedKeys:
    """What the key channel found, by sorted pair: `bits` (p,) the shared keys, `count` (p,), and whether it proposes the pair."""

    bits: np.ndarray
    count: np.ndarray
    proposed: np.ndarray


def fused(lexical: np.ndarray, vector: np.ndarray, weight: float) -> np.ndarray:
    """(p,) lexical cosine plus the weighted vector cosine; NaN counts as 0."""
    return (lexical + weight * np.nan_to_num(vector)).round(_DIGITS)


def best_of(query: np.ndarray, entity: np.ndarray, cosine: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
    """The k entities of the greatest cosine for each query, by the entity's best row; input sorted by query and entity."""
    start = np.flatnonzero(np.r_[True, (query[1:] != query[:-1]) | (entity[1:] != entity[:-1])][: len(query)])
    if not len(start):
        return query, entity
    query, entity, cosine = query[start], entity[start], np.maximum.reduceat(cosine, start)
    order = np.lexsort((entity, -cosine.round(_DIGITS), query))
    order = order[place_in_run(query[order]) < k]
    return query[order], entity[order]


def shared_keys(pair: np.ndarray, code: np.ndarray, query: np.ndarray, score: np.ndarray, per_key: int) -> SharedKeys:
    """Finds of the key channel as facts about the p pairs of the fused list.

    `pair` (f,): position of each find's pair; `code` (f,): place in `KEYS`; `query`, `score` (p,) of the pairs. Of the entities that share
    one key with a record the `per_key` best are proposed: by score, then by how many keys they share, then by position.
    """
    bits, count = np.zeros(len(query), dtype=np.int64), np.bincount(pair, minlength=len(query))
    np.bitwise_or.at(bits, pair, np.int64(1) << code)
    group = query[pair] * len(KEYS) + code
    order = np.lexsort((pair, -count[pair], -score[pair], group))
    proposed = np.zeros(len(query), dtype=bool)
    proposed[pair[order[place_in_run(group[order]) < per_key]]] = True
    return SharedKeys(bits, count, proposed)


def ranked(
    query: np.ndarray, score: np.ndarray, keys: SharedKeys, named: np.ndarray, limit: int
) -> tuple[np.ndarray, np.ndarray]:
    """Positions of the pairs that are kept, sorted by query and rank, and their ranks.

    Pairs that neither a key nor a name channel (`named`, (p,) bool) proposes are left out. Of more than `limit` the pairs that share a key
    go last. Ranked by score; ties go to the pair that shares more keys, then to the smaller position.
    """
    there = np.flatnonzero(named | keys.proposed)
    order = there[np.lexsort((there, -keys.count[there], -score[there], ~keys.proposed[there], query[there]))]
    kept = order[place_in_run(query[order]) < limit]
    order = kept[np.lexsort((kept, -keys.count[kept], -score[kept], query[kept]))]
    return order, place_in_run(query[order])
