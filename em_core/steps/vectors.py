"""The step `em_embed_reference`: vectors of the reference's names, by a transformer on all workers of the cluster, for `em_build_index
--vectors`.

A second run embeds only the names that are new. With a static encoder, which is the default of the index, there is no need of it.
"""

from __future__ import annotations

import argparse
import shutil
from collections.abc import Sequence
from pathlib import Path

from em_core.steps.on_spark import check_table_name, read_table, spark_cores, spark_session
from em_core.steps.step import Outcome, Say, run_step


def parser() -> argparse.ArgumentParser:
    """The command line."""
    out = argparse.ArgumentParser(prog="em_embed_reference", description=__doc__, allow_abbrev=False)
    add = out.add_argument
    add("--reference", required=True, metavar="TABLE", help="catalog.schema.table of the reference contract")
    add(
        "--encoder",
        required=True,
        metavar="X",
        help="as in the settings of the index: name on the model hub, folder, databricks:ENDPOINT",
    )
    add(
        "--output-path",
        type=Path,
        required=True,
        metavar="FOLDER",
        help="vectors as Parquet, for em_build_index --vectors",
    )
    add("--cores", type=int, default=0, metavar="N", help="cores of all workers (default: what Spark says)")
    return out


def main(argv: Sequence[str] | None = None) -> int:
    """Embed and return 0."""
    return run_step(parser(), _work, argv)


def _work(arguments: argparse.Namespace, say: Say) -> Outcome:
    from em_core.errors import UserError
    from em_core.retrieval.encoders import STATIC, make_encoder
    from em_core.retrieval.known import read_facts, write_facts
    from em_core.spark import partitions
    from em_core.spark_vectors import embed, spellings

    folder: Path = arguments.output_path
    check_table_name("--reference", arguments.reference)
    if arguments.encoder.startswith(STATIC):
        raise UserError(
            f"--encoder {arguments.encoder}: a static encoder needs no cluster; em_build_index alone makes it"
        )
    fingerprint = make_encoder(arguments.encoder, []).fingerprint
    before = read_facts(folder)[1] if folder.exists() else None  # refuses a folder of something else
    spark = spark_session()
    reference = read_table(spark, arguments.reference)
    texts, entities, known = spellings(reference), reference.count(), 0
    target = folder
    if before == fingerprint:
        done = spark.read.parquet(str(folder)).select("text")
        known = done.count()
        texts = texts.join(done, "text", "left_anti")
    else:  # vectors of another encoder stay until the new ones are all there
        target = folder.with_name(f"{folder.name}.unfinished")
        shutil.rmtree(target, ignore_errors=True)
    say(f"embedding the names of {entities:,} entities with {arguments.encoder}; {known:,} names have their vectors")
    wanted = partitions(entities, arguments.cores or spark_cores(spark))
    embed(texts.repartition(wanted), arguments.encoder).write.mode("append").parquet(str(target))
    if target != folder:
        write_facts(target, arguments.encoder, fingerprint)
        shutil.rmtree(folder, ignore_errors=True)
        target.rename(folder)
    names = spark.read.parquet(str(folder)).count()
    told = {"names": names, "embedded_now": names - known, "encoder": arguments.encoder, "folder": str(folder)}
    return Outcome(f"{fingerprint}-{names}", told)


if __name__ == "__main__":
    raise SystemExit(main())
