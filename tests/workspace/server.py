"""A stand-in for a Databricks workspace: jobs run as real processes of a real wheel, files lie in a temporary folder.

    python -m tests.workspace.server --python clean/bin/python --volumes FOLDER

It honours what the launcher relies on and refuses what a workspace refuses: unknown keys, both kinds of parameters, an unknown
environment key, a missing token. `/Volumes/...` in parameters is mapped to the folder, as a mount would.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import shutil
import signal
import subprocess
import threading
import time
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote, urlparse

import pyarrow as pa

from em_core.storage.arrow import storage_type
from em_core.storage.sql import sql_type
from tests.workspace.endpoints import Endpoints, RefusedError
from tests.workspace.warehouse import Warehouse, WarehouseError

_TASK_KEYS = {
    "task_key", "python_wheel_task", "timeout_seconds", "libraries", "new_cluster", "existing_cluster_id", "environment_key",
}  # fmt: skip
_WHEEL_KEYS = {"package_name", "entry_point", "parameters", "named_parameters"}
_BODY_KEYS = {"run_name", "idempotency_token", "timeout_seconds", "tasks", "environments"}
_STATEMENT_KEYS = {"statement", "warehouse_id", "wait_timeout", "on_wait_timeout", "disposition", "format"}
_STATEMENTS = "/api/2.0/sql/statements"
_CHUNK = 1000
_STARTER = """
import sys
from importlib.metadata import distribution
package, name, *sys.argv[1:] = sys.argv[1:]
found = [e for e in distribution(package).entry_points if e.group == "console_scripts" and e.name == name]
if not found:
    sys.exit(f"entry point {name} is not in the metadata of {package}")
sys.argv[0] = name
code = found[0].load()()
if code:
    raise SystemExit(code)
