"""Keys to positions: which rows of a table carry a key, for many keys at once."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import pandas as pd

# A key that more rows carry is a common word or a default value: it finds nothing.
_CROWDED = 64


@dataclass(frozen=True)
class KeyIndex:
    """Distinct keys, and for each of them the rows that carry it (`rows[start[k] : start[k + 1]]`, ascending)."""

    keys: pd.Index = field(repr=False)
    start: np.ndarray = field(repr=False)
    rows: np.ndarray = field(repr=False)

    @classmethod
    def build(cls, keys: np.ndarray) -> KeyIndex:
        """Index (n,) texts by position; empty texts are left out."""
        there = np.flatnonzero(keys != "")
        codes, distinct = pd.factorize(keys[there])
        order = np.argsort(codes, kind="stable")
        start = np.concatenate([[0], np.cumsum(np.bincount(codes, minlength=len(distinct)))]).astype(np.int64)
        return cls(pd.Index(distinct, dtype=object), start, there[order])

    def find(self, keys: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """(query positions, row positions) of all finds, sorted by query; keys that too many rows carry find nothing."""
        code = self.keys.get_indexer(pd.Index(keys, dtype=object)) if len(self.keys) else np.full(len(keys), -1)
        begin = self.start[np.maximum(code, 0)]
        count = (
            np.where(code >= 0, self.start[np.maximum(code, 0) + 1] - begin, 0)
            if len(self.keys)
            else np.zeros(len(keys), int)
        )
        count = np.where(count > _CROWDED, 0, count)
        query = np.repeat(np.arange(len(keys)), count)
        within = np.arange(len(query)) - np.repeat(np.cumsum(count) - count, count)
        return query, self.rows[np.repeat(begin, count) + within] if len(query) else np.zeros(0, dtype=np.int64)

    def __contains__(self, key: object) -> bool:
        return key in self.keys
