"""The encoder's logits for many pairs, the hot path of the product.

Each distinct text is tokenised once, each distinct pair is scored once, and pairs of equal length share a batch that is filled up
to a token budget. What multiplies the matrices is chosen in `em_core.ditto.runtime`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from em_core.ditto.model import PairClassifier
from em_core.ditto.prepare import Preparation
from em_core.ditto.remembered import RememberedScores, pair_keys
from em_core.ditto.runtime import Runtime, TorchRuntime
from em_core.ditto.tokens import EncodedPairs, PairTokeniser


def score(
    classifier: PairClassifier, tokeniser: PairTokeniser, pairs: EncodedPairs, symmetric: bool = False
) -> np.ndarray:
    """Logits of the pairs by torch in single precision, shape (pairs,), float64; `symmetric` averages both orders."""
    orders = [pairs, pairs.swapped()] if symmetric else [pairs]
    return np.mean([score_batches(TorchRuntime(classifier), tokeniser, order) for order in orders], axis=0)


def score_batches(runtime: Runtime, tokeniser: PairTokeniser, pairs: EncodedPairs, bar: Any = None) -> np.ndarray:
    """Logits of the pairs, shape (pairs,), float64. `bar.update` gets the number of pairs done."""
    lengths = tokeniser.lengths(pairs)
    order = np.argsort(-lengths, kind="stable")
    batches: list[np.ndarray] = []
    start = 0
    while start < len(order):
        batches.append(order[start : start + max(1, runtime.token_budget // int(lengths[order[start]]))])
        start += len(batches[-1])
    logits = np.empty(len(pairs), dtype=np.float64)
    made = runtime.logits(tokeniser.arrays(pairs, rows) for rows in batches)
    for rows, values in zip(batches, made, strict=True):
        logits[rows] = values
        if bar is not None:
            bar.update(len(rows))
    return logits


class PairEncoder:
    """A trained encoder behind a runtime: logits of pairs of serialised records.

    `remember` pairs keep their logits for later calls, which pays for a service that meets the same pairs again; within one call
    a repeated pair costs nothing anyway.
    """

    def __init__(self, runtime: Runtime, tokeniser: PairTokeniser, prepare: Preparation, remember: int = 0) -> None:
        self.runtime = runtime
        self._tokeniser = tokeniser
        self._prepare = prepare
        self._remembered = RememberedScores(remember) if remember else None

    def logits(self, left: Sequence[str], right: Sequence[str], symmetric: bool = False, bar: Any = None) -> np.ndarray:
        """(pairs,) float64; `symmetric` averages both orders. `bar.update` gets the number of pairs done."""
        if self._remembered is None:
            return self._scored(left, right, symmetric, bar)
        keys = pair_keys(left, right, symmetric)
        logits = self._remembered.recall(keys)
        unmet = np.flatnonzero(np.isnan(logits))
        _advance(bar, len(logits) - len(unmet))
        if len(unmet):
            lefts, rights = np.array(left, dtype=object), np.array(right, dtype=object)
            logits[unmet] = self._scored(lefts[unmet].tolist(), rights[unmet].tolist(), symmetric, bar)
            self._remembered.keep([keys[i] for i in unmet], logits[unmet])
        return logits

    def _scored(self, left: Sequence[str], right: Sequence[str], symmetric: bool, bar: Any) -> np.ndarray:
        every = self._tokeniser.encode(self._prepare(left), self._prepare(right))
        pairs, back = every.distinct()
        logits = score_batches(self.runtime, self._tokeniser, pairs, bar)
        if symmetric:
            logits = (logits + score_batches(self.runtime, self._tokeniser, pairs.swapped())) / 2
        _advance(bar, len(every) - len(pairs))  # repeated pairs cost nothing
        return logits[back]


def _advance(bar: Any, count: int) -> None:
    if bar is not None:
        bar.update(count)
