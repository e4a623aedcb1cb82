"""Distinct values and what a function makes of them, spread back."""

from __future__ import annotations

import numpy as np
import pandas as pd
from hypothesis import example, given
from hypothesis import strategies as st

from em_core.text.distinct import factorize, over_distinct_rows

VALUES = st.lists(st.one_of(st.none(), st.text("a\0b", max_size=3), st.just(float("nan")), st.integers(0, 2)))


@given(VALUES)
@example(["", "\0", "a", "a\0b", None])
def test_values_are_told_apart_to_the_last_character(values: list[object]) -> None:
    codes, distinct = factorize(values)
    missing = [value is None or value != value for value in values]
    assert (codes < 0).tolist() == missing
    assert [distinct[code] for code in codes if code >= 0] == [
        v for v, gone in zip(values, missing, strict=True) if not gone
    ]
    first = list(dict.fromkeys(v for v, gone in zip(values, missing, strict=True) if not gone))
    assert distinct.dtype == object and distinct.tolist() == first


def test_a_column_with_an_index_of_its_own() -> None:
    codes, distinct = factorize(pd.Series(["b", "a", "b"], index=[7, 8, 9], dtype=object))
    assert codes.tolist() == [0, 1, 0] and distinct.tolist() == ["b", "a"]
    assert [part.tolist() for part in factorize(np.zeros(0, dtype=object))] == [[], []]


@given(st.lists(st.tuples(st.text("a\0", max_size=2), st.one_of(st.none(), st.text("a\0", max_size=2)))))
def test_rows_of_several_columns(rows: list[tuple[str, str | None]]) -> None:
    columns = [[row[side] for row in rows] for side in (0, 1)]
    assert over_distinct_rows(columns, lambda one, other: (one, other)).tolist() == [(a, b or "") for a, b in rows]
