"""Word rarity: how much a shared or an unshared word says, learned from the reference."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import chain

import numpy as np
import scipy.sparse as sp

Texts = Sequence[str] | np.ndarray


@dataclass(frozen=True)
class WordBags:
    """Words of n texts: `known` (n, v) holds each known word's rarity once, `unknown` (n,) counts words never seen."""

    known: sp.csr_matrix
    unknown: np.ndarray


@dataclass(frozen=True)
class Rarity:
    """Inverse document frequency of the reference's words: ln((n + 1) / (df + 1)) + 1; never seen words weigh most."""

    vocabulary: dict[str, int] = field(repr=False)
    weight: np.ndarray = field(repr=False)
    unseen: float

    @classmethod
    def fit(cls, texts: Texts) -> Rarity:
        """Learn from folded names, one text for each entity."""
        counts = Counter(chain.from_iterable(set(text.split()) for text in texts))
        words = sorted(counts)
        frequency = np.array([counts[word] for word in words], dtype=np.float64)
        weight = np.log((len(texts) + 1) / (frequency + 1)) + 1
        return cls(
            {word: i for i, word in enumerate(words)}, weight.astype(np.float32), float(np.log(len(texts) + 1) + 1)
        )

    def bags(self, texts: Texts) -> WordBags:
        """Weighted word sets of `texts`."""
        indptr = np.zeros(len(texts) + 1, dtype=np.int64)
        indices: list[int] = []
        unknown = np.zeros(len(texts), dtype=np.float32)
        get = self.vocabulary.get
        for row, text in enumerate(texts):
            found = [get(word) for word in set(text.split())]
            known = sorted(i for i in found if i is not None)
            indices.extend(known)
            indptr[row + 1] = indptr[row] + len(known)
            unknown[row] = len(found) - len(known)
        columns = np.array(indices, dtype=np.int64)
        known_matrix = sp.csr_matrix((self.weight[columns], columns, indptr), shape=(len(texts), len(self.vocabulary)))
        return WordBags(known_matrix, unknown)
