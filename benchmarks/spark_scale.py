"""Matching on Spark against the engine alone: workers, records, efficiency, and what a million records cost by measured throughput.

    python benchmarks/spark_scale.py --matcher var/models/champion [--records 10000 100000] [--workers 1 2]
        [--hourly 0.192 --dbu 0.5 --dbu-price 0.15]

Every Spark measurement is a process of its own: session, one small job (workers start and open the matcher: `first job s`), then the
job that counts: read Parquet, match, write Parquet. Prices are arguments; without them no cost is printed.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pandas as pd
import psutil
import pyarrow.parquet as pq

from em_core.matcher import Matcher
from em_core.pairs.noise import NoiseSettings, perturb
from em_core.schema import prepare_source
from em_core.spark import match, partitions
from em_core.storage.arrow import to_arrow

_PIECE = 20_000
_SESSION = {
    "spark.ui.enabled": "false",
    "spark.driver.host": "127.0.0.1",
    "spark.driver.memory": "4g",
    "spark.sql.execution.arrow.maxRecordsPerBatch": "4096",
}


def feed(matcher: Matcher, records: int) -> pd.DataFrame:
    """Noisy copies of reference rows."""
    reference = matcher.engine.index.reference
    rng = np.random.default_rng(1)
    parts = []
    for start in range(0, records, _PIECE):
        rows = reference.iloc[rng.integers(0, len(reference), min(_PIECE, records - start))].reset_index(drop=True)
        parts.append(perturb(rows, 1 + start, NoiseSettings(profile="crm")).drop(columns="operators"))
    made = pd.concat(parts, ignore_index=True)
    return prepare_source(made.assign(source_system="crm", source_id=[f"R{i}" for i in range(len(made))]))


def on_spark(arguments: argparse.Namespace) -> dict[str, float]:
    """One measurement; run in a process of its own."""
    os.environ["PYSPARK_PYTHON"] = sys.executable
    os.environ["OMP_NUM_THREADS"] = "1"
    from pyspark.sql import SparkSession

    start = time.perf_counter()
    session = SparkSession.builder.master(f"local[{arguments.worker}]").config(map=_SESSION).getOrCreate()
    session.sparkContext.setLogLevel("ERROR")
    source = session.read.parquet(str(arguments.source))
    opened = time.perf_counter()
    few = match(source.limit(50 * arguments.worker).repartition(arguments.worker), arguments.matcher, run_id="warm")
    few.write.mode("overwrite").parquet(str(arguments.out))
    warm = time.perf_counter()
    done = match(source, arguments.matcher, run_id="one", records=arguments.count, cores=arguments.worker)
    done.write.mode("overwrite").parquet(str(arguments.out))
    seconds = time.perf_counter() - warm
    workers = [p for p in psutil.Process().children(recursive=True) if "pyspark" in " ".join(p.cmdline())]
    memory = [p.memory_full_info().uss for p in workers]
    rows = session.read.parquet(str(arguments.out)).count()
    session.stop()
    assert rows == arguments.count, (rows, arguments.count)
    return {
        "session s": opened - start,
        "first job s": warm - opened,
        "seconds": seconds,
        "own MB of the largest worker": max(memory, default=0) / 1e6,
    }


def measured(source: Path, matcher: Path, count: int, worker: int, scratch: Path) -> dict[str, float]:
    command = [sys.executable, __file__, "--matcher", matcher, "--source", source, "--count", count, "--worker", worker,
               "--out", scratch / "out"]  # fmt: skip
    done = subprocess.run([str(c) for c in command], check=True, stdout=subprocess.PIPE, text=True)
    return json.loads(done.stdout.splitlines()[-1])


def main() -> None:
    """Print the table, line by line as it is measured."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--matcher", type=Path, required=True)
    parser.add_argument("--records", type=int, nargs="+", default=[10_000, 100_000])
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--hourly", type=float, help="price of a machine for an hour")
    parser.add_argument("--dbu", type=float, default=0.0, help="units that it consumes in an hour")
    parser.add_argument("--dbu-price", type=float, default=0.0)
    parser.add_argument("--cores", type=int, default=4, help="cores of that machine")
    for hidden, kind in (("--source", Path), ("--out", Path), ("--count", int), ("--worker", int)):
        parser.add_argument(hidden, type=kind, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.source is not None:
        print(json.dumps(on_spark(arguments)))
        return
    matcher = Matcher.load(arguments.matcher)
    print(f"reference: {len(matcher.engine.index.reference):,} entities, Ditto: {bool(matcher.manifest['ditto'])}\n")
    head = ["records", "engine alone rec/s", "workers", "session s", "first job s", "partitions", "rec/s", "x engine", "efficiency",
            "own MB of the largest worker", "cost of a million"]  # fmt: skip
    print("| " + " | ".join(head) + " |\n" + "|---" * len(head) + "|")
    with tempfile.TemporaryDirectory(prefix="spark-scale-") as folder:
        for count in arguments.records:
            made = feed(matcher, count)
            source = Path(folder) / f"{count}.parquet"
            pq.write_table(to_arrow(made), source, row_group_size=_PIECE)
            few = made.head(10_000)
            matcher.match(few.head(200))
            start = time.perf_counter()
            matcher.match(few)
            alone = len(few) / (time.perf_counter() - start)
            one = None
            for worker in arguments.workers:
                figures = measured(source, arguments.matcher, count, worker, Path(folder))
                rate = count / figures["seconds"]
                one = one or rate / worker
                machine = (arguments.hourly or 0) + arguments.dbu * arguments.dbu_price
                cost = machine * 1e6 / (rate / worker * arguments.cores * 3600)
                cells = [f"{count:,}", f"{alone:,.0f}", worker, f"{figures['session s']:.1f}", f"{figures['first job s']:.1f}",
                         partitions(count, worker), f"{rate:,.0f}", f"{rate / alone:.2f}", f"{rate / worker / one:.2f}",
                         f"{figures['own MB of the largest worker']:,.0f}",
                         f"{cost:.2f}" if arguments.hourly else "no prices given"]  # fmt: skip
                print("| " + " | ".join(map(str, cells)) + " |", flush=True)


if __name__ == "__main__":
    main()
