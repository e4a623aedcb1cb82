"""Tables of a Unity Catalog catalog: `TableStore` over SQL, inside Databricks through Spark, from outside through a SQL warehouse.

What is compared and what is written is decided where the data lies: rows go up once, one query counts what would change, one MERGE
changes it. Every table gets the change data feed, its key as a property and its comments.
"""

from __future__ import annotations

import logging
import random
import re
import time
from collections.abc import Sequence
from contextlib import AbstractContextManager
from typing import Protocol

import pandas as pd
import pyarrow as pa

from em_core.errors import UserError
from em_core.storage import sql
from em_core.storage.arrow import from_arrow, storage_type, to_arrow
from em_core.storage.digest import fingerprint
from em_core.storage.rows import align, check_keys, check_scope
from em_core.storage.tables import TABLE_NAME, UpsertCounts

_log = logging.getLogger(__name__)
_ATTEMPTS = 12
_LONGEST_WAIT = 30.0  # seconds: another writer's commit takes seconds there
_PART = re.compile(r"[A-Za-z0-9_]+")
KEY_PROPERTY, GENERATED_PROPERTY = "em.key", "em.generated"
FEED = "delta.enableChangeDataFeed"


def checked_catalog(name: str) -> str:
    """The name, if it may be one of ours. Raises `UserError`."""
    if not _PART.fullmatch(name):
        raise UserError(f"{name!r} is no catalog name; it must be of letters, digits and _")
    return name


class ConcurrentWriteError(Exception):
    """Another writer changed the table while a statement ran."""


class MissingTableError(UserError):
    """A statement names a table that is not there, or may not be seen."""


class SqlEngine(Protocol):
    """Where statements run."""

    def query(self, statement: str) -> pa.Table:
        """Run one statement; its rows, with the right types also where there are none.

        Raises `UserError` with the first line of what the service said, `MissingTableError` among them, and `ConcurrentWriteError`
        where a write lost a race.
        """

    def staged(self, rows: pa.Table) -> AbstractContextManager[str]:
        """Rows as a relation that statements may name in FROM, gone afterwards."""


