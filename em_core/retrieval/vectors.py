"""The vector channel: unit vectors of names, searched exactly or by FAISS, growing and shrinking row by row.

Equal vectors are held once; a row points at its vector. The vectors themselves (half precision, memory-mapped when opened)
score whatever FAISS proposes, so that the approximation decides what is looked at and never what it is worth.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass, field
from pathlib import Path

import faiss
import numpy as np
from pydantic import BaseModel, ConfigDict

from em_core.retrieval import faiss_types
from em_core.retrieval.faiss_types import Kind

log = logging.getLogger(__name__)

FACTS = "facts.json"
_VECTORS, _ROWS, _INDEX = "vectors.npy", "rows.npy", "index.faiss"

# Queries searched at a time, and products worked on at a time: both bound memory.
_QUERIES = 1024
_PRODUCTS = 1 << 25
_SCANNED = 16
# Looked at beyond what is wanted, so that FAISS' rounding decides nothing at the edge.
_SPARE = 8
_ROUNDING = 1e-5
# Growth since training from which the index is made anew.
_GROWN = 2.0


class VectorFacts(BaseModel):
    """What was built, and why. `recall` is that of the `at` nearest vectors of `sample` indexed ones, 1 for exact search."""

    model_config = ConfigDict(frozen=True)

    kind: str
    wanted: Kind
    reason: str
    dimensions: int
    trained: int  # distinct vectors when it was built
    factory: str = ""  # FAISS' words for it
    deeper: int = 1  # how many times more it proposes than are wanted
    probes: int = 0  # lists that a search reads
    at: int = faiss_types.AT
    sample: int = 0
    recall: float = 1.0


@dataclass
class VectorIndex:
    """Vectors of n rows. `stored` (u, d) float16 distinct vectors; `vector_of` (n,) int64 each row's vector."""

    stored: np.ndarray = field(repr=False)
    vector_of: np.ndarray = field(repr=False)
    facts: VectorFacts
    index: faiss.Index | None = field(default=None, repr=False)
    _grouped: tuple[np.ndarray, np.ndarray, np.ndarray] | None = field(default=None, repr=False)
    _dense: np.ndarray | None = field(default=None, repr=False)

    @classmethod
    def build(cls, vectors: np.ndarray, kind: Kind = "auto") -> VectorIndex:
        """Index unit rows (n, d). The FAISS type follows the size unless `kind` names one.

        Raises `ValueError` for anything but finite numbers in two dimensions.
        """
        vectors = _halved(vectors)
        stored, vector_of = _merge(np.zeros((0, vectors.shape[1]), dtype=np.float16), vectors)
        return cls._made(stored, vector_of, kind)

    @classmethod
    def _made(cls, stored: np.ndarray, vector_of: np.ndarray, wanted: Kind) -> VectorIndex:
        rows, dimensions = stored.shape
        plan = faiss_types.choose(rows, dimensions, wanted)
        facts = VectorFacts(
            kind=plan.kind, wanted=wanted, reason=plan.reason, dimensions=dimensions, trained=rows,
            factory=plan.factory, deeper=plan.deeper,
        )  # fmt: skip
        if plan.kind == "flat":
            return cls(stored, vector_of, facts)
        index = faiss_types.build(plan, stored)
        probes, recall = faiss_types.tune(index, plan, stored)
        facts = facts.model_copy(update={"probes": probes, "recall": recall, "sample": min(rows, faiss_types.SAMPLE)})
        log.info("vector index: %s (%s), recall@%d %.4f", plan.kind, plan.reason, facts.at, recall)
        return cls(stored, vector_of, facts, index)

    def __len__(self) -> int:
        return len(self.vector_of)

    @property
    def shape(self) -> tuple[int, int]:
        """(distinct vectors, dimensions)."""
        return len(self.stored), self.facts.dimensions

    def search(self, queries: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
        """The k best rows of each of q queries (q, d) as (query, row) positions, best first; equally good ones by row.

        Each query gets k rows, or all there are; a query of zeros (a blank name) gets none. Flat search is exact.
        """
        queries = np.ascontiguousarray(queries, dtype=np.float32)
        if queries.ndim != 2 or (len(queries) and queries.shape[1] != self.facts.dimensions):
            raise ValueError(f"queries of shape {queries.shape}, the index has {self.facts.dimensions} dimensions")
        asked = np.flatnonzero(queries.any(axis=1))
        k = min(k, len(self))
        nothing = np.zeros(0, dtype=np.int64)
        if k <= 0 or not len(asked):
            return nothing, nothing
        parts = [
            (asked[start : start + _QUERIES][query], row)
            for start in range(0, len(asked), _QUERIES)
            for query, row in [self._search(queries[asked[start : start + _QUERIES]], k)]
        ]
        return np.concatenate([query for query, _ in parts]), np.concatenate([row for _, row in parts])

    def cosines(self, queries: np.ndarray, query: np.ndarray, row: np.ndarray) -> np.ndarray:
        """(p,) float32 cosines of p pairs of a query position in `queries` (q, d) and a row."""
        return self._products(queries, query, self.vector_of[row])

    def vectors(self) -> np.ndarray:
        """All rows' vectors, (n, d) float16."""
        return self.stored[self.vector_of]

    def copy(self) -> VectorIndex:
        """An index of the same rows that can be changed by itself; the vectors are shared until they change."""
        index = None if self.index is None else faiss.clone_index(self.index)
        return VectorIndex(self.stored, self.vector_of, self.facts, index)

    def add(self, vectors: np.ndarray) -> None:
        """Append rows (m, d). The index is made anew when the size asks for another type or has doubled since training."""
        vectors = _halved(vectors)
        if vectors.shape[1] != self.facts.dimensions:
            raise ValueError(f"vectors of {vectors.shape[1]} dimensions, the index has {self.facts.dimensions}")
        before = len(self.stored)
        stored, vector_of = _merge(self.stored, vectors)
        self._change(stored, np.concatenate([self.vector_of, vector_of]))
        if not self._renewed() and self.index is not None:
            faiss_types.add(self.index, self.stored[before:])

    def remove(self, positions: np.ndarray) -> None:
        """Drop the rows at `positions`; those behind them move up, as in a list. Raises `IndexError` for unknown ones.

        Costs as much as coding all vectors anew (seconds at 400,000), so remove many at a time.
        """
        vector_of = np.delete(self.vector_of, np.asarray(positions, dtype=np.int64))
        live, vector_of = np.unique(vector_of, return_inverse=True)
        gone = len(live) < len(self.stored)
        self._change(self.stored[live] if gone else self.stored, vector_of)
        if not self._renewed() and gone and self.index is not None:
            self.index.reset()  # stays trained
            faiss_types.add(self.index, self.stored)

    def _change(self, stored: np.ndarray, vector_of: np.ndarray) -> None:
        if stored is not self.stored:
            self._dense = None
        self.stored, self.vector_of, self._grouped = stored, vector_of.astype(np.int64), None

    def _renewed(self) -> bool:
        """Make the index anew where the size asks for it; whether it was."""
        rows, dimensions = self.stored.shape
        kind = faiss_types.choose(rows, dimensions, self.facts.wanted).kind
        if kind == self.facts.kind and (self.index is None or rows <= _GROWN * self.facts.trained):
            return False
        new = self._made(self.stored, self.vector_of, self.facts.wanted)
        self.facts, self.index, self._dense = new.facts, new.index, None
        return True

    def _groups(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Rows sorted by vector, then row (n,); where each vector's begin (u,) and how many they are (u,)."""
        if self._grouped is None:
            counts = np.bincount(self.vector_of, minlength=len(self.stored))
            self._grouped = (np.argsort(self.vector_of, kind="stable"), np.cumsum(counts) - counts, counts)
        return self._grouped

    def _search(self, queries: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
        depth = min(len(self.stored), self.facts.deeper * k + _SPARE)
        if self.index is None:
            if self._dense is None:
                self._dense = np.ascontiguousarray(self.stored, dtype=np.float32)
            scores, found = faiss_types.exact(self._dense, queries, depth)
        else:
            found = faiss_types.search(self.index, queries, depth, self.facts.probes)
        there = found >= 0  # FAISS fills up with -1
        query, row, worst = self._ranked(queries, np.nonzero(there)[0], found[there], k)
        again = np.bincount(query, minlength=len(queries)) < k  # lists that were read may hold less
        if self.index is None and depth < len(self.stored):
            again |= worst <= scores[:, -1] + _ROUNDING
        if again.any():
            redo = np.flatnonzero(again)
            more = [self._scan(queries[redo[i : i + _SCANNED]], k) for i in range(0, len(redo), _SCANNED)]
            sure = ~again[query]
            query = np.concatenate([query[sure], *(redo[i * _SCANNED :][q] for i, (q, _) in enumerate(more))])
            row = np.concatenate([row[sure], *(r for _, r in more)])
            order = np.argsort(query, kind="stable")
            query, row = query[order], row[order]
        return query, row

    def _scan(self, queries: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
        """The k best rows of a few queries, found by looking at every vector."""
        scores = np.empty((len(queries), len(self.stored)), dtype=np.float32)
        step = max(1, _PRODUCTS // max(1, self.facts.dimensions))
        for start in range(0, len(self.stored), step):
            scores[:, start : start + step] = queries @ self.stored[start : start + step].astype(np.float32).T
        kth = min(k, len(self.stored))
        edge = np.partition(scores, len(self.stored) - kth, axis=1)[:, len(self.stored) - kth]
        query, vector = np.nonzero(scores >= edge[:, None] - _ROUNDING)
        query, row, _ = self._ranked(queries, query, vector, k)
        return query, row

    def _ranked(
        self, queries: np.ndarray, query: np.ndarray, vector: np.ndarray, k: int
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """The k best (query, row) among proposed (query, vector) pairs, and each query's last score (q,), -inf without any."""
        cosine = self._products(queries, query, vector)
        order, starts, counts = self._groups()
        each = np.minimum(counts[vector], k)  # equal vectors: the first k rows are enough
        pair = np.repeat(np.arange(len(query)), each)
        within = np.arange(len(pair)) - np.repeat(np.cumsum(each) - each, each)
        row = order[starts[vector[pair]] + within]
        query, cosine = query[pair], cosine[pair]
        best = np.lexsort((row, -cosine, query))
        query, row, cosine = query[best], row[best], cosine[best]
        first = np.searchsorted(query, np.arange(len(queries)))
        kept = np.arange(len(query)) - first[query] < k
        query, row, cosine = query[kept], row[kept], cosine[kept]
        worst = np.full(len(queries), -np.inf, dtype=np.float32)
        worst[query] = cosine  # sorted: the last one stays
        return query, row, worst

    def _products(self, queries: np.ndarray, query: np.ndarray, vector: np.ndarray) -> np.ndarray:
        out = np.empty(len(query), dtype=np.float32)
        step = max(1, _PRODUCTS // (8 * max(1, self.facts.dimensions)))
        for start in range(0, len(query), step):
            part = slice(start, start + step)
            # Row by row the same sum whatever stands beside it, which a matrix product does not promise.
            out[part] = np.einsum("ij,ij->i", queries[query[part]], self.stored[vector[part]].astype(np.float32))
        return out

    def save(self, folder: Path) -> None:
        """Write a folder: vectors and rows as arrays, facts as JSON, and FAISS' file where there is an index."""
        folder.mkdir(parents=True)
        np.save(folder / _VECTORS, self.stored)
        np.save(folder / _ROWS, self.vector_of)
        (folder / FACTS).write_text(self.facts.model_dump_json(indent=1) + "\n", encoding="utf-8")
        if self.index is not None:
            faiss.write_index(self.index, str(folder / _INDEX))

    @classmethod
    def load(cls, folder: Path) -> VectorIndex:
        """Open what `save` wrote. Vectors stay on disk and are read where a search touches them; codes are small."""
        facts = VectorFacts.model_validate_json((folder / FACTS).read_text(encoding="utf-8"))
        stored, vector_of = np.load(folder / _VECTORS, mmap_mode="r"), np.load(folder / _ROWS)
        if facts.kind == "flat":
            return cls(stored, vector_of, facts)
        return cls(stored, vector_of, facts, faiss.read_index(str(folder / _INDEX)))


def _halved(vectors: np.ndarray) -> np.ndarray:
    vectors = np.asarray(vectors)
    if vectors.ndim != 2 or not np.isfinite(vectors).all():
        raise ValueError("vectors must be finite numbers in two dimensions")
    return vectors.astype(np.float16) + np.float16(0)  # -0.0 becomes 0.0, which has other bytes


def _merge(stored: np.ndarray, new: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """`stored` (u, d) distinct vectors with those of `new` (m, d) that it lacks behind them, and where each new row's is (m,)."""
    if not len(new) or not new.shape[1]:
        return stored, np.zeros(len(new), dtype=np.int64)
    both = np.ascontiguousarray(np.concatenate([stored, new]))
    _, first, inverse = np.unique(
        both.view(np.dtype((np.void, both.itemsize * both.shape[1]))).ravel(), return_index=True, return_inverse=True
    )
    origin = first[inverse.ravel()]  # the earliest row with the same bytes
    fresh = np.flatnonzero(origin[len(stored) :] == np.arange(len(stored), len(both))) + len(stored)
    place = np.arange(len(both))
    place[fresh] = len(stored) + np.arange(len(fresh))
    merged = both[np.concatenate([np.arange(len(stored)), fresh])] if len(fresh) else stored
    return merged, place[origin[len(stored) :]]
