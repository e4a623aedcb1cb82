"""A stand-in for a SQL warehouse: statements of Databricks SQL are parsed as such, translated and run by DuckDB.

What a Delta table has beyond DuckDB is kept beside it: versions with time travel, table properties, column comments, generated columns.
GRANT, CREATE VOLUME and the like are parsed and remembered. A write of one statement is one version, or none at all if it fails.
"""

from __future__ import annotations

import re
import threading
from dataclasses import dataclass, field, replace
from pathlib import Path

import duckdb
import pyarrow as pa
import sqlglot
from sqlglot import exp

_HISTORY = re.compile(r"DESCRIBE HISTORY (\S+)( LIMIT 1)?", re.I)
_PROPERTIES = re.compile(r"SHOW TBLPROPERTIES (\S+)", re.I)
_OTHER = re.compile(r"(GRANT|CREATE VOLUME|CREATE CATALOG|COMMENT ON|ALTER VIEW|USE) ", re.I)


class WarehouseError(Exception):
    """What the service answers; the text begins with its error class."""


@dataclass
class Table:
    """What DuckDB does not know about a table."""

    properties: dict[str, str] = field(default_factory=dict)
    comments: dict[str, str] = field(default_factory=dict)
    generated: dict[str, str] = field(default_factory=dict)
    version: int = -1


