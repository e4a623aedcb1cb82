"""Matching on Spark: the same engine over a Spark DataFrame of any size, one result row for each record.

Matcher folder and index are files that every worker sees (a volume). Each worker process opens them once, memory-mapped, so workers of
one machine share the pages. Nothing is broadcast and `sparkContext` is never touched: the code runs on classic clusters, in standard
access mode, on serverless compute and through Spark Connect. The wheel must be installed where the workers are.
"""

from __future__ import annotations

import logging
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd
import pyarrow as pa

from em_core.errors import UserError
from em_core.schema import RESULT, RESULT_SCHEMA, SOURCE, Contract
from em_core.storage import sql
from em_core.storage.arrow import from_arrow, to_arrow

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

    from em_core.matcher import Matcher

log = logging.getLogger(__name__)
# Places that are mounted over a network: mapped pages would be fetched one by one.
_REMOTE = ("/Volumes/", "/dbfs/", "/Workspace/")
#: What a single record can do to the engine. Anything else (memory, disk, a missing file) is no record's fault and ends the task.
ROW_FAULTS = (UserError, ValueError, TypeError, LookupError, ArithmeticError, AttributeError)
_ROWS_A_TASK = 50_000
_TASKS_A_CORE = 3
CANDIDATE_SCHEMA = pa.schema(
    [
        ("source_system", pa.string()),
        ("source_id", pa.string()),
        ("place", pa.int64()),
        ("entity_id", pa.string()),
        ("name", pa.string()),
        ("probability", pa.float64()),
    ]
)
_DDL: dict[pa.DataType, str] = {
    pa.string(): "string",
    pa.float64(): "double",
    pa.float32(): "float",
    pa.int64(): "bigint",
    pa.timestamp("us", tz="UTC"): "timestamp",
    pa.list_(pa.string()): "array<string>",
    pa.list_(pa.float32()): "array<float>",
}


def ddl(schema: pa.Schema) -> str:
    """An Arrow schema as Spark writes it."""
    return ", ".join(f"`{field.name}` {_DDL[field.type]}" for field in schema)


def udf_type() -> str:
    """The result type of a matcher that is asked by `mlflow.pyfunc.spark_udf`, which knows no times: `matched_at` comes as text."""
    kinds = [field.with_type(pa.string()) if field.name == "matched_at" else field for field in RESULT_SCHEMA]
    return ddl(pa.schema(kinds))


def udf_columns(result: str = "result") -> list[Any]:
    """The fields of a struct column that such a function gave, as columns; what was missing, which MLflow turns into the text `None`, is
    null again."""
    from pyspark.sql import functions as f

    def column(name: str) -> Any:
        # A name may be any text: it is missing where its entity is.
        tested = "matched_entity_id" if name == "matched_name" else name
        value = f.col(f"{result}.{name}")
        if RESULT_SCHEMA.field(name).type != pa.string():
            return value.alias(name)
        return f.when(f.col(f"{result}.{tested}") != "None", value).alias(name)

    return [column(name) for name in RESULT.columns]


