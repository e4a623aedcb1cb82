"""One Delta Lake folder through delta-rs: snapshot reads, whole-table writes, keyed changes.

Reads go through delta-rs's own query engine. The pyarrow dataset of a Delta table calls back into Python from threads
that outlive the interpreter, which now and then aborts a process that had already done its work.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Sequence
from pathlib import Path

import pandas as pd
import pyarrow as pa
from deltalake import CommitProperties, DeltaTable, QueryBuilder, write_deltalake
from deltalake.exceptions import CommitFailedError, DeltaError

from em_core.errors import UserError
from em_core.storage.arrow import from_arrow, is_list, is_text
from em_core.storage.atomic import os_reason
from em_core.storage.sql import Filter

_log = logging.getLogger(__name__)
# Field metadata: the column's place in the key, so that reads come back in key order.
_KEY = b"em.key"
_CHANGE = "__change"
_LOG = "_delta_log"
_ATTEMPTS = 12
# Paths that delta-rs makes a URL of that it cannot read back: it panics, or looks for the files elsewhere.
_UNFIT = re.compile(r"[\[\]^|]|%[0-9A-Fa-f]{2}")


def is_delta(path: Path) -> bool:
    """True if the folder holds a Delta transaction log with at least one commit."""
    log = path / _LOG
    return log.is_dir() and any(entry.suffix in (".json", ".parquet") for entry in log.iterdir())


def open_delta(path: Path, version: int | None = None) -> DeltaTable:
    """The table's snapshot, the newest or an older `version`. Raises `UserError` if it is not there or damaged."""
    if not is_delta(path):
        raise UserError(f"{path} is not a Delta table")
    _check_path(path)
    try:
        return DeltaTable(str(path), version=version)
    except Exception as error:  # a bare Exception is all that some versions of delta-rs raise for a damaged log
        what = f"{path}" if version is None else f"{path}, version {version}"
        raise UserError(f"cannot read the Delta table {what}: {_first_line(error)}") from error


def _check_path(path: Path) -> None:
    if unfit := _UNFIT.search(str(path.absolute())):
        raise UserError(f"{path}: a Delta table cannot lie in a folder with {unfit[0]!r} in its path; choose another")


def schema_of(table: DeltaTable) -> pa.Schema:
    """Column names, Arrow types and field metadata (such as `comment`)."""
    return pa.schema(table.schema().to_arrow())


def read_delta(table: DeltaTable, columns: Sequence[str] | None = None, where: Filter | None = None) -> pd.DataFrame:
    """Rows of a snapshot as a frame, in key order where the table knows its key, else in the order of its files.

    `where` keeps rows whose column equals a text or is one of several; all its conditions hold together.
    Raises `UserError` on an unknown column or an unreadable data file.
    """
    schema = schema_of(table)
    names = list(schema.names if columns is None else columns)
    unknown = [name for name in (*names, *(where or {})) if name not in schema.names]
    if unknown:
        raise UserError(f"{_place(table)}: no column {unknown[0]!r}; it has: {', '.join(schema.names)}")
    if not names:
        raise ValueError("no columns to read")
    query = f"SELECT {', '.join(_selected(schema.field(name)) for name in names)} FROM t"
    if where:
        query += f" WHERE {_condition(where)}"
    key = _recorded_key(schema)
    if key:
        query += f" ORDER BY {', '.join(_quoted(name) for name in key)}"
    try:
        engine = QueryBuilder().register("t", table)
        if not key:
            # One reader keeps the files' own order; several would mix it from run to run.
            engine.execute("SET datafusion.execution.target_partitions = 1").read_all()
        rows = pa.table(engine.execute(query).read_all())
    except Exception as error:  # a bare Exception is all that the engine raises for a lost data file
        raise UserError(f"cannot read the Delta table {_place(table)}: {_first_line(error)}") from error
    return from_arrow(rows.rename_columns(names))


def create_delta(path: Path, schema: pa.Schema, key: Sequence[str] = ()) -> DeltaTable:
    """An empty table that remembers its key; the existing one if another writer was first.

    A table starts empty because two writers that both create a table with rows would both succeed and double them.
    Raises `UserError` if the folder cannot be written or holds other things.
    """
    _check_path(path)
    try:
        path.mkdir(parents=True, exist_ok=True)
        # In this order: another writer may be making the same table.
        if any(entry.name != _LOG for entry in path.iterdir()) and not is_delta(path):
            raise UserError(f"cannot write {path}: the folder is not empty and is not a Delta table")
        return DeltaTable.create(str(path), with_key(schema, key), mode="ignore")
    except OSError as error:
        raise UserError(f"cannot write {path}: {os_reason(error)}") from None
    except DeltaError as error:
        if is_delta(path):
            return open_delta(path)
        raise UserError(f"cannot write {path}: {_first_line(error)}") from None