class Warehouse:
    """Catalogs of one DuckDB in memory; the schema `gold` of the catalog `main` is DuckDB's schema `main__gold`."""

    def __init__(self, root: Path, catalogs: tuple[str, ...] = ("main",)) -> None:
        self.root = root
        """`/Volumes/...` lies here"""
        self.base = duckdb.connect()
        self.tables: dict[str, Table] = {}
        self.other: list[str] = []
        self.race = 0
        """so many of the next writes lose a race"""
        self._lock = threading.Lock()
        self.base.execute("SET TimeZone = 'UTC'")
        self.base.execute("CREATE SCHEMA past")
        for catalog in catalogs:
            self.base.execute(f'CREATE SCHEMA "{catalog}__information_schema"')
            self.base.execute(
                f"CREATE VIEW \"{catalog}__information_schema\".tables AS SELECT replace(table_schema, '{catalog}__', '') AS table_schema, "
                f"table_name FROM information_schema.tables WHERE starts_with(table_schema, '{catalog}__')"
            )

    def execute(self, statement: str) -> pa.Table:
        """Run one statement."""
        with self._lock:
            try:
                return self._execute(statement)
            except sqlglot.errors.SqlglotError as error:
                raise WarehouseError(f"[PARSE_SYNTAX_ERROR] {str(error).splitlines()[0]}") from None
            except duckdb.CatalogException as error:
                raise WarehouseError(f"[TABLE_OR_VIEW_NOT_FOUND] {str(error).splitlines()[0]}") from None
            except duckdb.Error as error:
                raise WarehouseError(f"[UNRESOLVED] {str(error).splitlines()[0]}") from None

    def _execute(self, statement: str) -> pa.Table:
        if "${" in statement:
            raise WarehouseError("[PARSE_SYNTAX_ERROR] a variable would be put into this text")
        if found := _HISTORY.fullmatch(statement):
            table = self._known(sqlglot.to_table(found[1], dialect="databricks"))
            versions = list(range(table.version, -1, -1))
            shown = versions[:1] if found[2] else versions
            metrics = pa.array([[("numOutputRows", "1")]] * len(shown), pa.map_(pa.string(), pa.string()))
            job = pa.array([{"jobId": "1"}] * len(shown), pa.struct([("jobId", pa.string())]))
            return pa.table({"version": pa.array(shown, pa.int64()), "job": job, "operationMetrics": metrics})
        if found := _PROPERTIES.fullmatch(statement):
            told = self._known(sqlglot.to_table(found[1], dialect="databricks")).properties
            return pa.table(
                {"key": pa.array(list(told), pa.string()), "value": pa.array(list(told.values()), pa.string())}
            )
        tree = sqlglot.parse_one(statement, read="databricks")
        if _OTHER.match(statement):
            self.other.append(statement)
            return pa.table({})
        if isinstance(tree, exp.Create) and tree.kind in ("SCHEMA", "VIEW"):
            tree.set("properties", None)
            self.base.execute(self._duck(tree))
            self.other.append(statement)
            return pa.table({})
        if isinstance(tree, exp.Select):
            return self._select(tree)
        if self.race:
            self.race -= 1
            raise WarehouseError("[DELTA_CONCURRENT_APPEND] ConcurrentAppendException: files were added meanwhile")
        self._write(tree)
        return pa.table({})

    def _known(self, table: exp.Table) -> Table:
        if _key(table) not in self.tables:
            raise WarehouseError(f"[TABLE_OR_VIEW_NOT_FOUND] The table or view {_key(table)} cannot be found.")
        return self.tables[_key(table)]

    def _select(self, tree: exp.Select) -> pa.Table:
        for node in list(tree.find_all(exp.Table)):
            if version := node.args.get("version"):
                number = int(version.expression.this)
                if not 0 <= number <= self._known(node).version:
                    raise WarehouseError(f"[DELTA_VERSION_NOT_FOUND] there is no version {number} of {_key(node)}")
                node.replace(exp.to_table(_past(_key(node), number), dialect="duckdb"))
        return self.base.sql(self._duck(tree)).to_arrow_table()

    def _write(self, tree: exp.Expression) -> None:
        target = tree.this.this if isinstance(tree.this, exp.Schema) else tree.this
        key, there = (
            _key(target),
            self._duck(exp.Table(this=target.this, db=target.args["db"], catalog=target.args["catalog"])),
        )
        if isinstance(tree, exp.Create) and key in self.tables and not tree.args.get("replace"):
            return
        table = replace(self.tables.get(key, Table())) if isinstance(tree, exp.Create) else replace(self._known(target))
        self.base.execute("BEGIN")
        try:
            if isinstance(tree, exp.Create):
                self._create(tree, table)
            elif isinstance(tree, exp.Alter):
                self._alter(tree, table, there)
            elif isinstance(tree, exp.Insert) and tree.args.get("overwrite"):
                self.base.execute(f"DELETE FROM {there}")
                self.base.execute(f"INSERT INTO {there} {self._duck(tree.expression)}")
            elif isinstance(tree, exp.Merge | exp.Insert | exp.Delete):
                self.base.execute(self._duck(tree))
            else:
                raise WarehouseError(f"[PARSE_SYNTAX_ERROR] {type(tree).__name__} is not known here")
            table.version += 1
            self.base.execute(f"CREATE TABLE {_past(key, table.version)} AS SELECT * FROM {there}")
        except BaseException:
            self.base.execute("ROLLBACK")
            raise
        self.base.execute("COMMIT")
        self.tables[key] = table

    def _create(self, tree: exp.Create, table: Table) -> None:
        table.properties, table.comments, table.generated = {}, {}, {}
        properties = tree.args.get("properties")
        for one in properties.expressions if properties else []:
            if type(one) is exp.Property:
                table.properties[one.this.name] = one.args["value"].name
        for column in tree.this.expressions if isinstance(tree.this, exp.Schema) else []:
            kept = []
            for constraint in column.args.get("constraints") or []:
                if isinstance(constraint.kind, exp.CommentColumnConstraint):
                    table.comments[column.name] = constraint.kind.this.name
                else:
                    kept.append(constraint)
                if isinstance(constraint.kind, exp.ComputedColumnConstraint):
                    table.generated[column.name] = constraint.kind.this.sql("databricks")
                    constraint.kind.set("this", exp.paren(constraint.kind.this))
            column.set("constraints", kept)
        tree.set("properties", None)
        self.base.execute(self._duck(tree))

    def _alter(self, tree: exp.Alter, table: Table, there: str) -> None:
        table.comments = dict(table.comments)
        for action in tree.args["actions"]:
            if isinstance(action, exp.AlterColumn):
                table.comments[action.name] = action.args["comment"].name
                continue
            for column in action.expressions:
                for constraint in column.args.get("constraints") or []:
                    table.comments[column.name] = constraint.kind.this.name
                kind = column.args["kind"].sql("duckdb")
                self.base.execute(f'ALTER TABLE {there} ADD COLUMN "{column.name}" {kind}')

    def _duck(self, tree: exp.Expression) -> str:
        tree = tree.copy()
        if isinstance(tree, exp.Create) and tree.kind == "SCHEMA":
            named = tree.this
            return f'CREATE SCHEMA IF NOT EXISTS "{named.catalog or named.db}__{named.name or named.db}"'
        for node in list(tree.find_all(exp.Table)):
            if node.catalog:
                node.set("db", exp.to_identifier(f"{node.catalog}__{node.db}".lower(), quoted=True))
                node.set("catalog", None)
        for call in list(tree.find_all(exp.Anonymous)):
            if call.name.lower() == "read_files":
                place = self.root / call.expressions[0].name.lstrip("/")
                call.replace(exp.Anonymous(this="read_parquet", expressions=[exp.Literal.string(str(place))]))
        return tree.sql(dialect="duckdb")


def _key(table: exp.Table) -> str:
    return f"{table.catalog}.{table.db}.{table.name}".lower()


def _past(key: str, version: int) -> str:
    return f'past."{key.replace(".", "__")}__{version}"'
