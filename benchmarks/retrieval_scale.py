"""What retrieval costs as the reference grows: GLEIF rows, or as many made-up ones as asked for.

    python benchmarks/retrieval_scale.py [--rows 10000 40000 400000] [--synthetic 1000000] [--encoder NAME] [--exact 500]

Queries are noisy copies of reference rows (the noise model, all attributes that it keeps). Made-up rows are real ones and recombinations
of real names (the first words of one, the last of another), every second of those with the noise model's slips. Making the data,
building and searching run in processes of their own: each one's peak is all that it needs, tables and libraries included. "Exact" is the
search of every posting, on the first of the queries.
"""

from __future__ import annotations

import argparse
import multiprocessing
import resource
import tempfile
import time
from pathlib import Path

import numpy as np
import pandas as pd

from em_core.demo.gleif import load_gleif
from em_core.pairs.noise import NoiseSettings, perturb
from em_core.retrieval.index import CandidateIndex, RetrievalSettings
from em_core.retrieval.table import EntityTable
from em_core.schema import SOURCE, prepare_reference
from em_core.text.profile import profile

_COLUMNS = (
    "rows", "build s", "build peak MB", "folder MB", "open s", "search peak MB", "exact n-grams/s", "n-grams/s", "keys/s", "vectors/s",
    "all/s", "recall@10 exact", "recall@10 n-grams", "recall@10 all",
)  # fmt: skip
_COPIES = 5_000


def synthetic(rows: int, seed: int = 1) -> pd.DataFrame:
    """`rows` reference rows: all of GLEIF, or as many of them, and made-up ones behind them."""
    real = load_gleif(None)
    if rows <= len(real):
        return load_gleif(rows)
    rng, more = np.random.default_rng(seed), rows - len(real)
    words = [name.split() for name in real["name"]]
    first, last = rng.integers(0, len(words), more), rng.integers(0, len(words), more)
    names = [
        " ".join(words[a][: (len(words[a]) + 1) // 2] + words[b][len(words[b]) // 2 :])
        for a, b in zip(first, last, strict=True)
    ]
    made = real.iloc[first].reset_index(drop=True).assign(name=names, lei=None)
    made["entity_id"] = [f"SYNTHETIC{i:012d}" for i in range(more)]
    slipped = made.iloc[1::2].reset_index(drop=True)
    noisy = perturb(prepare_reference(slipped), seed, NoiseSettings())["name"].to_numpy(dtype=object)
    made.loc[made.index[1::2], "name"] = np.where(pd.isna(noisy), slipped["name"], noisy)
    return pd.concat([real, made], ignore_index=True)


def peak() -> int:
    """Greatest resident memory of this process so far, in MB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024


def recall(found: pd.DataFrame, entities: np.ndarray) -> str:
    """Share of the queries whose entity is among the first ten candidates."""
    hit = (found["entity"].to_numpy() == entities[found["query"]]) & (found["rank"].to_numpy() < 10)
    return f"{hit.sum() / len(entities):.4f}"


def make(rows: int, made_up: bool, folder: Path) -> None:
    """Write the reference and its noisy copies."""
    reference = prepare_reference(synthetic(rows) if made_up else load_gleif(rows))
    picked = np.sort(np.random.default_rng(0).choice(len(reference), min(_COPIES, len(reference)), replace=False))
    copies = perturb(reference.iloc[picked].reset_index(drop=True), 5, NoiseSettings(), reference)
    EntityTable.of(reference).save(folder / "reference.arrow")
    EntityTable.of(copies.reindex(columns=list(SOURCE.columns))).save(folder / "copies.arrow")
    np.save(folder / "picked.npy", picked)


def build(encoder: str | None, folder: Path) -> dict[str, object]:
    """Build and save an index of the reference in `folder`."""
    reference = EntityTable.open(folder / "reference.arrow").frame()
    start = time.perf_counter()
    index = CandidateIndex.build(reference, RetrievalSettings(encoder=encoder, vector_candidates=20))
    seconds, used = time.perf_counter() - start, peak()
    index.save(folder / "index")
    size = sum(p.stat().st_size for p in (folder / "index").rglob("*") if p.is_file())
    return {
        "rows": f"{len(reference):,}",
        "build s": f"{seconds:.0f}",
        "build peak MB": f"{used:,}",
        "folder MB": f"{size / 1e6:,.0f}",
    }


def search(encoder: str | None, exact: int, folder: Path) -> dict[str, object]:
    """Open the index of `folder` and search it by each channel."""
    records, picked = profile(EntityTable.open(folder / "copies.arrow").frame()), np.load(folder / "picked.npy")
    start = time.perf_counter()
    index = CandidateIndex.load(folder / "index")
    out: dict[str, object] = {"open s": f"{time.perf_counter() - start:.2f}"}
    ways: dict[str, RetrievalSettings] = {
        "n-grams": RetrievalSettings(encoder=None, keys=()),
        "keys": RetrievalSettings(encoder=None, lexical=False),
        "all": RetrievalSettings(encoder=encoder),
        "exact n-grams": RetrievalSettings(encoder=None, keys=(), posting_budget=None),
    }
    if encoder is not None:
        ways["vectors"] = RetrievalSettings(encoder=encoder, lexical=False, keys=(), vector_candidates=20)
    for name, settings in ways.items():
        mine = records.iloc[:exact] if name == "exact n-grams" else records
        searched = index.with_settings(settings)
        searched.search(mine.iloc[:10])  # opens what is mapped or loaded on first use
        start = time.perf_counter()
        found = searched.search(mine)
        out[f"{name}/s"] = f"{len(mine) / (time.perf_counter() - start):,.0f}"
        out[f"recall@10 {name}"] = recall(found, picked)
        if name == "all":
            out["search peak MB"] = f"{peak():,}"
        if name == "exact n-grams":
            n_grams = index.with_settings(ways["n-grams"]).search(mine)
            both = recall(found, picked[: len(mine)]), recall(n_grams, picked[: len(mine)])
            out["recall@10 exact"] = f"{both[0]} (n-grams on these {len(mine):,}: {both[1]})"
    return out


def main() -> None:
    """Print the table as Markdown."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, nargs="*", default=[10_000, 40_000, 400_000])
    parser.add_argument("--synthetic", type=int, nargs="*", default=[], help="also references of so many rows")
    parser.add_argument("--encoder", help="with the vector channel of this encoder; default: without")
    parser.add_argument("--exact", type=int, default=500, help="queries that search every posting")
    arguments = parser.parse_args()
    print("| " + " | ".join(_COLUMNS) + " |\n|" + "---|" * len(_COLUMNS), flush=True)
    apart = multiprocessing.get_context("spawn")
    for rows, made_up in [*((n, False) for n in arguments.rows), *((n, True) for n in arguments.synthetic)]:
        with tempfile.TemporaryDirectory() as scratch, apart.Pool(1, maxtasksperchild=1) as pool:
            folder = Path(scratch)
            pool.apply(make, (rows, made_up, folder))
            line = pool.apply(build, (arguments.encoder, folder))
            line |= pool.apply(search, (arguments.encoder, arguments.exact, folder))
            line["rows"] = f"{line['rows']}{' made up' if made_up else ''}"
        print("| " + " | ".join(str(line.get(column, "")) for column in _COLUMNS) + " |", flush=True)


if __name__ == "__main__":
    main()
