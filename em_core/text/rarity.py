"""Word rarity: how much a shared or an unshared word says, learned from the reference."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from em_core.text.digests import text_digests

Texts = Sequence[str] | np.ndarray


def unseen_rarity(texts: int) -> float:
    """Rarity of a word that none of so many texts holds."""
    return float(np.log(texts + 1) + 1)


@dataclass(frozen=True)
class Rarity:
    """Inverse document frequency of the reference's words: ln((n + 1) / (df + 1)) + 1; never seen words weigh most.

    `digest` (v,) uint64 of the words, ascending: a word's place in it is its number. `weight` (v,).
    """

    digest: np.ndarray = field(repr=False)
    weight: np.ndarray = field(repr=False)
    unseen: float

    def __len__(self) -> int:
        return len(self.weight)

    def numbers(self, words: np.ndarray) -> np.ndarray:
        """(w,) the number of each word, -1 = never seen."""
        wanted = text_digests(words)
        at = np.minimum(np.searchsorted(self.digest, wanted), max(0, len(self) - 1))
        return np.where(self.digest[at] == wanted, at, -1) if len(self) else np.full(len(wanted), -1)

    def of(self, numbers: np.ndarray) -> np.ndarray:
        """(w,) float32 rarity of words by their number."""
        out = np.full(len(numbers), self.unseen, dtype=np.float32)
        out[numbers >= 0] = self.weight[numbers[numbers >= 0]]
        return out
