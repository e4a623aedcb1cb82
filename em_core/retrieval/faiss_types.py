"""Which FAISS index serves how many vectors, how it is built, and what it loses.

Names do not fall into clusters: a record's vector and its entity's often lie in different cells, so that an inverted file must
read two fifths of its lists and still finds less than codes of all vectors (docs/benchmarks.md). Above exact search, therefore,
every vector is looked at through product codes of four bits (Andre, Kermarrec and Le Scouarnec, PVLDB 9(4), 2015; Douze et al.,
The Faiss library, 2024), and lists come last. Graphs (HNSW) are not among the types: built on several threads they differ from
run to run, on one it takes long, and nothing can be taken out of them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import faiss
import numpy as np

Kind = Literal["auto", "flat", "pq", "ivf"]

# Rows times dimensions up to which exact search, fine and coarse codes are taken; speeds and losses in docs/benchmarks.md.
_EXACT, _FINE, _COARSE = 30_000_000, 128_000_000, 512_000_000
# The least dimensions that are worth turning to the principal ones.
_TURNED = 128
# The least vectors that FAISS trains codes on without complaint, and those of a list.
_TRAINED, _LISTED = 39 * 16, 64
_SAMPLE = 65_536
_BLOCK = 65_536
_SEED = 7

SAMPLE = 256
AT = 20
# The share of true neighbours that lists are read for, in the order of steps that are tried.
WANTED = 0.95
_PROBES = (16, 32, 64, 128, 256, 512)


@dataclass(frozen=True)
class Plan:
    """What to build: FAISS' own words for it (none for flat), and how many times deeper than wanted its proposals go."""

    kind: Literal["flat", "pq", "ivf"]
    reason: str
    factory: str = ""
    deeper: int = 1


def cheap(rows: int, dimensions: int) -> bool:
    """Whether all of so many vectors can be searched exactly at little cost."""
    return rows * dimensions <= _EXACT


