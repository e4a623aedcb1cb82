"""Work over the distinct rows of several columns, as `em_core.text.fold.over_distinct` does over one."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import TypeVar

import numpy as np
import pandas as pd

T = TypeVar("T")


def factorize(values: Iterable[object]) -> tuple[np.ndarray, np.ndarray]:
    """(n,) the code of each value, -1 for a missing one, and the distinct values as objects, in the order of their first appearance.

    As `pandas.factorize`, which takes texts for one another that differ only behind a NUL character.
    """
    column = values if isinstance(values, pd.Series) else pd.Series(values, dtype=object)
    listed = column.tolist()
    try:
        nul = "\0" in "".join(listed)
    except TypeError:  # not texts alone
        nul = "\0" in "".join(map(str, listed))
    if not nul:
        codes, distinct = pd.factorize(column, use_na_sentinel=True)
        return codes, np.asarray(distinct, dtype=object)
    known: dict[object, int] = {}
    missing = column.isna().to_numpy(dtype=bool)
    codes = np.array([-1 if gone else known.setdefault(x, len(known)) for x, gone in zip(listed, missing, strict=True)])
    out = np.empty(len(known), dtype=object)
    out[:] = list(known)
    return codes, out


def over_distinct_rows(columns: Sequence[Iterable[object]], function: Callable[..., T]) -> np.ndarray:
    """`function` of each distinct row's texts (columns of equal length), spread back; None and NaN come as empty text."""
    texts: list[list[str]] = []
    codes: list[np.ndarray] = []
    rows = np.zeros(0, dtype=np.int64)
    for column in columns:
        found, distinct = factorize(column)
        texts.append([*map(str, distinct), ""])
        codes.append(found)
        # Numbered anew after every column: the product of many sizes would overflow.
        rows = found if len(codes) == 1 else pd.factorize(rows * (len(distinct) + 1) + found)[0]
    _, first, spread = np.unique(rows, return_index=True, return_inverse=True)
    results = np.empty(len(first), dtype=object)
    for position, row in enumerate(first):
        results[position] = function(*(text[code[row]] for text, code in zip(texts, codes, strict=True)))
    return results[spread]
