"""The step `em_match_table`: a Spark table of source records becomes a table of results, on all workers of the cluster."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from em_core.steps.on_spark import check_table_name, read_table, spark_cores, spark_session
from em_core.steps.step import Outcome, Say, run_step


def parser() -> argparse.ArgumentParser:
    """The command line."""
    out = argparse.ArgumentParser(prog="em_match_table", description=__doc__, allow_abbrev=False)
    add = out.add_argument
    add(
        "--source",
        required=True,
        metavar="TABLE",
        help="catalog.schema.table with source_system, source_id, name and what else there is",
    )
    add(
        "--output",
        required=True,
        metavar="TABLE",
        help="results; made if it is not there, else brought up to date by key",
    )
    add("--matcher", required=True, metavar="FOLDER", help="matcher folder, as the workers see it")
    add("--cores", type=int, default=0, metavar="N", help="cores of all workers (default: what Spark says)")
    add("--run-id", metavar="ID", help="written to the rows that are decided (default: a new one)")
    return out


def main(argv: Sequence[str] | None = None) -> int:
    """Match the table and return 0."""
    return run_step(parser(), _work, argv)


def _work(arguments: argparse.Namespace, say: Say) -> Outcome:
    from em_core.errors import UserError
    from em_core.spark import match, merge_statement, repeated_keys

    check_table_name("--source", arguments.source)
    check_table_name("--output", arguments.output)
    spark = spark_session()
    source = read_table(spark, arguments.source)
    if repeated := repeated_keys(source):
        raise UserError(f"{arguments.source}: the key {repeated[0]} is there more than once")
    records, cores = source.count(), arguments.cores or spark_cores(spark)
    say(f"matching {records:,} records on {cores} cores")
    results = match(source, arguments.matcher, run_id=arguments.run_id, records=records, cores=cores)
    if not spark.catalog.tableExists(arguments.output):
        results.write.saveAsTable(arguments.output)
    else:
        results.createOrReplaceTempView("em_news")
        spark.sql(merge_statement(arguments.output, "em_news", ignore=("run_id", "matched_at")))
    written = spark.read.table(arguments.output).where(f"run_id = '{arguments.run_id}'")
    decisions = {row["decision"]: row["count"] for row in written.groupBy("decision").count().collect()}
    return Outcome(arguments.run_id, {"records": records, "output": arguments.output, "decided_by_this_run": decisions})


if __name__ == "__main__":
    raise SystemExit(main())
