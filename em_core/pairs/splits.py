"""Entity-disjoint splits: an entity's side is decided by a digest of its id, so it never depends on the other rows."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping

import numpy as np
import pandas as pd

from em_core.errors import UserError

# Who learns from an entity: Ditto, the scorer, or the thresholds.
SHARES: Mapping[str, float] = {"ditto": 0.3, "ditto_valid": 0.05, "scorer": 0.3, "valid": 0.35}


def unit_interval(keys: Iterable[str], seed: int, purpose: str) -> np.ndarray:
    """(n,) numbers in [0, 1), one for each key: uniform over keys, the same for the same key, seed and purpose everywhere.

    Draws for different purposes are independent: entities picked by one must not share a side of another.
    """
    keys = list(keys)
    digest = (hashlib.blake2b(f"{seed}\x1f{purpose}\x1f{key}".encode(), digest_size=8).digest() for key in keys)
    return np.fromiter((int.from_bytes(d, "big") / 2**64 for d in digest), dtype=np.float64, count=len(keys))


def split_of(keys: Iterable[str], seed: int, shares: Mapping[str, float] = SHARES) -> np.ndarray:
    """(n,) name of the split of each key, in the given shares (which sum to 1)."""
    bounds = np.cumsum(list(shares.values()))[:-1]
    return np.array(list(shares), dtype=object)[
        np.searchsorted(bounds, unit_interval(keys, seed, "split"), side="right")
    ]


def check_disjoint(frame: pd.DataFrame, key: str, split: str) -> None:
    """Raise `UserError` if one key stands in two splits: the leak is named."""
    counts = frame.dropna(subset=[key]).groupby(key)[split].nunique()
    leaked = counts.index[counts.to_numpy() > 1]
    if len(leaked):
        raise UserError(f"leak: {len(leaked)} {key} value(s) stand in two splits, first {leaked[0]!r}")
