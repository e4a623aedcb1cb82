"""Pairs of words: what names made of common words have for themselves.

Each n-gram of "smart investment management" is in thousands of names, the two words together in few. A pair is made of the first letters
of two words, in either order, so that abbreviations and most slips leave it as it is. Pairs are hashed into a fixed number of columns
(Weinberger et al., ICML 2009): there is no vocabulary to learn or to keep.
"""

from __future__ import annotations

from itertools import combinations

import numpy as np
import scipy.sparse as sp
from sklearn.feature_extraction.text import HashingVectorizer
from sklearn.preprocessing import normalize

from em_core.text.rarity import Texts

COLUMNS = 2**20
#: Letters of each word, and words of each text, that count.
LETTERS = 3
WORDS = 10


def _pairs(text: str) -> list[str]:
    words = sorted({word[:LETTERS] for word in text.split()[:WORDS]})
    return [f"{left} {right}" for left, right in combinations(words, 2)]


def word_pairs(texts: Texts) -> sp.csr_matrix:
    """(n, COLUMNS) float32, 1 where a folded text has the pair."""
    hashing = HashingVectorizer(
        analyzer=_pairs, n_features=COLUMNS, alternate_sign=False, norm=None, binary=True, dtype=np.float32
    )
    return hashing.transform(texts).tocsr()


def pair_rarity(pairs: sp.csr_matrix) -> np.ndarray:
    """(COLUMNS,) float32 inverse document frequency: ln((n + 1) / (df + 1)) + 1."""
    frequency = np.bincount(pairs.indices, minlength=COLUMNS)
    return (np.log((pairs.shape[0] + 1) / (frequency + 1)) + 1).astype(np.float32)


def weighted_pairs(pairs: sp.csr_matrix, rarity: np.ndarray) -> sp.csr_matrix:
    """Rows of `word_pairs` weighted by rarity, L2-normalised."""
    weighted = pairs.copy()
    weighted.data = rarity[pairs.indices]
    return normalize(weighted, copy=False)
