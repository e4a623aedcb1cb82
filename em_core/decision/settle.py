"""Breaking ties: of several entities that carry the same key, the one that the other attributes point to."""

from __future__ import annotations

import numpy as np
import pandas as pd

from em_core.retrieval.table import EntityTable
from em_core.text.places import same_subdivision

# Attribute -> (points for agreement, points for difference). An attribute that is missing on a side says nothing.
_POINTS = {
    "country": (2, -2), "name_key": (2, 0), "core_key": (1, 0), "subdivision": (1, -1), "city": (1, -1), "postal_code": (1, 0),
    "domain": (2, 0),
    "venue": (1, 0),
}  # fmt: skip
_WORDS = {
    "postal_code": "postal code",
    "subdivision": "region",
    "name_key": "whole name",
    "core_key": "name",
    "venue": "exchange",
}


def distinct_pairs(row: np.ndarray, entity: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Each (row, entity) once, sorted."""
    if not len(row):
        return row.astype(np.int64), entity.astype(np.int64)
    pairs = np.unique(np.stack([row, entity], axis=1), axis=0)
    return pairs[:, 0], pairs[:, 1]


def settle(
    row: np.ndarray, entity: np.ndarray, records: pd.DataFrame, entities: EntityTable
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(settled (s, 2), tied (t, 3), reasons (s,)) for pairs of which every row has at least two, sorted by row.

    `settled` holds row and entity where one entity has more points than all others and more than none; `tied` holds row and the two
    entities with most points. `reasons` says which attributes agreed.
    """
    if not len(row):
        return np.zeros((0, 2), dtype=np.int64), np.zeros((0, 3), dtype=np.int64), np.zeros(0, dtype=object)
    points, agreed = np.zeros(len(row), dtype=np.int64), np.full(len(row), "", dtype=object)
    for column, (plus, minus) in _POINTS.items():
        here = records[column].to_numpy(dtype=object)[row]
        there = entities[column][entity]
        both = (here != "") & (there != "")
        equal = both & (same_subdivision(here, there) if column == "subdivision" else here == there)
        points += np.where(equal, plus, np.where(both, minus, 0))
        agreed[equal] = agreed[equal] + f", {_WORDS.get(column, column)}"
    order = np.lexsort((entity, -points, row))
    first = np.flatnonzero(np.r_[True, row[order][1:] != row[order][:-1]])
    best, second = order[first], order[first + 1]
    clear = (points[best] > points[second]) & (points[best] > 0)
    settled = np.stack([row[best[clear]], entity[best[clear]]], axis=1)
    tied = np.stack([row[best[~clear]], entity[best[~clear]], entity[second[~clear]]], axis=1)
    return settled, tied, np.array([text[2:] for text in agreed[best[clear]]], dtype=object)
