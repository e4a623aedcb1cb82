"""One record at a time: start of the served model, and how long an answer takes, alone and with many asking at once.

    python benchmarks/serving.py --matcher var/models/champion [--gleif 399203] [--requests 500] [--at-once 1 8 32]

With --gleif the matcher is put on a reference of so many GLEIF entities first, as a deployment on a newer reference does. Logs the
matcher as an MLflow model into a temporary store, serves it with `mlflow models serve` and asks it over HTTP.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import mlflow
import numpy as np

from em_core.demo.gleif import load_gleif
from em_core.matcher import Matcher, with_index
from em_core.pairs.noise import NoiseSettings, perturb
from em_core.retrieval.index import CandidateIndex
from em_core.schema import prepare_reference
from em_core.serving.log import log_matcher


@contextmanager
def served(matcher: Path) -> Iterator[tuple[str, float]]:
    """The address of the served model, and the seconds until it answered."""
    with tempfile.TemporaryDirectory(prefix="serving-") as scratch:
        mlflow.set_tracking_uri(f"sqlite:///{scratch}/mlflow.db")
        experiment = mlflow.create_experiment("serving", artifact_location=Path(scratch, "artifacts").as_uri())
        with mlflow.start_run(experiment_id=experiment):
            uri = log_matcher(matcher).model_uri
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        env = {**os.environ, "MLFLOW_TRACKING_URI": mlflow.get_tracking_uri()}
        env["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), env["PATH"]])
        command = [
            sys.executable,
            "-m",
            "mlflow",
            "models",
            "serve",
            "-m",
            uri,
            "-p",
            str(port),
            "--env-manager",
            "local",
        ]
        start = time.perf_counter()
        with Path(scratch, "log.txt").open("w") as log:
            process = subprocess.Popen(command, env=env, stdout=log, stderr=log, start_new_session=True)
        try:
            address = f"http://127.0.0.1:{port}"
            while True:
                if process.poll() is not None:
                    raise SystemExit(Path(scratch, "log.txt").read_text())
                try:
                    urllib.request.urlopen(f"{address}/ping", timeout=5)
                    break
                except OSError:
                    time.sleep(0.2)
            yield address, time.perf_counter() - start
        finally:
            os.killpg(process.pid, signal.SIGKILL)


def ask(address: str, record: dict[str, object]) -> float:
    """Seconds of one request."""
    body = json.dumps({"dataframe_records": [record]}).encode()
    request = urllib.request.Request(f"{address}/invocations", body, {"Content-Type": "application/json"})
    start = time.perf_counter()
    with urllib.request.urlopen(request, timeout=300) as answer:
        json.load(answer)
    return time.perf_counter() - start


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--matcher", type=Path, required=True)
    parser.add_argument("--requests", type=int, default=500)
    parser.add_argument("--at-once", type=int, nargs="+", default=[1, 8, 32])
    parser.add_argument("--gleif", type=int, metavar="ROWS", help="put the matcher on so many GLEIF entities")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="matcher-") as scratch:
        report(
            arguments,
            enlarged(arguments.matcher, arguments.gleif, Path(scratch)) if arguments.gleif else arguments.matcher,
        )


def enlarged(folder: Path, rows: int, scratch: Path) -> Path:
    """The matcher of a folder on an index of `rows` GLEIF entities."""
    settings = Matcher.load(folder).engine.index.settings
    start = time.perf_counter()
    CandidateIndex.build(prepare_reference(load_gleif(rows)), settings, progress=True).save(scratch / "index")
    print(f"index of {rows:,} entities built in {time.perf_counter() - start:.0f} s")
    with_index(folder, scratch / "index", scratch / "matcher")
    return scratch / "matcher"


def report(arguments: argparse.Namespace, folder: Path) -> None:
    """Serve the matcher of a folder and print the table."""
    matcher = Matcher.load(folder)
    reference = matcher.engine.index.reference
    rows = reference.sample(arguments.requests, random_state=1).reset_index(drop=True)
    noisy = perturb(rows, 2, NoiseSettings(profile="crm"))[["name", "country"]].astype(object)
    records = noisy.where(noisy.notna(), None).to_dict("records")
    records = [record if record["name"] else {**record, "name": "Acme"} for record in records]
    with served(folder) as (address, started):
        print(
            f"reference: {len(reference):,} entities, Ditto: {bool(matcher.manifest['ditto'])}, start-up: {started:.1f} s\n"
        )
        print("| at once | requests/s | p50 ms | p95 ms | worst ms |\n|---|---|---|---|---|")
        for record in records[:20]:
            ask(address, record)
        for at_once in arguments.at_once:
            start = time.perf_counter()
            with ThreadPoolExecutor(at_once) as pool:
                seconds = np.array(list(pool.map(lambda record: ask(address, record), records)))
            rate = len(records) / (time.perf_counter() - start)
            p50, p95, worst = (1000 * np.quantile(seconds, q) for q in (0.5, 0.95, 1.0))
            print(f"| {at_once} | {rate:.1f} | {p50:.0f} | {p95:.0f} | {worst:.0f} |", flush=True)


if __name__ == "__main__":
    main()
