"""Products of sparse rows: which rows are nearest, within a budget of postings, and the exact cosines of chosen pairs."""

from __future__ import annotations

import numpy as np
import scipy.sparse as sp
from sparse_dot_topn import sp_matmul_topn

from em_core.threads import threads

# Cells of the dense block that the queries' weights are spread into (float32: 32 MB).
_CELLS = 8_000_000


def row_of(matrix: sp.csr_matrix) -> np.ndarray:
    """(nnz,) the row of each stored value."""
    return np.repeat(np.arange(matrix.shape[0]), np.diff(matrix.indptr))


def place_in_run(sorted_keys: np.ndarray) -> np.ndarray:
    """(n,) place of each value within its run of equal values: 0, 1, 2 ..."""
    start = np.flatnonzero(np.r_[True, sorted_keys[1:] != sorted_keys[:-1]]) if len(sorted_keys) else np.zeros(0, int)
    length = np.diff(np.r_[start, len(sorted_keys)])
    return np.arange(len(sorted_keys)) - np.repeat(start, length)


def rarest_columns(queries: sp.csr_matrix, postings: np.ndarray, budget: int, fewest: int) -> sp.csr_matrix:
    """Each row of `queries` (n, v) cut down to its rarest columns, weights kept.

    `postings` (v,): rows that carry a column. Columns are taken from the rarest on while their postings add up to `budget` at most;
    the `fewest` rarest are always taken. Ties go to the smaller column.
    """
    row, cost = row_of(queries), postings[queries.indices].astype(np.int64)
    order = np.lexsort((queries.indices, cost, row))
    total = np.r_[0, np.cumsum(cost[order])]
    spent = total[1:] - total[queries.indptr[row]]
    kept = np.sort(order[(spent <= budget) | (place_in_run(row) < fewest)])
    indptr = np.r_[0, np.cumsum(np.bincount(row[kept], minlength=queries.shape[0]))].astype(queries.indptr.dtype)
    return sp.csr_matrix((queries.data[kept], queries.indices[kept], indptr), shape=queries.shape)


def best_rows(queries: sp.csr_matrix, columns: sp.csr_matrix, k: int) -> tuple[np.ndarray, np.ndarray]:
    """The k columns of the product `queries` (n, v) x `columns` (v, d) with the greatest values, for each row.

    Returns (query, column) positions, sorted by query and falling value; columns that share nothing are left out. Ties go to the smaller
    column, also at the cut.
    """
    if not columns.shape[1] or not queries.nnz:
        return np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.int64)
    best = sp_matmul_topn(queries, columns, top_n=min(k + 1, columns.shape[1]), sort=True, n_threads=threads())
    query, column, value = row_of(best), best.indices.astype(np.int64), best.data
    order = np.lexsort((column, -value, query))
    query, column, value = query[order], column[order], value[order]
    place = place_in_run(query)
    # The product keeps any of those that tie at the cut: such rows are worked out in full.
    tied = np.flatnonzero((place == k) & (np.r_[np.nan, value[:-1]] == value))
    again = query[tied]
    kept = (place < k) & ~np.isin(query, again)
    if not len(again):
        return query[kept], column[kept]
    whole = (queries[again] @ columns).tocsr()
    row = row_of(whole)
    order = np.lexsort((whole.indices, -whole.data, row))
    order = order[place_in_run(row[order]) < k]
    query = np.r_[query[kept], again[row[order]]]
    column = np.r_[column[kept], whole.indices[order].astype(np.int64)]
    order = np.argsort(query, kind="stable")
    return query[order], column[order]


def pair_products(queries: sp.csr_matrix, rows: sp.csr_matrix, query: np.ndarray, row: np.ndarray) -> np.ndarray:
    """(p,) float32 inner products of the pairs `queries[query]` and `rows[row]`; `query` is sorted.

    The weights of a block of queries are spread into a dense table, so that each pair costs one look-up per stored value of its row.
    """
    width = queries.shape[1]
    step = max(1, _CELLS // max(1, width))
    out = np.zeros(len(query), dtype=np.float32)
    table = np.zeros(min(step, queries.shape[0]) * width, dtype=np.float32)
    for start in range(0, queries.shape[0], step):
        block = queries[start : start + step]
        at = row_of(block) * width + block.indices
        table[at] = block.data
        begin, end = np.searchsorted(query, [start, start + step])
        out[begin:end] = _looked_up(table, (query[begin:end] - start) * width, rows[row[begin:end]])
        table[at] = 0.0
    return out


def _looked_up(table: np.ndarray, offset: np.ndarray, rows: sp.csr_matrix) -> np.ndarray:
    """(p,) sums of each row's values times the table's at `offset` plus the column."""
    length = np.diff(rows.indptr)
    terms = table.take(np.repeat(offset, length) + rows.indices)
    terms *= rows.data
    out = np.zeros(len(length), dtype=np.float32)
    filled = length > 0
    if filled.any():
        out[filled] = np.add.reduceat(terms, rows.indptr[:-1][filled])
    return out
