"""Statements of Databricks SQL: names, literals, types and the merge that upserts by key.

Sources: Databricks SQL reference (MERGE INTO, CREATE TABLE, data types, string literals).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pyarrow as pa

#: column -> the text, or texts, that it must equal
Filter = Mapping[str, str | Sequence[str]]

_TYPES: dict[pa.DataType, str] = {
    pa.string(): "STRING",
    pa.float64(): "DOUBLE",
    pa.float32(): "FLOAT",
    pa.int64(): "BIGINT",
    pa.int32(): "INT",
    pa.bool_(): "BOOLEAN",
    pa.date32(): "DATE",
    pa.binary(): "BINARY",
    pa.timestamp("us", tz="UTC"): "TIMESTAMP",
    pa.list_(pa.string()): "ARRAY<STRING>",
    pa.list_(pa.float32()): "ARRAY<FLOAT>",
    pa.list_(pa.float64()): "ARRAY<DOUBLE>",
}
_BY_NAME = {name: kind for kind, name in _TYPES.items()}


def quoted(*names: str) -> str:
    """A name of one or several parts, each in backticks."""
    return ".".join("`" + name.replace("`", "``") + "`" for name in names)


def literal(text: str) -> str:
    r"""A text literal that means exactly `text`.

    A backslash escapes in this dialect, and `${...}` would be taken for a variable before the statement is read.
    """
    parts = text.split("${")
    quotes = ["'" + part.replace("\\", "\\\\").replace("'", "\\'") + "'" for part in _guarded(parts)]
    return quotes[0] if len(quotes) == 1 else f"concat({', '.join(quotes)})"


def _guarded(parts: list[str]) -> list[str]:
    """The dollar and the brace of each `${` in different literals."""
    last = len(parts) - 1
    return [("{" if i else "") + part + ("$" if i < last else "") for i, part in enumerate(parts)]


def sql_type(kind: pa.DataType) -> str:
    """The column type that holds an Arrow type. Raises `ValueError` for one that no table of ours has."""
    if kind not in _TYPES:
        raise ValueError(f"no column type for {kind}")
    return _TYPES[kind]


def arrow_type(name: str) -> pa.DataType:
    """The Arrow type of a column type as result manifests write it; text for one that no table of ours has."""
    return _BY_NAME.get(name.upper().replace(" ", ""), pa.string())


def column(field: pa.Field, generated: str | None = None) -> str:
    """A column of `CREATE TABLE` or `ADD COLUMNS`: name, type, expression that generates it, comment."""
    made = "" if generated is None else f" GENERATED ALWAYS AS ({generated})"
    said = (field.metadata or {}).get(b"comment")
    return f"{quoted(field.name)} {sql_type(field.type)}{made}" + (f" COMMENT {literal(said.decode())}" if said else "")


def casts(schema: pa.Schema) -> str:
    """The columns of a relation as exactly these types, for SELECT."""
    return ", ".join(f"CAST({quoted(f.name)} AS {sql_type(f.type)}) AS {quoted(f.name)}" for f in schema)


def listed(names: Sequence[str]) -> str:
    """Names of columns, one after another."""
    return ", ".join(quoted(name) for name in names)


def properties(told: Mapping[str, str]) -> str:
    """Table properties of `CREATE TABLE`."""
    return f"TBLPROPERTIES ({', '.join(f'{literal(key)} = {literal(value)}' for key, value in told.items())})"


def condition(where: Filter, alias: str = "") -> str:
    """That every column equals its text or one of its texts."""
    prefix = f"{alias}." if alias else ""
    parts = []
    for name, value in where.items():
        values = [value] if isinstance(value, str) else list(value)
        texts = ", ".join(literal(str(v)) for v in values)
        parts.append(f"{prefix}{quoted(name)} IN ({texts})" if values else "FALSE")
    return " AND ".join(parts) or "TRUE"


def same(names: Sequence[str]) -> str:
    """That `t` and `s` have one key."""
    return " AND ".join(f"t.{quoted(name)} = s.{quoted(name)}" for name in names)


def differs(names: Sequence[str]) -> str:
    """That `t` and `s` differ in one of the columns; two missing values are equal."""
    return " OR ".join(f"NOT (t.{quoted(name)} <=> s.{quoted(name)})" for name in names) or "FALSE"


def merge(
    table: str,
    rows: str,
    columns: Sequence[str],
    key: Sequence[str],
    ignore: Sequence[str] = (),
    scope: Filter | None = None,
) -> str:
    """Make `table` hold exactly the row that the relation `rows` has for each of its keys; run twice it changes nothing.

    A row whose values are as before, those of `ignore` aside, is left alone. Rows in `scope` whose key is absent are deleted.
    """
    values = [name for name in columns if name not in (*key, *ignore)]
    assigned = ", ".join(f"{quoted(name)} = s.{quoted(name)}" for name in columns if name not in key)
    parts = [f"MERGE INTO {table} AS t USING {rows} AS s ON {same(key)}"]
    if values:
        parts.append(f"WHEN MATCHED AND ({differs(values)}) THEN UPDATE SET {assigned}")
    parts.append(
        f"WHEN NOT MATCHED THEN INSERT ({listed(columns)}) VALUES ({', '.join(f's.{quoted(name)}' for name in columns)})"
    )
    if scope:
        parts.append(f"WHEN NOT MATCHED BY SOURCE AND {condition(scope, 't')} THEN DELETE")
    return " ".join(parts)


def merge_counts(
    table: str,
    rows: str,
    columns: Sequence[str],
    key: Sequence[str],
    ignore: Sequence[str] = (),
    scope: Filter | None = None,
) -> str:
    """What `merge` would do: `joined` rows after the join, `inserted`, `updated`, `deleted`."""
    there = f"t.{quoted(key[0])} IS NOT NULL"
    changed = differs([name for name in columns if name not in (*key, *ignore)])
    gone = "0"
    if scope:
        gone = f"(SELECT count(*) FROM {table} AS t LEFT ANTI JOIN {rows} AS s ON {same(key)} WHERE {condition(scope, 't')})"
    counted = ", ".join(
        f"count(CASE WHEN {what} THEN 1 END) AS {name}"
        for name, what in (("inserted", f"NOT ({there})"), ("updated", f"{there} AND ({changed})"))
    )
    return (
        f"SELECT count(*) AS joined, {counted}, {gone} AS deleted "
        f"FROM {rows} AS s LEFT JOIN {table} AS t ON {same(key)}"
    )
