"""What the steps that run on Spark share."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from em_core.errors import UserError

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

_TABLE = re.compile(r"(\w+\.){0,2}\w+")


def spark_session() -> SparkSession:
    """The session of this cluster, or a new one. Raises `UserError` where pyspark is not installed."""
    try:
        from pyspark.sql import SparkSession
    except ImportError:
        raise UserError("there is no Spark here") from None
    return SparkSession.builder.getOrCreate()


def check_table_name(flag: str, table: str) -> None:
    """Raises `UserError` for what is no table name."""
    if not _TABLE.fullmatch(table):
        raise UserError(
            f"{flag} {table!r} is no table name: letters, digits and _, up to three parts with dots between"
        )


def read_table(spark: SparkSession, table: str) -> DataFrame:
    """The table. Raises `UserError` if there is none."""
    if not spark.catalog.tableExists(table):
        raise UserError(f"there is no table {table}")
    return spark.read.table(table)


def spark_cores(spark: SparkSession) -> int:
    """What the session says; a guess of 8 where it says nothing, as on serverless compute: it sizes partitions, no more."""
    try:
        return max(1, int(spark.conf.get("spark.default.parallelism", "8") or 8))
    except ValueError:
        return 8
