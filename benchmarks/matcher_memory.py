"""What an opened matcher holds in memory by itself, and how long it takes to open, as the reference grows.

    python benchmarks/matcher_memory.py --matcher var/models/champion [--rows 50000 399203 1000000] [--records 4096] [--code FOLDER]

The matcher is put on references of so many GLEIF entities (made-up ones behind them, see retrieval_scale.py), as a deployment on a newer
reference does. Building and matching are processes of their own, each with one thread. "Own" memory is what is no page of a file, and so
what each further process of a machine costs. `results` is a digest of all that is decided, confidence and evidence included: the same
matcher gives the same. `--code` runs another checkout, whose matcher `--matcher` then is; --records noisy GLEIF names are matched.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pandas as pd
import psutil

from em_core.demo.gleif import load_gleif
from em_core.matcher import Matcher, with_index
from em_core.pairs.noise import NoiseSettings, perturb
from em_core.retrieval.index import CandidateIndex
from em_core.schema import prepare_reference, prepare_source

_RUN = ["run_id", "matched_at", "matcher_version", "reference_version"]


def own() -> float:
    """MB of this process that are no pages of a file."""
    found = psutil.Process().memory_info()
    return (found.rss - found.shared) / 1e6


def put(matcher: Path, master: Path, folder: Path) -> dict[str, float]:
    """The matcher beside these entities, in `folder`; run in a process of its own."""
    settings = Matcher.load(matcher).engine.index.settings
    reference = prepare_reference(pd.read_parquet(master))
    start = time.perf_counter()
    index = CandidateIndex.build(reference, settings)
    index.save(folder / "index")
    seconds = time.perf_counter() - start
    with_index(matcher, folder / "index", folder / "matcher")
    size = sum(path.stat().st_size for path in (folder / "index").rglob("*") if path.is_file())
    return {
        "build s": seconds,
        "build peak MB": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3,
        "index MB": size / 1e6,
    }


def opened(matcher: Path, feed: Path) -> dict[str, float | str]:
    """One process that opens the matcher and matches the feed."""
    rows = prepare_source(pd.read_parquet(feed))
    start = time.perf_counter()
    found = Matcher.load(matcher, now=True)
    out: dict[str, float | str] = {"open s": time.perf_counter() - start, "own MB, open": own()}
    results = found.match(rows, run_id="one").drop(columns=_RUN)
    text = results.to_csv(index=False).encode()
    return out | {"own MB, matched": own(), "results": hashlib.sha256(text).hexdigest()[:12]}


def _cell(name: str, value: float | str) -> str:
    return value if isinstance(value, str) else f"{value:,.1f}" if name.endswith(" s") else f"{value:,.0f}"


def main() -> None:
    """Print the table, line by line as it is measured."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--matcher", type=Path, required=True)
    parser.add_argument("--rows", type=int, nargs="+", default=[50_000, 399_203])
    parser.add_argument("--records", type=int, default=4096)
    parser.add_argument("--code", type=Path, default=Path(__file__).parents[1], help="the checkout that is measured")
    for hidden in ("--feed", "--master", "--folder"):
        parser.add_argument(hidden, type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.feed is not None:
        print(json.dumps(opened(arguments.matcher, arguments.feed)))
        return
    if arguments.folder is not None:
        print(json.dumps(put(arguments.matcher, arguments.master, arguments.folder)))
        return

    from retrieval_scale import synthetic  # needs the code of this checkout

    def asked(*more: object) -> dict[str, float | str]:
        env = os.environ | {"OMP_NUM_THREADS": "1", "OMP_WAIT_POLICY": "PASSIVE", "PYTHONPATH": str(arguments.code)}
        done = subprocess.run([sys.executable, __file__, *map(str, more)], check=True, stdout=subprocess.PIPE, env=env)
        return json.loads(done.stdout.splitlines()[-1])

    with tempfile.TemporaryDirectory(prefix="matcher-memory-") as scratch:
        feed, master = Path(scratch) / "feed.parquet", Path(scratch) / "master.parquet"
        noisy = perturb(prepare_reference(load_gleif(arguments.records).drop(columns="category")), 1, NoiseSettings())
        made = noisy.drop(columns="operators").assign(
            source_system="crm", source_id=[f"R{i}" for i in range(len(noisy))]
        )
        made.to_parquet(feed)
        for place, rows in enumerate(arguments.rows):
            folder = Path(scratch) / str(rows)
            synthetic(rows).drop(columns="category").to_parquet(master)
            figures = asked("--matcher", arguments.matcher, "--master", master, "--folder", folder)
            figures |= asked("--matcher", folder / "matcher", "--feed", feed)
            if not place:
                print("| code | entities | " + " | ".join(figures) + " |\n" + "|---" * (len(figures) + 2) + "|")
            cells = [_cell(name, value) for name, value in figures.items()]
            print(f"| {arguments.code.name} | {rows:,} | " + " | ".join(cells) + " |", flush=True)


if __name__ == "__main__":
    main()
