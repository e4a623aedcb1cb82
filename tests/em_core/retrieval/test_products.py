"""Sparse products against dense arithmetic."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import given, settings
from hypothesis import strategies as st

from em_core.retrieval import products
from em_core.retrieval.products import best_rows, pair_products, place_in_run, rarest_columns


def matrices(seed: int, queries: int, rows: int, columns: int) -> tuple[np.ndarray, np.ndarray]:
    """Dense small whole numbers, so that many products tie."""
    rng = np.random.default_rng(seed)
    left = (rng.random((queries, columns)) < 0.5) * rng.integers(1, 3, (queries, columns))
    right = (rng.random((rows, columns)) < 0.3) * rng.integers(1, 3, (rows, columns))
    return left.astype(np.float32), right.astype(np.float32)


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10**6), st.integers(0, 5), st.integers(1, 80), st.integers(1, 12))
def test_best_rows_with_ties_by_position(seed: int, n: int, d: int, k: int) -> None:
    left, right = matrices(seed, n, d, 10)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("OMP_NUM_THREADS", "2")
        query, row = best_rows(sp.csr_matrix(left), sp.csr_matrix(right.T), k)
    product = left @ right.T
    for i in range(n):
        best = [j for j in np.lexsort((np.arange(d), -product[i])) if product[i, j] > 0][:k]
        assert row[query == i].tolist() == best
    assert (np.diff(query) >= 0).all()


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10**6), st.integers(1, 6), st.integers(1, 30))
def test_pair_products_whatever_the_block(seed: int, n: int, d: int) -> None:
    left, right = matrices(seed, n, d, 10)
    query, row = np.nonzero(np.random.default_rng(seed).random((n, d)) < 0.5)
    whole = pair_products(sp.csr_matrix(left), sp.csr_matrix(right), query, row)
    assert whole == pytest.approx((left @ right.T)[query, row])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(products, "_CELLS", 20)
        assert (pair_products(sp.csr_matrix(left), sp.csr_matrix(right), query, row) == whole).all()


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10**6), st.integers(0, 60), st.integers(0, 4))
def test_rarest_columns_within_the_budget(seed: int, budget: int, fewest: int) -> None:
    left, right = matrices(seed, 4, 30, 10)
    postings = (right > 0).sum(axis=0)
    kept = rarest_columns(sp.csr_matrix(left), postings, budget, fewest).toarray()
    for row, given_row in zip(kept, left, strict=True):
        order = sorted(np.flatnonzero(given_row), key=lambda c: (postings[c], c))
        total, expected = 0, []
        for place, column in enumerate(order):
            total += postings[column]
            if total <= budget or place < fewest:
                expected.append(column)
        assert sorted(expected) == np.flatnonzero(row).tolist()
        assert (row[expected] == given_row[expected]).all()


def test_places_in_runs() -> None:
    assert place_in_run(np.array([3, 3, 5, 7, 7, 7])).tolist() == [0, 1, 0, 0, 1, 2]
    assert not len(place_in_run(np.zeros(0, dtype=np.int64)))