"""


@dataclass
class Run:
    """One submitted run."""

    run_id: int
    body: dict[str, Any]
    process: subprocess.Popen[str]
    log: Path
    cancelled: bool = False
    timed_out: bool = False
    polled: int = 0

    @property
    def state(self) -> dict[str, str]:
        code = self.process.poll()
        if code is None or not self.polled:  # a first look never sees the end
            return {"life_cycle_state": "RUNNING"}
        if self.cancelled:
            return {"life_cycle_state": "TERMINATED", "result_state": "CANCELED", "state_message": "Run cancelled."}
        if self.timed_out:
            return {"life_cycle_state": "TERMINATED", "result_state": "TIMEDOUT", "state_message": "Run timed out."}
        if code == 0:
            return {"life_cycle_state": "TERMINATED", "result_state": "SUCCESS"}
        message = "Workload failed, see run output for details"
        return {"life_cycle_state": "INTERNAL_ERROR", "result_state": "FAILED", "state_message": message}

    def kill(self) -> None:
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait(20)


@dataclass
class Statement:
    """One statement of the warehouse and its answer, in chunks."""

    chunks: list[pa.Table]
    error: str | None = None
    asked: int = 0


@dataclass
class Workspace:
    """The state behind the server."""

    python: Path
    """interpreter of the environment that the wheel is installed in"""
    root: Path
    """`/Volumes/...` lies here, and so do logs"""
    token: str = "secret-token"
    runs: dict[int, Run] = field(default_factory=dict)
    by_token: dict[str, int] = field(default_factory=dict)
    refusals: list[int] = field(default_factory=list)
    """status codes that the next requests get"""
    warehouse: Warehouse | None = None
    """the one SQL warehouse, of the id `warehouse`; made at first use"""
    statements: dict[str, Statement] = field(default_factory=dict)
    endpoints: Endpoints = field(default_factory=Endpoints)
    """AI Search and Model Serving"""

    def submit(self, body: dict[str, Any]) -> int:
        if (token := body.get("idempotency_token")) in self.by_token:
            return self.by_token[token]
        _known(body, _BODY_KEYS)
        (task,) = body["tasks"]
        _known(task, _TASK_KEYS)
        wheel = task["python_wheel_task"]
        _known(wheel, _WHEEL_KEYS)
        if "parameters" in wheel and "named_parameters" in wheel:
            raise ValueError("parameters and named_parameters exclude each other")
        keys = {e["environment_key"]: e["spec"] for e in body.get("environments", [])}
        if "environment_key" in task:
            if task["environment_key"] not in keys:
                raise ValueError(f"environment_key {task['environment_key']} is not declared")
            wheels, variables = keys[task["environment_key"]]["dependencies"], {}
        else:
            wheels = [library["whl"] for library in task["libraries"]]
            variables = task.get("new_cluster", {}).get("spark_env_vars", {})
        if not any(str(w).endswith(".whl") for w in wheels):
            raise ValueError("no wheel is attached")
        parameters = [self.local(text) for text in wheel.get("parameters", [])]
        number = len(self.runs) + 1
        log = self.root / f"run-{number}.log"
        command = [str(self.python), "-c", _STARTER, wheel["package_name"], wheel["entry_point"], *parameters]
        kept = {k: v for k, v in os.environ.items() if k in ("PATH", "HOME", "LANG", "TMPDIR", "OMP_NUM_THREADS")}
        with log.open("w") as out:
            process = subprocess.Popen(
                command,
                env={**kept, **variables},
                stdout=out,
                stderr=out,
                text=True,
                cwd=self.root,
                start_new_session=True,
            )
        run = self.runs[number] = Run(number, body, process, log)
        if token:
            self.by_token[token] = number
        threading.Thread(target=self._limit, args=(run, body["timeout_seconds"]), daemon=True).start()
        return number

    def _limit(self, run: Run, seconds: float) -> None:
        try:
            run.process.wait(seconds)
        except subprocess.TimeoutExpired:
            run.timed_out = True
            run.kill()

    def state_of(self, number: str, host: str) -> dict[str, Any]:
        """A statement as the API tells it: of some that it still runs at the first look, then its end."""
        found = self.statements[number]
        found.asked += 1
        if found.asked == 1 and int(number.split("-")[1]) % 7 == 1:
            return {"statement_id": number, "status": {"state": "RUNNING"}}
        if found.error:
            error = {"error_code": "BAD_REQUEST", "message": found.error}
            return {"statement_id": number, "status": {"state": "FAILED", "error": error}}
        columns = [{"name": f.name, "type_text": _type_text(f.type)} for f in found.chunks[0].schema]
        return {
            "statement_id": number,
            "status": {"state": "SUCCEEDED"},
            "manifest": {"format": "ARROW_STREAM", "schema": {"column_count": len(columns), "columns": columns}},
            "result": self.chunk(number, 0, host),
        }

    def chunk(self, number: str, index: int, host: str) -> dict[str, Any]:
        """The link to one chunk; none of a result without rows."""
        chunks = self.statements[number].chunks
        if not chunks[0].num_rows:
            return {}
        link: dict[str, Any] = {
            "chunk_index": index,
            "external_link": f"http://{host}/storage/{number}/{index}?signed=1",
        }
        if index + 1 < len(chunks):
            link["next_chunk_internal_link"] = f"{_STATEMENTS}/{number}/result/chunks/{index + 1}"
        return {"external_links": [link]}

    def run_statement(self, body: dict[str, Any]) -> str:
        """Run it at once; returns its id."""
        _known(body, _STATEMENT_KEYS)
        if body["warehouse_id"] != "warehouse":
            raise ValueError(f"{body['warehouse_id']} is not a valid endpoint id")
        self.warehouse = self.warehouse or Warehouse(self.root)
        number = f"statement-{len(self.statements) + 1}"
        try:
            rows = self.warehouse.execute(body["statement"])
            chunks = [rows.slice(at, _CHUNK) for at in range(0, max(1, rows.num_rows), _CHUNK)]
            self.statements[number] = Statement(chunks)
        except WarehouseError as error:
            self.statements[number] = Statement([], str(error))
        return number

    def local(self, text: str) -> str:
        """A volume path as a place here. The Pipes bootstrap is packed and is opened for that."""
        if text.startswith("/Volumes/"):
            return str(self.root / text.lstrip("/"))
        if text.startswith("eJ"):
            import dagster_pipes

            params = dagster_pipes.decode_param(text)
            if isinstance(params, dict) and "path" in params:
                return dagster_pipes.encode_param({**params, "path": self.local(params["path"])})
        return text

    def told(self, run: Run) -> dict[str, Any]:
        state = run.state
        run.polled += 1
        task_state = dict(state)
        if state["life_cycle_state"] == "INTERNAL_ERROR":
            task_state["life_cycle_state"] = "TERMINATED"
        return {
            "run_id": run.run_id,
            "run_name": run.body.get("run_name"),
            "run_page_url": f"https://workspace.example/#job/1/run/{run.run_id}",
            "state": state,
            "tasks": [{"run_id": 1000 + run.run_id, "task_key": run.body["tasks"][0]["task_key"], "state": task_state}],
        }

    def output(self, task_run: int) -> dict[str, Any]:
        run = self.runs[task_run - 1000]
        text = run.log.read_text(errors="replace")
        if run.process.poll() in (0, None):
            return {"logs": text}
        lines = text.strip().splitlines() or ["no output"]
        last = f"SystemExit: 2 ({lines[-1]})" if run.process.returncode == 2 else lines[-1]
        return {"error": last, "error_trace": text[-10_000:], "logs": text}


def _type_text(kind: pa.DataType) -> str:
    """As a manifest writes it; also what no table of ours has."""
    if pa.types.is_map(kind) or pa.types.is_struct(kind):
        return "MAP<STRING, STRING>" if pa.types.is_map(kind) else "STRUCT<jobId: STRING>"
    return sql_type(storage_type(kind))


def _known(given: dict[str, Any], keys: set[str]) -> None:
    if unknown := set(given) - keys:
        raise ValueError(f"unknown keys {sorted(unknown)}")


class Handler(BaseHTTPRequestHandler):
    """REST paths, as the SDK calls them."""

    protocol_version = "HTTP/1.1"
    workspace: Workspace

    def _answer(self, status: int, body: dict[str, Any] | bytes | None = None, **headers: str) -> None:
        data = b"" if body is None else body if isinstance(body, bytes) else json.dumps(body).encode()
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        if status != 204:
            self.send_header("Content-Length", str(len(data)))
            self.send_header(
                "Content-Type", "application/octet-stream" if isinstance(body, bytes) else "application/json"
            )
        self.end_headers()
        if self.command != "HEAD" and status != 204:
            self.wfile.write(data)

    def _error(self, status: int, code: str, message: str) -> None:
        self._answer(status, {"error_code": code, "message": message})

    def _body(self) -> bytes:
        if self.headers.get("Transfer-Encoding", "").lower() == "chunked":
            data = b""
            while size := int(self.rfile.readline().split(b";")[0], 16):
                data += self.rfile.read(size)
                self.rfile.readline()
            self.rfile.readline()
            return data
        return self.rfile.read(int(self.headers.get("Content-Length") or 0))

    def _handle(self) -> None:
        url, data, space = urlparse(self.path), self._body(), self.workspace
        if self.headers.get("Authorization") != f"Bearer {space.token}" and url.path.startswith("/api"):
            return self._error(401, "UNAUTHENTICATED", "missing or wrong token")
        if space.refusals and url.path.startswith("/api"):
            return self._error(space.refusals.pop(0), "TEMPORARILY_UNAVAILABLE", "try again")
        path, query = unquote(url.path), parse_qs(url.query)
        try:
            if path.startswith("/api/2.0/fs/files/"):
                return self._file(space.root / path.removeprefix("/api/2.0/fs/files/"), data)
            if path.startswith(_STATEMENTS):
                return self._statement(path.removeprefix(_STATEMENTS).strip("/").split("/"), data)
            if space.endpoints.handles(path):
                return self._answer(200, space.endpoints.answer(self.command, path, json.loads(data or b"{}"), query))
            if path.startswith("/storage/"):
                return self._storage(path.split("/")[2:])
            if path.startswith("/api/2.0/fs/directories/"):
                return self._directory(path.removeprefix("/api/2.0/fs/directories"))
            return self._job(path.split("/jobs/")[-1], json.loads(data or b"{}"), query)
        except RefusedError as error:
            return self._error(error.status, error.code, str(error))
        except (ValueError, KeyError, TypeError) as error:
            return self._error(400, "INVALID_PARAMETER_VALUE", str(error))

    do_GET = do_POST = do_PUT = do_DELETE = do_HEAD = _handle  # noqa: N815

    def _statement(self, parts: list[str], data: bytes) -> None:
        space, host = self.workspace, self.headers["Host"]
        if parts == [""]:
            return self._answer(200, space.state_of(space.run_statement(json.loads(data)), host))
        if parts[0] not in space.statements:
            return self._error(404, "RESOURCE_DOES_NOT_EXIST", f"no statement {parts[0]}")
        if len(parts) == 4:
            return self._answer(200, space.chunk(parts[0], int(parts[3]), host))
        return self._answer(200, space.state_of(parts[0], host))

    def _storage(self, parts: list[str]) -> None:
        """A chunk behind a signed link: a token of the workspace must not come here."""
        if self.headers.get("Authorization"):
            return self._error(400, "INVALID_REQUEST", "only one way to sign a request is allowed")
        rows = self.workspace.statements[parts[0]].chunks[int(parts[1])]
        sink = io.BytesIO()
        with pa.ipc.new_stream(sink, rows.schema) as stream:
            stream.write_table(rows)
        return self._answer(200, sink.getvalue())

    def _job(self, name: str, body: dict[str, Any], query: dict[str, list[str]]) -> None:
        space = self.workspace
        if name == "runs/submit":
            return self._answer(200, {"run_id": space.submit(body)})
        number = int(body.get("run_id") or query.get("run_id", ["0"])[0])
        if number not in space.runs and number - 1000 not in space.runs:
            return self._error(404, "RESOURCE_DOES_NOT_EXIST", f"nothing at {self.path}")
        if name == "runs/get":
            return self._answer(200, space.told(space.runs[number]))
        if name == "runs/get-output":
            return self._answer(200, space.output(number))
        if name == "runs/cancel":
            run = space.runs[number]
            run.cancelled = run.process.poll() is None
            run.kill()
            return self._answer(200, {})
        return self._error(404, "ENDPOINT_NOT_FOUND", f"nothing at {self.path}")

    def _file(self, place: Path, data: bytes) -> None:
        if self.command == "PUT":
            place.parent.mkdir(parents=True, exist_ok=True)
            aside = place.with_name(f".{place.name}.part")
            aside.write_bytes(data)
            aside.replace(place)
            return self._answer(204)
        if not place.is_file():
            return self._error(404, "RESOURCE_DOES_NOT_EXIST", f"no file {place.name}")
        if self.command == "DELETE":
            place.unlink()
            return self._answer(204)
        return self._answer(200, place.read_bytes(), Last_Modified="Thu, 01 Jan 2026 00:00:00 GMT")

    def _directory(self, path: str) -> None:
        place = self.workspace.root / path.lstrip("/")
        if self.command == "PUT":
            place.mkdir(parents=True, exist_ok=True)
            return self._answer(204)
        if not place.is_dir():
            return self._error(404, "RESOURCE_DOES_NOT_EXIST", f"no directory {path}")
        if self.command == "DELETE":
            if any(place.iterdir()):
                return self._error(400, "DIRECTORY_NOT_EMPTY", path)
            place.rmdir()
            return self._answer(204)
        entries = [
            {
                "path": f"{path.rstrip('/')}/{p.name}",
                "name": p.name,
                "is_directory": p.is_dir(),
                "file_size": p.stat().st_size,
                "last_modified": p.stat().st_mtime_ns // 1_000_000,
            }
            for p in sorted(place.iterdir())
        ]
        return self._answer(200, {"contents": entries})

    def log_message(self, *args: object) -> None: ...


def serve(workspace: Workspace, port: int = 0) -> ThreadingHTTPServer:
    """Start in a thread; `shutdown()` ends it."""
    handler = type("BoundHandler", (Handler,), {"workspace": workspace})
    server = ThreadingHTTPServer(("127.0.0.1", port), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server


def main() -> None:
    """Serve until interrupted."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--python", type=Path, required=True, help="interpreter of an environment that holds the wheel")
    parser.add_argument("--volumes", type=Path, required=True, help="folder that /Volumes lies in")
    parser.add_argument("--port", type=int, default=8177)
    arguments = parser.parse_args()
    arguments.volumes.mkdir(parents=True, exist_ok=True)
    server = serve(Workspace(arguments.python.absolute(), arguments.volumes.resolve()), arguments.port)
    try:
        while True:
            time.sleep(1)
    except KeyboardInterrupt:
        server.shutdown()
        shutil.rmtree(arguments.volumes, ignore_errors=True)


if __name__ == "__main__":
    main()
