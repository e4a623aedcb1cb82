"""What every table store asks of rows before it writes them: keys, scope, and the table's columns and types."""

from __future__ import annotations

from collections.abc import Sequence

import pyarrow as pa

from em_core.errors import UserError
from em_core.storage.arrow import from_arrow
from em_core.storage.sql import Filter


def check_keys(rows: pa.Table, key: Sequence[str], table: str) -> None:
    """Raise `UserError` naming table, row and column where a key is absent, missing or repeated."""
    if not key:
        return
    absent = [name for name in key if name not in rows.column_names]
    if absent:
        raise UserError(f"{table}: the rows have no key column {absent[0]!r}")
    keys = from_arrow(rows.select(list(key)))
    for name in key:
        if keys[name].isna().any():
            raise UserError(
                f"{table}, row {int(keys[name].isna().to_numpy().argmax()) + 1}, column {name!r}: the key is missing"
            )
    repeated = keys.duplicated().to_numpy()
    if repeated.any():
        position = int(repeated.argmax())
        shown = ", ".join(f"{name}={keys[name].iloc[position]!r}" for name in key)
        raise UserError(f"{table}, row {position + 1}: duplicate key ({shown})")


def check_scope(rows: pa.Table, scope: Filter, table: str) -> None:
    """Raise `ValueError` where a row lies outside the partitions that it is said to be the whole of."""
    for name, value in scope.items():
        if name not in rows.column_names:
            raise ValueError(f"{table}: the scope names column {name!r}, which the rows lack")
        outside = ~from_arrow(rows.select([name]))[name].isin(values(value))
        if outside.any():
            raise ValueError(
                f"{table}, row {int(outside.to_numpy().argmax()) + 1}: lies outside the scope {name}={value!r}"
            )


def values(value: str | Sequence[str]) -> list[str]:
    """One text or several, as a list."""
    return [value] if isinstance(value, str) else list(value)


def align(rows: pa.Table, old: pa.Schema, table: str) -> pa.Table:
    """The rows with the table's columns and types first, then their own new columns; absent columns are null.

    Raises `UserError` where a column's values do not fit the table's type.
    """
    arrays = []
    for field in old:
        column = rows[field.name] if field.name in rows.column_names else None
        if column is None or column.null_count == rows.num_rows:
            arrays.append(pa.nulls(rows.num_rows, type=field.type))
            continue
        clash = f"{table}, column {field.name!r}: the table holds {field.type}, the new rows {column.type}"
        if pa.types.is_string(field.type) != pa.types.is_string(column.type):
            raise UserError(clash)
        try:
            arrays.append(column.cast(field.type))
        except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
            raise UserError(clash) from None
    # A new column without any value would fix its type for good.
    fresh = [f for f in rows.schema if f.name not in old.names and rows[f.name].null_count < rows.num_rows]
    # The table's own fields, with their metadata: some versions of delta-rs write those of a merge's source.
    return pa.table([*arrays, *(rows[field.name] for field in fresh)], schema=pa.schema([*old, *fresh]))
