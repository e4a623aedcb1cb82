"""Keys to positions: which rows of a table carry a key, for many keys at once.

Keys are kept as 64-bit digests in one sorted array, opened in place and asked by bisection: a reference of any size costs a process no
memory of its own.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from em_core.retrieval.arrays import open_array, save_array
from em_core.retrieval.products import place_in_run
from em_core.text.digests import text_digests

# A key that more rows carry is a common word or a default value: it finds nothing.
_CROWDED = 64


@dataclass(frozen=True)
class KeyIndex:
    """`digest` (m,) uint64 of the keys, ascending, and the `row` (m,) int64 that carries each, ascending within a key."""

    digest: np.ndarray = field(repr=False)
    row: np.ndarray = field(repr=False)

    @classmethod
    def build(cls, keys: np.ndarray, rows: np.ndarray | None = None) -> KeyIndex:
        """Index (n,) texts by position, or by the `rows` (n,) given with them; empty texts are left out."""
        there = np.flatnonzero(keys != "")
        digest, row = text_digests(keys[there]), there if rows is None else rows[there]
        order = np.lexsort((row, digest))
        return cls(digest[order], row[order].astype(np.int64))

    def find(self, keys: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """(query positions, rows) of all finds, sorted by query; empty keys and those that too many rows carry find nothing."""
        begin, count = self._runs(text_digests(keys))
        return self._rows(begin, np.where((keys == "") | (count > _CROWDED), 0, count))

    def carriers(self, digests: np.ndarray, most: int) -> tuple[np.ndarray, np.ndarray]:
        """(query positions, rows) of keys given by their digest, the first so many rows of each."""
        begin, count = self._runs(digests)
        return self._rows(begin, np.minimum(count, most))

    def has(self, keys: np.ndarray) -> np.ndarray:
        """(n,) bool: some row carries the key, however many do."""
        return self._runs(text_digests(keys))[1] > 0

    def _runs(self, digests: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """(first place, how many) of each digest."""
        begin = np.searchsorted(self.digest, digests, side="left")
        return begin, np.searchsorted(self.digest, digests, side="right") - begin

    def _rows(self, begin: np.ndarray, count: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """(query positions, rows) of runs."""
        query = np.repeat(np.arange(len(begin)), count)
        return query, self.row[np.repeat(begin, count) + place_in_run(query)]

    def save(self, folder: Path) -> None:
        """Write two plain arrays."""
        folder.mkdir(parents=True)
        save_array(folder / "digest.npy", self.digest)
        save_array(folder / "row.npy", self.row)

    @classmethod
    def load(cls, folder: Path) -> KeyIndex:
        """Map what `save` wrote."""
        return cls(open_array(folder / "digest.npy"), open_array(folder / "row.npy"))