class CatalogStore:
    """`TableStore` of the tables `catalog.layer.table`, safe for several writers at once."""

    def __init__(self, catalog: str, engine: SqlEngine) -> None:
        self.catalog = checked_catalog(catalog)
        self.engine = engine

    def full_name(self, table: str) -> str:
        """`catalog`.`layer`.`table`, quoted. Raises `ValueError` on a name that is not `layer.table`."""
        if not TABLE_NAME.fullmatch(table):
            raise ValueError(f"{table!r} is no table name; it must look like layer.table, of letters, digits and _")
        return sql.quoted(self.catalog, *table.split("."))

    def exists(self, table: str) -> bool:
        return self._properties(table) is not None

    def version(self, table: str) -> int:
        return self._version(table)

    def read(
        self,
        table: str,
        columns: Sequence[str] | None = None,
        filter: sql.Filter | None = None,  # noqa: A002
        *,
        version: int | None = None,
    ) -> pd.DataFrame:
        properties = self._properties(table)
        if properties is None:
            raise self._missing(table)
        at = "" if version is None else f" VERSION AS OF {int(version)}"
        known = self._schema(table, properties, at).names
        names = list(known if columns is None else columns)
        unknown = [name for name in (*names, *(filter or {})) if name not in known]
        if unknown:
            raise UserError(f"{table}: no column {unknown[0]!r}; it has: {', '.join(known)}")
        if not names:
            raise ValueError("no columns to read")
        statement = f"SELECT {sql.listed(names)} FROM {self.full_name(table)}{at}"
        if filter:
            statement += f" WHERE {sql.condition(filter)}"
        key = [name for name in properties.get(KEY_PROPERTY, "").split(",") if name in known]
        if key:
            statement += f" ORDER BY {sql.listed(key)}"
        return from_arrow(_stored(self.engine.query(statement)))

    def replace(
        self, table: str, frame: pd.DataFrame, *, key: Sequence[str] = (), schema: pa.Schema | None = None
    ) -> int:
        rows = to_arrow(frame, schema, table)
        check_keys(rows, key, table)
        name = self.full_name(table)
        properties = self._properties(table)
        if properties is not None:
            now = self._schema(table, properties)
            same = [(f.name, f.type) for f in now] == [(f.name, f.type) for f in rows.schema]
            if same and properties.get(KEY_PROPERTY, "") == ",".join(key):
                if fingerprint(self.read(table)) != fingerprint(from_arrow(rows)):
                    with self.engine.staged(rows) as relation:
                        # One commit that keeps comments, grants and history.
                        self._write(
                            f"INSERT OVERWRITE {name} SELECT {sql.listed(rows.column_names)} FROM {relation}", table
                        )
                return self._version(table)
        with self.engine.staged(rows) as relation:
            self._write(
                f"CREATE OR REPLACE TABLE {name} {_properties(key)} AS SELECT {sql.casts(rows.schema)} FROM {relation}",
                table,
            )
        for field in rows.schema:
            if said := (field.metadata or {}).get(b"comment"):
                comment = sql.literal(said.decode())
                self._write(f"ALTER TABLE {name} ALTER COLUMN {sql.quoted(field.name)} COMMENT {comment}", table)
        return self._version(table)

    def upsert(
        self,
        table: str,
        frame: pd.DataFrame,
        key: Sequence[str],
        *,
        scope: sql.Filter | None = None,
        ignore: Sequence[str] = (),
        schema: pa.Schema | None = None,
    ) -> UpsertCounts:
        rows = to_arrow(frame, schema, table)
        if not key:
            raise ValueError("an upsert needs a key")
        check_keys(rows, key, table)
        check_scope(rows, scope or {}, table)
        name = self.full_name(table)
        properties = self._properties(table)
        if properties is None:
            described = ", ".join(sql.column(field) for field in rows.schema)
            self._write(f"CREATE TABLE IF NOT EXISTS {name} ({described}) {_properties(key)}", table)
        old = self._schema(table, properties or {})
        rows = align(rows, old, table)
        fresh = [field for field in rows.schema if field.name not in old.names]
        if fresh:
            self._write(f"ALTER TABLE {name} ADD COLUMNS ({', '.join(map(sql.column, fresh))})", table)
        columns = rows.column_names
        with self.engine.staged(rows) as relation:
            for attempt in range(_ATTEMPTS):
                found = self.engine.query(sql.merge_counts(name, relation, columns, key, ignore, scope)).to_pylist()[0]
                if found["joined"] != rows.num_rows:
                    raise UserError(
                        f"{table}: the table holds several rows of one key ({', '.join(key)}); it cannot be upserted"
                    )
                inserted, updated, deleted = (int(found[part]) for part in ("inserted", "updated", "deleted"))
                counts = UpsertCounts(inserted, updated, rows.num_rows - inserted - updated, deleted)
                if not counts.changed:
                    return counts
                try:
                    self.engine.query(sql.merge(name, relation, columns, key, ignore, scope))
                except ConcurrentWriteError:
                    wait = random.uniform(0, min(_LONGEST_WAIT, 0.5 * 2**attempt))
                    _log.info("%s was changed by another writer; trying again in %.1f s", table, wait)
                    time.sleep(wait)
                else:
                    return counts
        raise RuntimeError(f"{table}: other writers changed the table during each of {_ATTEMPTS} attempts to write")

    def _write(self, statement: str, table: str) -> None:
        try:
            self.engine.query(statement)
        except ConcurrentWriteError as error:
            raise RuntimeError(f"{table}: another writer changed the table meanwhile") from error

    def _missing(self, table: str) -> UserError:
        return UserError(f"there is no table {table} in the catalog {self.catalog}")

    def _version(self, table: str) -> int:
        try:
            found = self.engine.query(f"DESCRIBE HISTORY {self.full_name(table)} LIMIT 1")
        except MissingTableError:
            raise self._missing(table) from None
        return int(found["version"][0].as_py())

    def _properties(self, table: str) -> dict[str, str] | None:
        """The table's properties, None if it is not there."""
        name = self.full_name(table)
        try:
            found = self.engine.query(f"SHOW TBLPROPERTIES {name}").to_pylist()
        except MissingTableError:
            return None
        return {str(row["key"]): str(row["value"]) for row in found}

    def _schema(self, table: str, properties: dict[str, str], at: str = "") -> pa.Schema:
        """The columns that rows bring; those that the table generates are its own."""
        made = properties.get(GENERATED_PROPERTY, "").split(",")
        whole = _stored(self.engine.query(f"SELECT * FROM {self.full_name(table)}{at} LIMIT 0")).schema
        return pa.schema([field for field in whole if field.name not in made])


def _properties(key: Sequence[str]) -> str:
    return sql.properties({FEED: "true", **({KEY_PROPERTY: ",".join(key)} if key else {})})


def _stored(rows: pa.Table) -> pa.Table:
    """Types as `TableStore` knows them, whatever layout and zone the engine prefers."""
    return rows.cast(pa.schema([pa.field(field.name, storage_type(field.type)) for field in rows.schema]))