def overwrite_delta(path: Path, rows: pa.Table, key: Sequence[str] = ()) -> int:
    """Make `rows` the table's whole content and schema in one transaction; returns the version that holds it.

    Raises `UserError` if the folder cannot be written or holds other things.
    """
    table = open_delta(path) if is_delta(path) else create_delta(path, rows.schema, key)
    rows = rows.cast(with_key(rows.schema, key))
    for _ in range(_ATTEMPTS):
        before = table.version()
        try:
            write_deltalake(str(path), rows, mode="overwrite", schema_mode="overwrite")
        except CommitFailedError:
            _log.info("%s was changed by another writer; trying again", path)
            table = open_delta(path)
            continue
        except (DeltaError, OSError) as error:
            raise UserError(f"cannot write {path}: {_first_line(error)}") from None
        table = open_delta(path)
        # A higher version: delta-rs lets rows that another writer added meanwhile stand beside an overwrite.
        if table.version() == before + 1:
            return table.version()
    raise RuntimeError(f"{path}: other writers changed the table during each of {_ATTEMPTS} attempts to write")


def merge_delta(table: DeltaTable, upserts: pa.Table, deletes: pa.Table, key: Sequence[str]) -> None:
    """Insert or update `upserts` and delete the keys in `deletes`, in one transaction on the snapshot `table`.

    New columns join the table. Raises `CommitFailedError` if another writer was faster: open again and decide anew.
    """
    change = pa.field(_CHANGE, pa.string())
    changes = pa.concat_tables(
        [
            part.append_column(change, pa.array([kind] * part.num_rows, type=pa.string()))
            for part, kind in ((upserts, "upsert"), (deletes, "delete"))
        ],
        promote_options="default",
    )
    values = {_quoted(name): f"source.{_quoted(name)}" for name in upserts.column_names}
    (
        table.merge(
            changes,
            predicate=" AND ".join(f"target.{_quoted(name)} = source.{_quoted(name)}" for name in key),
            source_alias="source",
            target_alias="target",
            merge_schema=not set(upserts.column_names) <= set(schema_of(table).names),
            commit_properties=CommitProperties(max_commit_retries=0),
        )
        .when_matched_delete(predicate=f"source.{_CHANGE} = 'delete'")
        .when_matched_update(values, predicate=f"source.{_CHANGE} = 'upsert'")
        .when_not_matched_insert(values, predicate=f"source.{_CHANGE} = 'upsert'")
        .execute()
    )


def with_key(schema: pa.Schema, key: Sequence[str]) -> pa.Schema:
    """The schema with each key column marked with its place in the key."""
    fields = []
    for field in schema:
        metadata = {k: v for k, v in (field.metadata or {}).items() if k != _KEY}
        if field.name in key:
            metadata[_KEY] = str(list(key).index(field.name)).encode()
        fields.append(field.with_metadata(metadata))
    return pa.schema(fields)


def _recorded_key(schema: pa.Schema) -> list[str]:
    places = {field.name: int(field.metadata[_KEY]) for field in schema if field.metadata and _KEY in field.metadata}
    return sorted(places, key=lambda name: places[name])


def _selected(field: pa.Field) -> str:
    name = _quoted(field.name)
    if is_list(field.type) and is_text(field.type.value_type):
        # The engine's own text layout inside a list is more than older pyarrow can hand to pandas.
        return f"arrow_cast({name}, 'List(Utf8)') AS {name}"
    return name


def _condition(where: Filter) -> str:
    parts = []
    for name, value in where.items():
        values = [value] if isinstance(value, str) else list(value)
        texts = ", ".join("'" + str(v).replace("'", "''") + "'" for v in values)
        parts.append(f"{_quoted(name)} IN ({texts})" if values else "FALSE")
    return " AND ".join(parts)


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _place(table: DeltaTable) -> str:
    return table.table_uri.removeprefix("file://").rstrip("/")


def _first_line(error: BaseException) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]


__all__ = [
    "CommitFailedError",
    "Filter",
    "create_delta",
    "is_delta",
    "merge_delta",
    "open_delta",
    "overwrite_delta",
    "read_delta",
    "schema_of",
    "with_key",
]
