"""Tables by name behind one small interface: Delta folders here, Unity Catalog where a workspace is at hand."""

from __future__ import annotations

import logging
import random
import re
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
import pandas as pd
import pyarrow as pa

from em_core.errors import UserError
from em_core.storage import delta
from em_core.storage.arrow import from_arrow, to_arrow
from em_core.storage.digest import fingerprint, hash_rows
from em_core.storage.rows import align, check_keys, check_scope, values

_log = logging.getLogger(__name__)
#: `layer.table`
TABLE_NAME = re.compile(r"[A-Za-z0-9_]+\.[A-Za-z0-9_]+")
_ATTEMPTS = 12
_LONGEST_WAIT = 2.0  # seconds


@dataclass(frozen=True)
class UpsertCounts:
    """What an upsert did, in rows."""

    inserted: int
    updated: int
    unchanged: int
    deleted: int

    @property
    def changed(self) -> int:
        """Rows that the table gained, lost or got anew; 0 means that no version was written."""
        return self.inserted + self.updated + self.deleted


class TableStore(Protocol):
    """Versioned tables named `layer.table`, such as `silver.training_pairs`."""

    def exists(self, table: str) -> bool:
        """True if the table was ever written."""

    def version(self, table: str) -> int:
        """The newest version; every write that changes something raises it. `UserError` if there is no table."""

    def read(
        self,
        table: str,
        columns: Sequence[str] | None = None,
        filter: delta.Filter | None = None,  # noqa: A002
        *,
        version: int | None = None,
    ) -> pd.DataFrame:
        """Rows, of an older `version` if asked; `filter` = column -> the text, or texts, that it must equal.

        Rows come in key order if the table was first written with a key. Text and lists are object columns with None
        for missing. Raises `UserError` if the table, the version or a column is not there.
        """

    def upsert(
        self,
        table: str,
        frame: pd.DataFrame,
        key: Sequence[str],
        *,
        scope: delta.Filter | None = None,
        ignore: Sequence[str] = (),
        schema: pa.Schema | None = None,
    ) -> UpsertCounts:
        """Make the table hold exactly the frame's row for each of the frame's keys, in one transaction.

        frame: columns join the table's by name; a column that the frame lacks becomes null in its rows.
        scope: column -> value, or values, of the partitions that the frame is the whole of: rows in them whose key the
            frame lacks are deleted. Every row of the frame must lie in them.
        ignore: columns that alone are no change, such as a run id: a row that differs in nothing else stays as it was.
        schema: types (and `comment` metadata) for the columns; without it they follow `em_core.storage.arrow`.
        When nothing changes, nothing is written. Raises `UserError` on a missing or repeated key, or a value that does
        not fit the table's type.
        """

    def replace(
        self, table: str, frame: pd.DataFrame, *, key: Sequence[str] = (), schema: pa.Schema | None = None
    ) -> int:
        """Make the frame the whole table, columns too; returns the version. Equal content writes nothing."""


