"""A vector channel that asks AI Search for neighbours; vectors for exact cosines stay in the index folder, mapped from disk."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from em_core.errors import UserError
from em_core.storage.atomic import atomic_file

if TYPE_CHECKING:
    from em_core.retrieval.ai_search import AiSearchIndex
    from em_core.retrieval.index import CandidateIndex
    from em_core.retrieval.vectors import VectorIndex


def name_ids(index: CandidateIndex) -> np.ndarray:
    """(n,) object: an id for each name row of a candidate index that stays while the entity's names stay: `entity|place`."""
    owner = pd.Series(index.owner)
    ids = index.rows["entity_id"][index.owner]
    return (pd.Series(ids) + "|" + owner.groupby(owner).cumcount().astype(str)).to_numpy(dtype=object)


@dataclass
class SearchedVectors:
    """`VectorIndex`'s questions: `search` goes to the endpoint, `cosines` to the vectors here. Rows as in `local`."""

    local: VectorIndex
    remote: AiSearchIndex
    place: pd.Series

    @classmethod
    def of(cls, index: CandidateIndex, remote: AiSearchIndex) -> SearchedVectors:
        """The channel of an index that has vectors. Raises `ValueError` for one without."""
        if index.vector is None:
            raise ValueError("the index was built without an encoder")
        return cls(index.vector, remote, pd.Series(np.arange(len(index.owner)), index=name_ids(index)))

    def __len__(self) -> int:
        return len(self.local)

    @property
    def shape(self) -> tuple[int, int]:
        """See `VectorIndex.shape`."""
        return self.local.shape

    def search(self, queries: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
        """(query, row) positions of the k best rows of each query, best first; equally good ones by row. See `VectorIndex.search`.

        A row that the endpoint has and this index has not (it was removed meanwhile) is left out.
        """
        hits = pd.DataFrame(self.remote.search(queries, min(k, len(self))), columns=["query", "id", "cosine"])
        hits["row"] = hits["id"].map(self.place)
        hits = hits.dropna(subset="row").astype({"row": np.int64})
        hits = hits.sort_values(["query", "cosine", "row"], ascending=[True, False, True], kind="stable")
        return hits["query"].to_numpy(dtype=np.int64), hits["row"].to_numpy()

    def cosines(self, queries: np.ndarray, query: np.ndarray, row: np.ndarray) -> np.ndarray:
        """See `VectorIndex.cosines`."""
        return self.local.cosines(queries, query, row)


def searching(index: CandidateIndex, remote: AiSearchIndex) -> CandidateIndex:
    """The same candidate index with its vector channel at an AI Search index."""
    return replace(index, vector=SearchedVectors.of(index, remote))  # type: ignore[arg-type]


def bring_up_to_date(remote: AiSearchIndex, index: CandidateIndex, state: Path) -> dict[str, int]:
    """Make the AI Search index hold exactly the names of `index`; rows `written`, `deleted` and `unchanged`.

    state: Parquet file that remembers each row's digest, so that only what changed goes over the wire. It is dropped before rows go into a
    new index and written last, so that it never says more than the index holds: after a failure rows go again. An index that is new, or
    whose state is not there, gets everything; names of which nothing is remembered stay in an old one and are left out of its finds.
    Raises `UserError` for an index without vectors.
    """
    if index.vector is None:
        raise UserError("the index was built without an encoder: there are no vectors to search")
    fresh = remote.create()
    ids, vectors = name_ids(index), index.vector.vectors().astype(np.float32)
    country = index.rows["country"][index.owner]
    marks = pd.util.hash_array(pd.Series(country).fillna("").to_numpy(dtype=object)) ^ _row_hashes(vectors)
    if fresh:
        state.unlink(missing_ok=True)
    old = _remembered(state, remote.name)
    place = old.index.get_indexer(pd.Index(ids))
    changed = np.ones(len(ids), dtype=bool)
    changed[place >= 0] = old.to_numpy()[place[place >= 0]] != marks[place >= 0]
    gone = old.index.difference(pd.Index(ids))
    used = vectors.any(axis=1)
    rows = np.flatnonzero(changed & used)
    remote.upsert(list(ids[rows]), vectors[rows], {"country": list(country[rows])})
    # A name that no longer has a vector must not be found by its old one.
    empty = ids[changed & ~used & (place >= 0)]
    remote.delete([*gone, *empty])
    with atomic_file(state) as aside:
        pd.DataFrame({"name_id": ids, "mark": marks, "index": remote.name}).to_parquet(aside)
    return {"written": len(rows), "deleted": len(gone) + len(empty), "unchanged": int((~changed).sum())}


def _remembered(state: Path, name: str) -> pd.Series:
    """Digest by id of the rows that the index `name` holds; nothing where the file is not there or is another index's."""
    if not state.is_file():
        return pd.Series(dtype=np.uint64, index=pd.Index([], dtype=object))
    known = pd.read_parquet(state)
    return known[known["index"] == name].set_index("name_id")["mark"]


def _row_hashes(vectors: np.ndarray) -> np.ndarray:
    """(n,) uint64 of rows (n, d)."""
    bytes_of = np.ascontiguousarray(vectors.astype(np.float16)).view(np.uint16).astype(np.uint64)
    factors = np.random.default_rng(0).integers(1, 2**63, vectors.shape[1], dtype=np.uint64) | np.uint64(1)
    with np.errstate(over="ignore"):
        return (bytes_of * factors).sum(axis=1, dtype=np.uint64)
