"""Words of two names laid side by side: which of them stand for one another though they are written differently.

`Pruefbk. Hold.` and `Pruefbank Holding`, `NTL RLTY` and `National Realty`, a name cut after so many characters, a slip of the pen.
"""

from __future__ import annotations

import numpy as np
from rapidfuzz.distance import DamerauLevenshtein, LCSseq, Prefix
from rapidfuzz.process import cpdist

from em_core.text.rarity import Rarity
from em_core.text.words import Words

# Worth of a word that the other side has in another form (0-1); equal words are worth 1.
_BEGINNING, _ABBREVIATION, _INITIAL = 0.9, 0.8, 0.6
_FEWEST_ALIKE = 0.75  # edit similarity below which two words are two words


def alikeness(left: np.ndarray, right: np.ndarray) -> np.ndarray:
    """(n,) how far two words may stand for one another, 0-1 and symmetric.

    1 equal; then one begins the other, or keeps its first letter and some others in their order (an abbreviation), or is its
    initial; else the edit similarity (Damerau, CACM 1964) where it is high, and 0.
    """
    left, right = np.asarray(left, dtype=object), np.asarray(right, dtype=object)
    lengths = [np.fromiter((len(word) for word in side), np.int64, len(side)) for side in (left, right)]
    shorter, longer = np.minimum(*lengths), np.maximum(*lengths)
    begun = cpdist(left, right, scorer=Prefix.similarity, dtype=np.int32)
    out = np.where(begun == shorter, np.where(shorter == 1, _INITIAL, _BEGINNING), 0.0).astype(np.float32)
    rest = np.flatnonzero((out == 0) & (begun >= 1) & (shorter >= 2))
    kept = cpdist(left[rest], right[rest], scorer=LCSseq.similarity, dtype=np.int32)
    out[rest] = np.where(kept == shorter[rest], _ABBREVIATION, 0)
    rest = np.flatnonzero((out == 0) & (shorter >= 4) & (shorter >= _FEWEST_ALIKE * longer))
    close = cpdist(left[rest], right[rest], scorer=DamerauLevenshtein.normalized_similarity, dtype=np.float32)
    out[rest] = np.where(close >= _FEWEST_ALIKE, close, 0)
    out[left == right] = 1
    return out


def align(query: Words, entity: Words, rows: np.ndarray, columns: np.ndarray, rarity: Rarity) -> dict[str, np.ndarray]:
    """What the words of p pairs (rows of `query`, rows of `entity`) leave unexplained when each may take its likest counterpart.

    `aligned_query`, `aligned_entity`: share of a side's rarity that the other side explains, NaN for a side without words;
    `unexplained_query`, `unexplained_entity`: the greatest rarity of a word times what is not explained of it.
    """
    sides = [query.within(rows), entity.within(columns)]
    sizes = [np.bincount(owner, minlength=len(rows)) for owner, _ in sides]
    first = [np.cumsum(size) - size for size in sizes]
    both = sizes[0] * sizes[1]
    pair = np.repeat(np.arange(len(rows)), both)
    within = np.arange(len(pair)) - np.repeat(np.cumsum(both) - both, both)
    width = np.maximum(sizes[1], 1)[pair]
    one = sides[0][1][first[0][pair] + within // width]
    other = sides[1][1][first[1][pair] + within % width]
    many = np.int64(max(1, len(entity.spelling)))
    distinct, place = np.unique(one * many + other, return_inverse=True)
    scores = alikeness(query.spelling[distinct // many], entity.spelling[distinct % many])[place]
    left = _best(pair, within // width, scores, sizes[0], len(rows))
    right = _best(pair, within % width, scores, sizes[1], len(rows))
    out = {}
    for side, best, words, (owner, code) in (("query", left, query, sides[0]), ("entity", right, entity, sides[1])):
        weight = rarity.of(words.numbers(code))
        total = np.bincount(owner, weights=weight, minlength=len(rows))
        with np.errstate(invalid="ignore", divide="ignore"):
            share = np.bincount(owner, weights=weight * best, minlength=len(rows)) / total
        lacking = np.zeros(len(rows), dtype=np.float32)
        np.maximum.at(lacking, owner, weight * (1 - best))
        out[f"aligned_{side}"], out[f"unexplained_{side}"] = share.astype(np.float32), lacking
    return out


def _best(pair: np.ndarray, word: np.ndarray, scores: np.ndarray, size: np.ndarray, n: int) -> np.ndarray:
    """The likest counterpart's score for each word of one side, in the order of pairs and words; 0 where the other side is empty."""
    start = np.cumsum(size) - size
    out = np.zeros(int(size.sum()), dtype=np.float32)
    np.maximum.at(out, start[pair] + word, scores)
    return out