class DeltaStore:
    """`TableStore` of Delta folders `root/layer/table`, safe for several processes of one machine at once."""

    def __init__(self, root: Path | str) -> None:
        self.root = Path(root)

    def path(self, table: str) -> Path:
        """The table's folder. Raises `ValueError` on a name that is not `layer.table`."""
        if not TABLE_NAME.fullmatch(table):
            raise ValueError(f"{table!r} is no table name; it must look like layer.table, of letters, digits and _")
        layer, name = table.split(".")
        return self.root / layer / name

    def exists(self, table: str) -> bool:
        return delta.is_delta(self.path(table))

    def version(self, table: str) -> int:
        return self._open(table).version()

    def read(
        self,
        table: str,
        columns: Sequence[str] | None = None,
        filter: delta.Filter | None = None,  # noqa: A002
        *,
        version: int | None = None,
    ) -> pd.DataFrame:
        return delta.read_delta(self._open(table, version), columns, filter)

    def replace(
        self, table: str, frame: pd.DataFrame, *, key: Sequence[str] = (), schema: pa.Schema | None = None
    ) -> int:
        rows = to_arrow(frame, schema, table)
        check_keys(rows, key, table)
        path = self.path(table)
        if delta.is_delta(path):
            current = delta.open_delta(path)
            same_columns = _described(delta.schema_of(current)) == _described(delta.with_key(rows.schema, key))
            if same_columns and fingerprint(delta.read_delta(current)) == fingerprint(from_arrow(rows)):
                return current.version()
        return delta.overwrite_delta(path, rows, key)

    def upsert(
        self,
        table: str,
        frame: pd.DataFrame,
        key: Sequence[str],
        *,
        scope: delta.Filter | None = None,
        ignore: Sequence[str] = (),
        schema: pa.Schema | None = None,
    ) -> UpsertCounts:
        rows = to_arrow(frame, schema, table)
        if not key:
            raise ValueError("an upsert needs a key")
        check_keys(rows, key, table)
        check_scope(rows, scope or {}, table)
        path = self.path(table)
        for attempt in range(_ATTEMPTS):
            target = delta.open_delta(path) if delta.is_delta(path) else delta.create_delta(path, rows.schema, key)
            plan = _plan(target, rows, key, scope or {}, ignore, table)
            if plan.counts.changed == 0:
                return plan.counts
            try:
                delta.merge_delta(target, plan.upserts, plan.deletes, key)
            except delta.CommitFailedError:
                wait = random.uniform(0, min(_LONGEST_WAIT, 0.05 * 2**attempt))
                _log.info("%s was changed by another writer; trying again in %.2f s", table, wait)
                time.sleep(wait)
            else:
                return plan.counts
        raise RuntimeError(f"{table}: other writers changed the table during each of {_ATTEMPTS} attempts to write")

    def _open(self, table: str, version: int | None = None) -> delta.DeltaTable:
        path = self.path(table)
        if not delta.is_delta(path):
            raise UserError(f"there is no table {table} in {self.root}")
        return delta.open_delta(path, version)


@dataclass(frozen=True)
class _Plan:
    upserts: pa.Table
    deletes: pa.Table
    counts: UpsertCounts


def _described(schema: pa.Schema) -> list[tuple[str, pa.DataType, dict[bytes, bytes]]]:
    """What makes two schemas the same table: names, types and comments; not the name inside a list type."""
    return [(field.name, field.type, dict(field.metadata or {})) for field in schema]


def _plan(
    target: delta.DeltaTable,
    rows: pa.Table,
    key: Sequence[str],
    scope: delta.Filter,
    ignore: Sequence[str],
    table: str,
) -> _Plan:
    """What must change in this snapshot of the table. Pure: writes nothing."""
    old_schema = delta.schema_of(target)
    rows = align(rows, old_schema, table)
    # A key that contains the scope cannot lie outside of it; any other must be sought everywhere.
    where = dict(scope) if scope and set(scope) <= set(key) else None
    old = delta.read_delta(target, where=where)
    new = from_arrow(rows)
    compared = [name for name in new.columns if name not in key and name not in ignore]
    for name in compared:
        if name not in old.columns:
            old[name] = None

    old_keys, new_keys = _index(old, key), _index(new, key)
    if not old_keys.is_unique:
        raise UserError(f"{table}: the table holds several rows of one key ({', '.join(key)}); it cannot be upserted")
    places = old_keys.get_indexer(new_keys)
    found = places >= 0
    differs = np.zeros(len(new), dtype=bool)
    if compared:
        differs[found] = hash_rows(new[found], compared) != hash_rows(old.iloc[places[found]], compared)
    write = ~found | differs

    gone = np.zeros(len(old), dtype=bool)
    if scope:
        gone = np.logical_and.reduce([old[name].isin(values(value)).to_numpy() for name, value in scope.items()])
        gone[places[found]] = False
    key_schema = pa.schema([rows.schema.field(name) for name in key])
    return _Plan(
        upserts=rows.filter(pa.array(write)),
        deletes=to_arrow(old.loc[gone, list(key)], key_schema),
        counts=UpsertCounts(
            inserted=int((~found).sum()),
            updated=int(differs.sum()),
            unchanged=int((found & ~differs).sum()),
            deleted=int(gone.sum()),
        ),
    )


def _index(frame: pd.DataFrame, key: Sequence[str]) -> pd.Index:
    return pd.MultiIndex.from_frame(frame[list(key)]) if len(key) > 1 else pd.Index(frame[key[0]])
