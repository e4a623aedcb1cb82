"""Arrays on disk that are opened in place: nothing is read before it is used."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import scipy.sparse as sp

_PARTS = ("data", "indices", "indptr")
# Smaller files are read: an empty array cannot be mapped.
_SMALL = 4096


def save_array(path: Path, values: np.ndarray) -> None:
    """Write one uncompressed `.npy` file."""
    np.save(path, np.ascontiguousarray(values), allow_pickle=False)


def open_array(path: Path) -> np.ndarray:
    """An array mapped from its file, copied on write: the file never changes."""
    if path.stat().st_size <= _SMALL:
        return np.load(path, allow_pickle=False)
    return np.asarray(np.load(path, mmap_mode="c", allow_pickle=False))


def save_rows(stem: Path, rows: sp.csr_matrix) -> None:
    """Write a sparse matrix as `<stem>.data.npy`, `.indices.npy`, `.indptr.npy`."""
    for part in _PARTS:
        save_array(stem.with_name(f"{stem.name}.{part}.npy"), getattr(rows, part))


def open_rows(stem: Path, columns: int) -> sp.csr_matrix:
    """What `save_rows` wrote, mapped; `columns` is its width."""
    data, indices, indptr = (open_array(stem.with_name(f"{stem.name}.{part}.npy")) for part in _PARTS)
    rows = sp.csr_matrix((data, indices, indptr), shape=(len(indptr) - 1, columns), copy=False)
    # Both are known: asking would read the whole file.
    rows.has_sorted_indices = rows.has_canonical_format = True
    return rows
