"""AI Search (formerly Vector Search): the vector channel of an index at a Databricks endpoint, for matching one record at a time.

Rows are written by us, with vectors of the index's own encoder (a direct access index), so that it finds the neighbours that FAISS finds;
`em_core.retrieval.searched` puts it behind the same questions as `VectorIndex`. Distance there is Euclidean over unit vectors and the score
1 / (1 + d^2), from which the cosine follows: 1 - d^2 / 2. Paths as of docs.databricks.com/api/workspace/vectorsearchindexes; they kept
their older name.
"""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from em_core.errors import UserError
from em_core.storage import sql

if TYPE_CHECKING:
    from databricks.sdk import WorkspaceClient

EndpointType = Literal["STANDARD", "STORAGE_OPTIMIZED"]
Filter = Mapping[str, str | Sequence[str]]
_ENDPOINTS, _INDEXES = "/api/2.0/vector-search/endpoints", "/api/2.0/vector-search/indexes"
_KEY, _VECTOR = "name_id", "vector"
_UPSERTED = 1_000  # rows of one request
_PAGE = 1_000  # the most hits of one query
log = logging.getLogger(__name__)


@dataclass
class AiSearchIndex:
    """One index of an endpoint. `columns` are kept beside the vectors, to filter by; all are text."""

    client: WorkspaceClient
    endpoint: str
    name: str
    dimensions: int
    kind: EndpointType = "STANDARD"
    columns: tuple[str, ...] = ("country",)
    seconds: float = 3600.0
    pause: float = 10.0

    def create(self) -> bool:
        """Make endpoint and index where they are not there, and wait until both answer; whether the index is new.

        Raises `UserError` if an index of that name has another form, or the service refuses.
        """
        if self._find(f"{_ENDPOINTS}/{self.endpoint}") is None:
            self._do("POST", _ENDPOINTS, {"name": self.endpoint, "endpoint_type": self.kind})
        self._until(f"{_ENDPOINTS}/{self.endpoint}", self._endpoint_ready, f"endpoint {self.endpoint}")
        found = self._find(f"{_INDEXES}/{self.name}")
        if found is not None:
            self._check(found)
        else:
            self._do("POST", _INDEXES, self._described())
        self._until(f"{_INDEXES}/{self.name}", _index_ready, f"index {self.name}")
        return found is None

    def upsert(self, ids: Sequence[str], vectors: np.ndarray, attributes: Mapping[str, Sequence[str | None]]) -> int:
        """Write rows (vectors (n, d), of unit length) by id; how many. Twice the same changes nothing.

        Raises `ValueError` for vectors of other dimensions or length, `UserError` where rows are refused.
        """
        vectors = np.asarray(vectors, dtype=np.float32)
        if vectors.shape != (len(ids), self.dimensions):
            raise ValueError(f"vectors of shape {vectors.shape} for {len(ids)} ids of {self.dimensions} dimensions")
        length = np.linalg.norm(vectors, axis=1)
        if len(length) and np.abs(length - 1).max() > 1e-2:
            raise ValueError("vectors must have unit length: distances are Euclidean")
        for start in range(0, len(ids), _UPSERTED):
            part = slice(start, start + _UPSERTED)
            columns = [attributes[name][part] for name in self.columns]
            rows = [
                {_KEY: key, _VECTOR: vector, **dict(zip(self.columns, cells, strict=True))}
                for key, vector, *cells in zip(ids[part], vectors[part].tolist(), *columns, strict=True)
            ]
            answer = self._do("POST", f"{_INDEXES}/{self.name}/upsert-data", {"inputs_json": json.dumps(rows)})
            self._all_done(answer, "upsert")
        return len(ids)

    def delete(self, ids: Sequence[str]) -> int:
        """Drop rows by id; how many were asked for."""
        for start in range(0, len(ids), _UPSERTED):
            part = list(ids[start : start + _UPSERTED])
            self._all_done(
                self._do("DELETE", f"{_INDEXES}/{self.name}/delete-data", None, {"primary_keys": part}), "delete"
            )
        return len(ids)

    def sync(self) -> None:
        """Bring an index that follows a Delta table (not one of ours) up to date."""
        self._do("POST", f"{_INDEXES}/{self.name}/sync", {})

    def search(self, queries: np.ndarray, k: int, where: Filter | None = None) -> Iterator[tuple[int, str, float]]:
        """(query, id, cosine) of the k nearest of each query (q, d), best first; a query of zeros gets none.

        One request for each query: the service takes one vector at a time. `where` as in `filter_of`.
        """
        for place, query in enumerate(np.asarray(queries, dtype=np.float32)):
            if not query.any():
                continue
            body = {
                "columns": [_KEY],
                "query_vector": query.tolist(),
                "num_results": min(k, _PAGE),
                **filter_of(where, self.kind),
            }
            answer = self._do("POST", f"{_INDEXES}/{self.name}/query", body)
            for key, score in self._rows(answer):
                yield place, key, cosine_of(score)

    def rows(self) -> int:
        """Rows that are indexed by now."""
        found = self._find(f"{_INDEXES}/{self.name}") or {}
        return int((found.get("status") or {}).get("indexed_row_count") or 0)

    def _described(self) -> dict[str, Any]:
        types = {_KEY: "string", _VECTOR: "array<float>", **dict.fromkeys(self.columns, "string")}
        return {
            "name": self.name,
            "endpoint_name": self.endpoint,
            "primary_key": _KEY,
            "index_type": "DIRECT_ACCESS",
            "direct_access_index_spec": {
                "embedding_vector_columns": [{"name": _VECTOR, "embedding_dimension": self.dimensions}],
                "schema_json": json.dumps(types),
            },
        }

    def _check(self, found: dict[str, Any]) -> None:
        spec = found.get("direct_access_index_spec") or {}
        there = (spec.get("embedding_vector_columns") or [{}])[0].get("embedding_dimension")
        if found.get("endpoint_name") != self.endpoint:
            raise UserError(f"index {self.name} is at endpoint {found.get('endpoint_name')}, not at {self.endpoint}")
        if found.get("index_type") != "DIRECT_ACCESS" or there != self.dimensions:
            raise UserError(f"index {self.name} has another form ({there} dimensions): drop it, or name another one")

    def _endpoint_ready(self, found: dict[str, Any]) -> bool:
        state = (found.get("endpoint_status") or {}).get("state")
        if state == "OFFLINE":
            raise UserError(f"AI Search endpoint {self.endpoint} is offline")
        if found.get("endpoint_type", self.kind) != self.kind:
            raise UserError(f"AI Search endpoint {self.endpoint} is {found['endpoint_type']}, not {self.kind}")
        return state == "ONLINE"

    def _rows(self, answer: dict[str, Any]) -> list[tuple[str, float]]:
        """Key and score of each hit; the score is the last column, whatever was asked for."""
        names = [column["name"] for column in (answer.get("manifest") or {}).get("columns", [])]
        rows = (answer.get("result") or {}).get("data_array") or []
        if rows and _KEY not in names:
            raise UserError(f"index {self.name}: the answer has no column {_KEY}")
        return [(str(row[names.index(_KEY)]), float(row[-1])) for row in rows]

    def _all_done(self, answer: dict[str, Any], what: str) -> None:
        status = answer.get("status", "SUCCESS")
        failed = (answer.get("result") or {}).get("failed_primary_keys") or []
        if status != "SUCCESS" or failed:
            raise UserError(
                f"index {self.name}: {what} of {len(failed)} row(s) failed ({status}); the first: {failed[:1]}"
            )

    def _until(self, path: str, ready: Any, what: str) -> None:
        deadline = time.monotonic() + self.seconds
        while True:
            found = self._find(path)
            if found is not None and ready(found):
                return
            if time.monotonic() > deadline:
                raise UserError(f"AI Search {what}: not ready after {self.seconds:.0f} s")
            log.info("%s is not ready yet", what)
            time.sleep(self.pause)

    def _find(self, path: str) -> dict[str, Any] | None:
        from databricks.sdk.errors import NotFound

        try:
            return self._do("GET", path, missing=NotFound)
        except NotFound:
            return None

    def _do(
        self,
        method: str,
        path: str,
        body: dict[str, Any] | None = None,
        query: dict[str, Any] | None = None,
        missing: type[Exception] | tuple[()] = (),
    ) -> dict[str, Any]:
        """One call; the SDK itself asks again where the service is busy (429, 503). `missing`: an error that passes as it is."""
        from databricks.sdk.errors import DatabricksError

        try:
            return dict(self.client.api_client.do(method, path, body=body, query=query))  # type: ignore[arg-type]
        except missing:
            raise
        except (DatabricksError, TimeoutError) as error:
            raise UserError(f"AI Search: {str(error).splitlines()[0]}") from None


def cosine_of(score: float) -> float:
    """The cosine of two unit vectors out of the service's score 1 / (1 + d^2)."""
    return 1 - (1 / score - 1) / 2 if score > 0 else -1.0


def filter_of(where: Filter | None, kind: EndpointType) -> dict[str, str]:
    """A filter as the endpoint takes it: a dictionary in JSON at a standard one, a condition at a storage-optimized one."""
    if not where:
        return {}
    if kind == "STANDARD":
        listed = {name: [value] if isinstance(value, str) else list(value) for name, value in where.items()}
        return {"filters_json": json.dumps(listed)}
    return {"filter_string": sql.condition(where)}


def _index_ready(found: dict[str, Any]) -> bool:
    return bool((found.get("status") or {}).get("ready"))
