"""Matches a table on Spark in a process of its own, by the classic way or through Spark Connect, and writes what came out.

python -m tests.spark.job --mode connect --source feed.parquet --reference master.parquet --matcher FOLDER --encoder FOLDER --out FOLDER
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from pathlib import Path

import pandas as pd

from em_core import spark as on_spark
from em_core.errors import UserError
from em_core.steps import table, vectors
from em_core.storage.arrow import from_arrow, to_arrow
from em_core.storage.engines import SparkEngine


def main() -> None:
    """Run the job."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--mode", choices=("classic", "connect"), required=True)
    for name in ("source", "reference", "matcher", "encoder", "out"):
        parser.add_argument(f"--{name}", type=Path, required=True)
    arguments = parser.parse_args()
    os.environ["PYSPARK_PYTHON"] = sys.executable
    from pyspark.sql import SparkSession

    builder = SparkSession.builder
    if arguments.mode == "connect":
        session = builder.remote("local[2]").getOrCreate()
    else:
        options = {"spark.ui.enabled": "false", "spark.driver.host": "127.0.0.1"}
        session = builder.master("local[2]").config(map=options).getOrCreate()
    session.conf.set("spark.sql.execution.arrow.maxRecordsPerBatch", "64")
    session.conf.set("spark.sql.shuffle.partitions", "3")
    source = session.read.parquet(str(arguments.source))

    def write(name: str, frame: object) -> None:
        made = frame.toPandas()  # type: ignore[attr-defined]
        made.attrs.clear()  # what Connect measured, which Parquet cannot hold
        made.to_parquet(arguments.out / f"{name}.parquet")

    matched = on_spark.match(source, arguments.matcher, run_id="r1", records=source.count(), cores=2)
    write("matched", matched)
    write(
        "few",
        on_spark.match(source.select("source_system", "source_id", "name").limit(20), arguments.matcher, run_id="r1"),
    )
    write("candidates", on_spark.candidates(source, arguments.matcher, best=3))
    # Twice: the second run embeds what the first had not.
    for rows in (30, 50):
        session.read.parquet(str(arguments.reference)).limit(rows).createOrReplaceTempView("master")
        where = ["--output-path", str(arguments.out / "vectors"), "--encoder", str(arguments.encoder)]
        vectors.main(["--reference", "master", *where])
    # The entry point of the ad-hoc job, into a table that is not there yet.
    session.sql(f"CREATE DATABASE found LOCATION '{arguments.out / 'found'}'")
    source.createOrReplaceTempView("feed")
    table.main(["--source", "feed", "--output", "found.results", "--matcher", str(arguments.matcher), "--run-id", "r2"])
    write("table", session.table("found.results"))
    # Where the statements of a catalog run.
    engine, rows = SparkEngine(session), to_arrow(pd.read_parquet(arguments.source).head(5))
    with engine.staged(rows) as relation:
        back = engine.query(f"SELECT * FROM {relation} ORDER BY source_id")
        nothing = engine.query(f"SELECT * FROM {relation} LIMIT 0")
    faults = []
    for statement in (f"SELECT * FROM {relation}", "SELEC 1"):
        try:
            engine.query(statement)
        except (UserError, RuntimeError) as error:
            faults.append(type(error).__name__)
    told: dict[str, object] = {
        "staged": from_arrow(back).equals(from_arrow(rows.sort_by("source_id")))
        and nothing.schema.names == rows.schema.names,
        "faults": faults,
        "kind": type(source).__module__,
        "repeated": on_spark.repeated_keys(source.union(source.limit(2))),
    }
    told["unique"] = on_spark.repeated_keys(source)
    told["partitions"] = matched.rdd.getNumPartitions() if arguments.mode == "classic" else None
    try:
        on_spark.match(source.drop("name"), arguments.matcher, run_id="r1")
    except UserError as error:
        told["refused"] = str(error)
    (arguments.out / "told.json").write_text(json.dumps(told))
    session.stop()


if __name__ == "__main__":
    main()