def partitions(records: int, cores: int) -> int:
    """How many partitions keep all cores busy to the end with tasks that can be repeated cheaply.

    At least three a core, so that a slow task does not hold up the rest, and at most 50,000 records each; but not so few records in one
    (under 500) that opening the matcher costs more than matching them.
    """
    wanted = max(_TASKS_A_CORE * cores, -(-records // _ROWS_A_TASK))
    return max(1, min(wanted, -(-records // 500)))


def contract(table: DataFrame, wanted: Contract = SOURCE) -> DataFrame:
    """The columns of a contract, in its order; those that the table lacks are null, others are left out.

    Raises `UserError` if a key column or `name` is missing. Keys are taken as they are: see `repeated_keys`.
    """
    from pyspark.sql import functions as f

    absent = [name for name in (*wanted.key, "name") if name not in table.columns]
    if absent:
        raise UserError(f"{wanted.name}: there is no column {absent[0]!r}")

    def column(name: str) -> Any:
        kind = "array<string>" if name == "aliases" else "string"
        return (f.col(name) if name in table.columns else f.lit(None)).cast(kind).alias(name)

    return table.select(*(column(name) for name in wanted.columns))


def repeated_keys(source: DataFrame, most: int = 5) -> list[tuple[str, str]]:
    """Up to `most` keys that more than one record carries; costs one shuffle of the keys."""
    from pyspark.sql import functions as f

    counted = source.groupBy(*SOURCE.key).agg(f.count("*").alias("n")).where("n > 1").limit(most)
    return [(row[0], row[1]) for row in counted.collect()]


def match(
    source: DataFrame, matcher: Path | str, *, run_id: str, records: int | None = None, cores: int = 0
) -> DataFrame:
    """One result row (contract `RESULT`) for each row of a Spark DataFrame with the columns of the source contract.

    matcher: the matcher folder, as the workers see it. With `records` and `cores` given, rows are spread by `partitions`; else
    they stay where they are. A record that the engine cannot digest gets a BAD_INPUT row with the error; it never ends the job.
    Lazy: nothing runs before the result is used.
    """
    rows = contract(source)
    if records is not None and cores:
        rows = rows.repartition(partitions(records, cores))
    return rows.mapInArrow(_matching(str(matcher), run_id), ddl(RESULT_SCHEMA))


def candidates(source: DataFrame, matcher: Path | str, best: int = 10) -> DataFrame:
    """The most probable candidates of each record (`Matcher.candidates`), by key: for mining pairs and for review."""

    def work(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        found = open_matcher(str(matcher))
        for frame in _frames(batches):
            rows = found.candidates(frame, best)
            keys = frame[list(SOURCE.key)].iloc[rows["row"].to_numpy()].reset_index(drop=True)
            yield from _batches(pd.concat([keys, rows.drop(columns="row")], axis=1), CANDIDATE_SCHEMA)

    return contract(source).mapInArrow(work, ddl(CANDIDATE_SCHEMA))


def merge_statement(table: str, view: str, key: Sequence[str] = RESULT.key, ignore: Sequence[str] = ()) -> str:
    """SQL that brings `table` up to date with the rows of `view`; run twice it changes nothing.

    A row whose values are as before, those of `ignore` aside (who wrote it and when), is left alone.
    """
    return sql.merge(table, view, list(RESULT.columns), key, ignore)


def _matching(folder: str, run_id: str) -> Callable[[Iterator[pa.RecordBatch]], Iterator[pa.RecordBatch]]:
    def work(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        matcher = open_matcher(folder)
        for frame in _frames(batches):
            yield from _batches(match_safely(matcher, frame, run_id), RESULT_SCHEMA)

    return work


def _frames(batches: Iterator[pa.RecordBatch]) -> Iterator[pd.DataFrame]:
    for batch in batches:
        if batch.num_rows:
            yield from_arrow(pa.Table.from_batches([batch]))


def _batches(frame: pd.DataFrame, schema: pa.Schema) -> Iterator[pa.RecordBatch]:
    yield from to_arrow(frame, schema).to_batches()


def match_safely(matcher: Matcher, frame: pd.DataFrame, run_id: str) -> pd.DataFrame:
    """`Matcher.match`, in which a record that the engine cannot digest costs itself alone.

    The batch is halved until the record is found; it gets a BAD_INPUT row. If the matcher fails on a name of its own reference too, the
    fault is the matcher's and is raised.
    """
    try:
        return matcher.match(frame, run_id=run_id)
    except ROW_FAULTS as error:
        if len(frame) > 1:
            half = len(frame) // 2
            parts = [frame.iloc[:half].reset_index(drop=True), frame.iloc[half:].reset_index(drop=True)]
            return pd.concat([match_safely(matcher, part, run_id) for part in parts], ignore_index=True)
        probe = pd.DataFrame({name: [None] for name in frame.columns}, dtype=object)
        probe["source_system"], probe["source_id"] = "probe", "probe"
        probe["name"] = str(matcher.engine.index.rows.take([0], ("name",))["name"].iloc[0])
        matcher.match(probe)
        log.warning("record %s cannot be matched: %s", frame["source_id"].iloc[0], type(error).__name__)
        return _undigested(matcher, frame, run_id, error)


def _undigested(matcher: Matcher, frame: pd.DataFrame, run_id: str, error: Exception) -> pd.DataFrame:
    first = (str(error).strip().splitlines() or ["no message"])[0]
    row = {
        "source_system": frame["source_system"].iloc[0],
        "source_id": frame["source_id"].iloc[0],
        "decision": "no_match",
        "confidence": 0.0,
        "stage": "none",
        "method": "BAD_INPUT",
        "reason": f"The record cannot be matched ({type(error).__name__}: {first}).",
        "evidence": "{}",
        "run_id": run_id,
        "matcher_version": matcher.version,
        "reference_version": matcher.reference_version,
        "matched_at": datetime.now(UTC),
    }
    return pd.DataFrame([row], columns=list(RESULT.columns))


@lru_cache(maxsize=1)
def open_matcher(folder: str) -> Matcher:
    """The matcher of this worker process, opened once. From a mounted store it is copied to the machine's disk first, by one worker."""
    # A worker for each core: threads of their own would only stand in each other's way. Read by libraries that load from here on.
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    from em_core.matcher import Matcher

    return Matcher.load(_near(Path(folder)) if folder.startswith(_REMOTE) else folder)


def _near(folder: Path, disk: Path | None = None) -> Path:
    """A copy of a matcher folder on the local disk, shared by the workers of this machine."""
    import fcntl  # workers run on Linux

    from em_core.matcher import matcher_version

    version = matcher_version(folder)
    if version is None:
        raise UserError(f"{folder}: there is no matcher")
    root = (disk or Path(tempfile.gettempdir())) / "entity-matching"
    root.mkdir(parents=True, exist_ok=True)
    target = root / version
    # The lock goes with its process: a worker that dies while it copies leaves nothing that others wait for.
    with (root / f"{version}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not target.is_dir():
            aside = root / f".{version}.copied"
            shutil.rmtree(aside, ignore_errors=True)
            shutil.copytree(folder, aside)
            aside.rename(target)
    return target
