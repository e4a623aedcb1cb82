"""Exact binomial intervals (Clopper and Pearson, Biometrika 26(4), 1934) and the number of labels that a promise needs.

They hold for any sample size and are never narrower than stated, which is what a promise needs.
"""

from __future__ import annotations

from typing import overload

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.stats import beta, binom

Floats = NDArray[np.float64]


def _counts(hits: ArrayLike, trials: ArrayLike) -> tuple[Floats, Floats]:
    k, n = np.broadcast_arrays(np.asarray(hits, dtype=float), np.asarray(trials, dtype=float))
    if np.any(~((k >= 0) & (k <= n))):
        raise ValueError("hits must lie between 0 and trials")
    return k, n


def _inside(name: str, value: float) -> None:
    if not 0 < value < 1:
        raise ValueError(f"{name} must lie between 0 and 1, not {value}")


def _low(k: Floats, n: Floats, tail: float) -> Floats:
    # beta is undefined for k = 0 (and for n = 0), where the bound is 0 by definition.
    return np.where(k > 0, beta.ppf(tail, np.maximum(k, 1), n - k + 1), 0.0)


def _high(k: Floats, n: Floats, tail: float) -> Floats:
    return np.where(k < n, beta.isf(tail, k + 1, np.maximum(n - k, 1)), 1.0)


def clopper_pearson(hits: ArrayLike, trials: ArrayLike, level: float = 0.95) -> tuple[Floats, Floats]:
    """Two-sided interval for a share: arrays `(low, high)` of the broadcast shape, within 0..1.

    No trials tell nothing, so the interval is 0..1. `ValueError` if a count is impossible.
    """
    _inside("level", level)
    k, n = _counts(hits, trials)
    return _low(k, n, (1 - level) / 2), _high(k, n, (1 - level) / 2)


def lower_bound(hits: ArrayLike, trials: ArrayLike, certainty: float = 0.95) -> Floats:
    """One-sided bound: with `certainty`, the true share is at least this. 0 where there are no trials."""
    _inside("certainty", certainty)
    return _low(*_counts(hits, trials), 1 - certainty)


def upper_bound(hits: ArrayLike, trials: ArrayLike, certainty: float = 0.95) -> Floats:
    """One-sided bound: with `certainty`, the true share is at most this. 1 where there are no trials."""
    _inside("certainty", certainty)
    return _high(*_counts(hits, trials), 1 - certainty)


@overload
def labels_needed(errors: int, precision: float = ..., certainty: float = ...) -> int: ...
@overload
def labels_needed(errors: NDArray[np.int_], precision: float = ..., certainty: float = ...) -> NDArray[np.int_]: ...
def labels_needed(
    errors: int | NDArray[np.int_], precision: float = 0.99, certainty: float = 0.95
) -> int | NDArray[np.int_]:
    """Fewest labelled answers that prove at least `precision` with `certainty`, given `errors` wrong ones among them.

    The smallest n for which `lower_bound(n - errors, n, certainty) >= precision`; an int for an int, else an array.
    """
    _inside("precision", precision)
    _inside("certainty", certainty)
    wrong = np.atleast_1d(np.asarray(errors, dtype=np.int64))
    if np.any(wrong < 0):
        raise ValueError("errors must not be negative")

    def proven(n: NDArray[np.int64]) -> NDArray[np.bool_]:
        # The dual form of the bound: so few errors would be this unlikely if precision were any lower.
        return np.asarray(binom.cdf(wrong, n, 1 - precision) <= 1 - certainty)

    low = wrong.copy()  # never proven: every label would be an error
    high = wrong + 1
    while not (done := proven(high)).all():
        low = np.where(done, low, high)
        high = np.where(done, high, high * 2)
    while np.any(high - low > 1):
        middle = (low + high) // 2
        done = proven(middle)
        low, high = np.where(done, low, middle), np.where(done, middle, high)
    return int(high[0]) if np.ndim(errors) == 0 else high
