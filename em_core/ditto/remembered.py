"""Scores of pairs met before, for a service that is asked about the same pairs again and again."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterable, Sequence
from itertools import islice

import numpy as np


class RememberedScores:
    """Up to `size` numbers by a 16-byte key, about 150 bytes each; the oldest are forgotten first."""

    def __init__(self, size: int) -> None:
        self.size = size
        self._scores: dict[bytes, float] = {}
        self._lock = threading.Lock()

    def recall(self, keys: Iterable[bytes]) -> np.ndarray:
        """The number of each key, float64, NaN where there is none."""
        return np.array([self._scores.get(key, np.nan) for key in keys], dtype=np.float64)

    def keep(self, keys: Sequence[bytes], scores: np.ndarray) -> None:
        """Remember a number for each key."""
        with self._lock:
            self._scores.update(zip(keys, scores.tolist(), strict=True))
            for key in list(islice(self._scores, max(0, len(self._scores) - self.size))):
                del self._scores[key]


def pair_keys(left: Iterable[str], right: Iterable[str], symmetric: bool) -> list[bytes]:
    """A key for each pair of texts and way of scoring: BLAKE2b, so that no text is kept."""
    way = b"both" if symmetric else b"one"
    return [
        hashlib.blake2b(f"{len(a)}\x1f{a}{b}".encode("utf-8", "surrogatepass"), digest_size=16, key=way).digest()
        for a, b in zip(left, right, strict=True)
    ]
