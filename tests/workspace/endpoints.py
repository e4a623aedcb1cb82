"""A stand-in for AI Search and Model Serving: endpoints that take a while to come up, refuse what the services refuse, and answer."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from typing import Any

import numpy as np

_SEARCH, _SERVING = "/api/2.0/vector-search/", "/api/2.0/serving-endpoints"
_INDEX_NAME = re.compile(r"[A-Za-z0-9_]+\.[A-Za-z0-9_]+\.[A-Za-z0-9_]+")
_CONDITION = re.compile(r"`(\w+)` IN \(('[^']*'(?:, '[^']*')*)\)")


class RefusedError(Exception):
    """Status, error code and message of an answer."""

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(message)
        self.status, self.code = status, code


@dataclass
class SearchIndex:
    """A direct access index."""

    described: dict[str, Any]
    rows: dict[str, dict[str, Any]] = field(default_factory=dict)
    looks: int = 0


@dataclass
class Endpoints:
    """Search endpoints, their indexes, and serving endpoints."""

    models: set[tuple[str, str]] = field(default_factory=set)
    """(registered model, version) that can be served; version 99 never comes up"""
    search: dict[str, dict[str, Any]] = field(default_factory=dict)
    indexes: dict[str, SearchIndex] = field(default_factory=dict)
    serving: dict[str, dict[str, Any]] = field(default_factory=dict)
    writes: int = 0

    def handles(self, path: str) -> bool:
        return path.startswith((_SEARCH, _SERVING))

    def answer(self, method: str, path: str, body: dict[str, Any], query: dict[str, list[str]]) -> dict[str, Any]:
        """The body of the answer. Raises `RefusedError`."""
        if path.startswith(_SERVING):
            return self._serve(method, path.removeprefix(_SERVING).strip("/").split("/"), body)
        kind, *rest = path.removeprefix(_SEARCH).split("/")
        if kind == "endpoints":
            return self._endpoint(method, rest, body)
        return self._index(method, rest, body, query)

    def _endpoint(self, method: str, rest: list[str], body: dict[str, Any]) -> dict[str, Any]:
        if method == "POST":
            if body["name"] in self.search:
                raise RefusedError(409, "RESOURCE_ALREADY_EXISTS", f"endpoint {body['name']} exists")
            if body["endpoint_type"] not in ("STANDARD", "STORAGE_OPTIMIZED"):
                raise RefusedError(400, "INVALID_PARAMETER_VALUE", f"endpoint_type {body['endpoint_type']}")
            self.search[body["name"]] = {**body, "looks": 0}
            return {"name": body["name"]}
        found = self.search.get(rest[0])
        if found is None:
            raise RefusedError(404, "RESOURCE_DOES_NOT_EXIST", f"endpoint {rest[0]} does not exist")
        found["looks"] += 1
        state = "PROVISIONING" if found["looks"] < 2 else "ONLINE"
        return {"name": rest[0], "endpoint_type": found["endpoint_type"], "endpoint_status": {"state": state}}

    def _index(self, method: str, rest: list[str], body: dict[str, Any], query: dict[str, list[str]]) -> dict[str, Any]:
        if not rest:
            if not _INDEX_NAME.fullmatch(body["name"]):
                raise RefusedError(
                    400, "INVALID_PARAMETER_VALUE", "an index name has three parts of letters, digits and _"
                )
            if body["endpoint_name"] not in self.search:
                raise RefusedError(404, "RESOURCE_DOES_NOT_EXIST", f"endpoint {body['endpoint_name']} does not exist")
            if body["name"] in self.indexes:
                raise RefusedError(409, "RESOURCE_ALREADY_EXISTS", f"index {body['name']} exists")
            self.indexes[body["name"]] = SearchIndex(body)
            return body
        if rest[0] not in self.indexes:
            raise RefusedError(404, "RESOURCE_DOES_NOT_EXIST", f"index {rest[0]} does not exist")
        index = self.indexes[rest[0]]
        what = rest[1] if len(rest) > 1 else ""
        if what == "upsert-data":
            return self._upsert(index, json.loads(body["inputs_json"]))
        if what == "delete-data":
            gone = query.get("primary_keys", [])
            self.writes += len(gone)
            for key in gone:
                index.rows.pop(key, None)
            return {"status": "SUCCESS", "result": {"success_row_count": len(gone), "failed_primary_keys": []}}
        if what == "query":
            return self._query(index, body)
        if what == "sync":
            raise RefusedError(400, "INVALID_PARAMETER_VALUE", "a direct access index is not synced")
        index.looks += 1
        return {**index.described, "status": {"ready": index.looks > 1, "indexed_row_count": len(index.rows)}}

    def _upsert(self, index: SearchIndex, rows: list[dict[str, Any]]) -> dict[str, Any]:
        types = json.loads(index.described["direct_access_index_spec"]["schema_json"])
        (column,) = index.described["direct_access_index_spec"]["embedding_vector_columns"]
        failed = []
        for row in rows:
            if set(row) != set(types) or len(row[column["name"]]) != column["embedding_dimension"]:
                failed.append(row.get(index.described["primary_key"]))
                continue
            index.rows[row[index.described["primary_key"]]] = row
            self.writes += 1
        status = "FAILURE" if len(failed) == len(rows) else "PARTIAL_SUCCESS" if failed else "SUCCESS"
        return {
            "status": status,
            "result": {"success_row_count": len(rows) - len(failed), "failed_primary_keys": failed},
        }

    def _query(self, index: SearchIndex, body: dict[str, Any]) -> dict[str, Any]:
        kind = self.search[index.described["endpoint_name"]]["endpoint_type"]
        unknown = set(body) - {
            "columns",
            "query_vector",
            "num_results",
            "filters_json" if kind == "STANDARD" else "filter_string",
        }
        if unknown:
            raise RefusedError(400, "INVALID_PARAMETER_VALUE", f"a {kind} endpoint does not take {sorted(unknown)}")
        if not 0 < body["num_results"] <= 1000:
            raise RefusedError(400, "INVALID_PARAMETER_VALUE", "num_results must be between 1 and 1000")
        wanted = json.loads(body.get("filters_json", "{}"))
        if text := body.get("filter_string"):
            wanted = {name: re.findall("'([^']*)'", values) for name, values in _CONDITION.findall(text)}
        (column,) = index.described["direct_access_index_spec"]["embedding_vector_columns"]
        rows = [row for row in index.rows.values() if all(row[name] in values for name, values in wanted.items())]
        vectors = np.array([row[column["name"]] for row in rows]).reshape(len(rows), column["embedding_dimension"])
        distance = ((vectors - np.array(body["query_vector"])) ** 2).sum(axis=1)
        best = np.argsort(distance, kind="stable")[: body["num_results"]]
        names = [*body["columns"], "score"]
        data = [[*(rows[i][name] for name in body["columns"]), 1 / (1 + distance[i])] for i in best]
        return {
            "manifest": {"column_count": len(names), "columns": [{"name": name} for name in names]},
            "result": {"row_count": len(data), "data_array": data},
            "next_page_token": "",
        }

    def _serve(self, method: str, rest: list[str], body: dict[str, Any]) -> dict[str, Any]:
        if method == "POST":
            if body["name"] in self.serving:
                raise RefusedError(400, "RESOURCE_ALREADY_EXISTS", f"endpoint {body['name']} exists")
            self.serving[body["name"]] = {"name": body["name"], "config": {}, "looks": 0}
            rest = [body["name"]]
            body = body["config"]
        found = self.serving.get(rest[0])
        if found is None:
            raise RefusedError(404, "RESOURCE_DOES_NOT_EXIST", f"endpoint {rest[0]} does not exist")
        if method in ("POST", "PUT"):
            (entity,) = body["served_entities"]
            if (entity["entity_name"], entity["entity_version"]) not in self.models:
                raise RefusedError(
                    404,
                    "RESOURCE_DOES_NOT_EXIST",
                    f"model {entity['entity_name']} has no version {entity['entity_version']}",
                )
            if found.get("pending_config") and found["looks"] < 2:
                raise RefusedError(409, "RESOURCE_CONFLICT", "the endpoint is being updated")
            found["pending_config"], found["looks"] = body, 0
            self.writes += 1
            return self._told(found)
        return self._told(found, look=True)

    def _told(self, found: dict[str, Any], look: bool = False) -> dict[str, Any]:
        found["looks"] += look
        pending = found.get("pending_config")
        failed = bool(pending) and pending["served_entities"][0]["entity_version"] == "99"
        if pending and found["looks"] >= 2 and not failed:
            found["config"], pending = pending, None
            found["pending_config"] = None
        update = "UPDATE_FAILED" if failed and found["looks"] >= 2 else "IN_PROGRESS" if pending else "NOT_UPDATING"
        if failed:
            state = {"deployment": "DEPLOYMENT_FAILED", "deployment_state_message": "the image could not be built"}
            pending = {"served_entities": [{**pending["served_entities"][0], "state": state}]}
        answer = {
            "name": found["name"],
            "config": found["config"],
            "state": {"ready": "READY" if found["config"] else "NOT_READY", "config_update": update},
        }
        return answer | ({"pending_config": pending} if pending else {})
