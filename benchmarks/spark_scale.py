"""Matching on Spark against the engine alone: workers, records, efficiency, and what a million records cost by measured throughput.

    python benchmarks/spark_scale.py --matcher var/models/champion [--records 10000 100000] [--workers 1 2]
        [--hourly 0.288 --dbu 0.9 --dbu-price 0.15 --cores 4] [--retrieve-rate 44]

Every measurement is a process of its own. The engine alone has one thread, as a Spark worker has. On Spark: session, one small job (workers
start and open the matcher: `first job s`), then the job that counts: read Parquet, match, write Parquet. Prices are arguments; without them
no cost is printed. The last table is the engine's time by step; `--retrieve-rate` (records a second and core, from retrieval_scale.py) puts
the retrieval of a larger reference in its place: the other steps see the same number of candidates whatever the reference has.
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

from em_core.matcher import Matcher, Timings
from em_core.pairs.noise import NoiseSettings, perturb
from em_core.schema import prepare_source
from em_core.spark import match, partitions
from em_core.storage.arrow import from_arrow, to_arrow

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


def own_memory(process: psutil.Process) -> int:
    """Bytes of a Python worker that are no pages of a file; 0 for any other process, or one that has just ended."""
    try:
        found = process.memory_info()
        return int(found.rss - found.shared) if "pyspark" in " ".join(process.cmdline()) else 0
    except psutil.NoSuchProcess:
        return 0


def on_spark(arguments: argparse.Namespace) -> dict[str, float]:
    """One measurement; run in a process of its own."""
    os.environ["PYSPARK_PYTHON"] = sys.executable
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
    memory = [own_memory(process) for process in psutil.Process().children(recursive=True)]
    rows = session.read.parquet(str(arguments.out)).count()
    session.stop()
    assert rows == arguments.count, (rows, arguments.count)
    return {
        "session s": opened - start,
        "first job s": warm - opened,
        "seconds": seconds,
        "own MB of the largest worker": max(memory, default=0) / 1e6,
    }


def alone(arguments: argparse.Namespace) -> dict[str, float]:
    """The engine by itself: seconds by step, and pairs that Ditto read; run in a process of its own."""
    matcher = Matcher.load(arguments.matcher)
    rows = from_arrow(pq.read_table(arguments.source).slice(0, arguments.count))
    matcher.match(rows.head(500))
    timings = Timings()
    start = time.perf_counter()
    matcher.match(rows, timings=timings)
    return {"seconds": time.perf_counter() - start, "ditto_pairs": timings.ditto_pairs} | {
        f"step {step}": seconds for step, seconds in timings.seconds.items()
    }


def measured(source: Path, matcher: Path, count: int, worker: int, scratch: Path) -> dict[str, float]:
    """`on_spark` with so many workers, or `alone` with 0."""
    command = [sys.executable, __file__, "--matcher", matcher, "--source", source, "--count", count, "--worker", worker,
               "--out", scratch / "out"]  # fmt: skip
    env = os.environ | {"OMP_NUM_THREADS": "1", "OMP_WAIT_POLICY": "PASSIVE"}
    done = subprocess.run([str(c) for c in command], check=True, stdout=subprocess.PIPE, text=True, env=env)
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
    parser.add_argument(
        "--retrieve-rate", type=float, help="records a second and core that a larger reference retrieves"
    )
    for hidden, kind in (("--source", Path), ("--out", Path), ("--count", int), ("--worker", int)):
        parser.add_argument(hidden, type=kind, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.source is not None:
        print(json.dumps(on_spark(arguments) if arguments.worker else alone(arguments)))
        return
    matcher = Matcher.load(arguments.matcher)
    print(f"reference: {len(matcher.engine.index.reference):,} entities, Ditto: {bool(matcher.manifest['ditto'])}\n")
    head = ["records", "engine rec/s", "workers", "session s", "first job s", "partitions", "rec/s", "a worker x engine", "efficiency",
            "own MB of the largest worker", "cost of a million"]  # fmt: skip
    print("| " + " | ".join(head) + " |\n" + "|---" * len(head) + "|")
    with tempfile.TemporaryDirectory(prefix="spark-scale-") as folder:
        for count in arguments.records:
            made = feed(matcher, count)
            source = Path(folder) / f"{count}.parquet"
            pq.write_table(to_arrow(made), source, row_group_size=_PIECE)
            few = min(count, 10_000)
            engine = measured(source, arguments.matcher, few, 0, Path(folder))
            rate_alone = few / engine["seconds"]
            one = None
            for worker in arguments.workers:
                figures = measured(source, arguments.matcher, count, worker, Path(folder))
                rate = count / figures["seconds"]
                one = rate if worker == 1 else one
                cost = _cost(arguments, 1e6 * worker / rate)
                efficiency = f"{rate / worker / one:.2f}" if one else "-"
                cells = [f"{count:,}", f"{rate_alone:,.0f}", worker, f"{figures['session s']:.1f}", f"{figures['first job s']:.1f}",
                         partitions(count, worker), f"{rate:,.0f}", f"{rate / worker / rate_alone:.2f}", efficiency,
                         f"{figures['own MB of the largest worker']:,.0f}",
                         cost]  # fmt: skip
                print("| " + " | ".join(map(str, cells)) + " |", flush=True)
        _by_step(arguments, engine, few)


def _cost(arguments: argparse.Namespace, core_seconds: float) -> str:
    machine = (arguments.hourly or 0) + arguments.dbu * arguments.dbu_price
    return f"{machine * core_seconds / (arguments.cores * 3600):.2f}" if arguments.hourly else "no prices given"


def _by_step(arguments: argparse.Namespace, engine: dict[str, float], records: int) -> None:
    """What a million records cost by step, here and with the retrieval of a larger reference."""
    steps = {name.removeprefix("step "): 1e6 * s / records for name, s in engine.items() if name.startswith("step ")}
    larger = steps | ({"retrieve": 1e6 / arguments.retrieve_rate} if arguments.retrieve_rate else {})
    print(f"\npairs that Ditto reads for a record: {engine['ditto_pairs'] / records:.3f}\n")
    print("| step | core-seconds a million records | cost | the same, larger reference | cost |\n|---|---|---|---|---|")
    for name in steps:
        print(
            f"| {name} | {steps[name]:,.0f} | {_cost(arguments, steps[name])} | {larger[name]:,.0f} | {_cost(arguments, larger[name])} |"
        )
    here, there = sum(steps.values()), sum(larger.values())
    print(f"| all | {here:,.0f} | {_cost(arguments, here)} | {there:,.0f} | {_cost(arguments, there)} |")


if __name__ == "__main__":
    main()