def choose(rows: int, dimensions: int, kind: Kind = "auto") -> Plan:
    """The index for so many distinct vectors: a pure function of the size, unless `kind` says which.

    Flat while exact search is cheap; then codes, all of them read: a nibble for each 2 of five eighths, then of half the dimensions, the
    principal ones turned at random so that all codes carry alike; then lists of codes, of which some are read. Fewer than 624 vectors are
    always searched exactly: codes cannot be trained on them.
    """
    size, work = f"{rows:,} vectors of {dimensions}", rows * dimensions
    if rows < _TRAINED or dimensions < 2:
        return Plan("flat", f"{size}: too few for codes")
    wanted = kind != "auto"
    if kind == "flat" or (not wanted and cheap(rows, dimensions)):
        return Plan("flat", f"{size}: " + ("exact search is wanted" if wanted else "exact search is cheap"))
    if kind == "pq" or (not wanted and work <= _COARSE):
        reason = "codes are wanted" if wanted else "exact search is slow, all codes can be read"
        if dimensions < _TURNED:
            return Plan("pq", f"{size}: {reason}", f"PQ{_parts(dimensions, 2)}x4fs", 5)
        parts, deeper = (dimensions * 5 // 16, 5) if work <= _FINE else (dimensions // 4, 7)
        return Plan("pq", f"{size}: {reason}", f"PCAR{2 * parts},PQ{parts}x4fs", deeper)
    reason = "lists are wanted" if wanted else "too many codes to read them all"
    lists = min(int(2 * np.sqrt(rows)), rows // _LISTED)
    return Plan("ivf", f"{size}: {reason}", f"IVF{lists},PQ{_parts(dimensions, 2)}x4fs", 5)


def _parts(dimensions: int, each: int) -> int:
    """How many parts of about `each` dimensions, or more, divide a vector evenly."""
    return max(parts for parts in range(1, max(1, dimensions // each) + 1) if dimensions % parts == 0)


def build(plan: Plan, vectors: np.ndarray) -> faiss.Index:
    """The trained index over `vectors` (n, d) float16, its ids their row numbers. Not for flat, which needs no index.

    FAISS' seeds are fixed, and so is the sample that it is trained on.
    """
    rows, dimensions = vectors.shape
    index = faiss.index_factory(dimensions, plan.factory, faiss.METRIC_INNER_PRODUCT)
    wanted = _SAMPLE
    if plan.kind == "ivf":
        inverted = faiss.extract_index_ivf(index)
        inverted.cp.max_points_per_centroid = _LISTED
        wanted = max(wanted, _LISTED * inverted.nlist)
    sample = np.random.default_rng(_SEED).choice(rows, min(rows, wanted), replace=False)
    index.train(vectors[np.sort(sample)].astype(np.float32))
    add(index, vectors)
    return index


def add(index: faiss.Index, vectors: np.ndarray) -> None:
    """Append vectors (n, d) float16, a block at a time; their ids follow those that are there."""
    for start in range(0, len(vectors), _BLOCK):
        index.add(vectors[start : start + _BLOCK].astype(np.float32))


def search(index: faiss.Index, queries: np.ndarray, depth: int, probes: int) -> np.ndarray:
    """Ids (q, depth) of what the index finds nearest to (q, d) float32 queries, -1 where it finds no more.

    `probes` lists are read of an inverted file; 0 for other types.
    """
    if not probes:
        return index.search(queries, depth)[1]
    parameters = faiss.SearchParametersIVF()
    parameters.nprobe = probes
    return index.search(queries, depth, params=parameters)[1]


def exact(vectors: np.ndarray, queries: np.ndarray, depth: int) -> tuple[np.ndarray, np.ndarray]:
    """Scores and rows of the `depth` best (n, d) vectors for each (q, d) float32 query, both (q, depth), best first.

    `depth` is at most n. Reads the vectors a block at a time, so that they may lie on disk.
    """
    scores, rows = np.zeros((len(queries), 0), dtype=np.float32), np.zeros((len(queries), 0), dtype=np.int64)
    for start in range(0, len(vectors), _BLOCK):
        block = np.ascontiguousarray(vectors[start : start + _BLOCK], dtype=np.float32)
        more, found = faiss.knn(queries, block, min(depth, len(block)), metric=faiss.METRIC_INNER_PRODUCT)
        scores, rows = np.hstack([scores, more]), np.hstack([rows, found + start])
        if scores.shape[1] > depth or start:
            best = np.argsort(-scores, axis=1, kind="stable")[:, :depth]
            scores, rows = np.take_along_axis(scores, best, 1), np.take_along_axis(rows, best, 1)
    return scores, rows


def tune(index: faiss.Index, plan: Plan, vectors: np.ndarray) -> tuple[int, float]:
    """Lists to read, the fewest that find enough (0 without lists), and the recall against exact search.

    Recall: the share of the `AT` nearest vectors of `SAMPLE` random indexed ones that the index proposes.
    """
    sample = np.sort(np.random.default_rng(_SEED).choice(len(vectors), min(SAMPLE, len(vectors)), replace=False))
    queries = vectors[sample].astype(np.float32)
    at = min(AT, len(vectors))
    edge = exact(vectors, queries, at)[0][:, -1:]
    lists = faiss.extract_index_ivf(index).nlist if plan.kind == "ivf" else 0
    probes, recall = 0, 0.0
    for probes in [min(step, lists) for step in _PROBES] if lists else [0]:
        rows = search(index, queries, min(at * plan.deeper, len(vectors)), probes)
        found = np.einsum("qd,qkd->qk", queries, vectors[rows.clip(0)].astype(np.float32))
        # By score, not by row: of neighbours that are equally near any may stand for the other.
        good = (found >= edge - 1e-6) & (rows >= 0)
        recall = float(np.minimum(good.sum(axis=1), at).mean() / at)
        if recall >= WANTED or probes == lists:
            break
    return probes, recall
