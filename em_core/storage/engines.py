"""Where the statements of `CatalogStore` run: the Spark session of a job, or a SQL warehouse from anywhere."""

from __future__ import annotations

import io
import logging
import re
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NoReturn

import pyarrow as pa
import pyarrow.parquet as pq

from em_core.errors import UserError
from em_core.storage import sql
from em_core.storage.unity import ConcurrentWriteError, MissingTableError
from em_core.workspace import workspace_client

if TYPE_CHECKING:
    from databricks.sdk import WorkspaceClient
    from pyspark.sql import SparkSession

log = logging.getLogger(__name__)
_RACE = re.compile(
    r"CONCURRENT|ConcurrentAppend|ConcurrentDelete|ConcurrentModification|MetadataChanged|ProtocolChanged"
)
_MISSING = re.compile(r"TABLE_OR_VIEW_NOT_FOUND|SCHEMA_NOT_FOUND")
# A statement of ours that does not parse is our fault, never the user's.
_OURS = re.compile(r"PARSE_SYNTAX_ERROR|ParseException")
_STATEMENTS = "/api/2.0/sql/statements"
# The longest that the service keeps a request open, in seconds; after it one asks again.
_OPEN = 50


def _refused(message: str, where: str) -> NoReturn:
    """Raise what a failed statement means. Raises always."""
    if _RACE.search(message):
        raise ConcurrentWriteError(message)
    if _OURS.search(message):
        raise RuntimeError(message)
    first = next((line for line in message.splitlines() if line.strip()), "no message")
    kind = MissingTableError if _MISSING.search(message) else UserError
    raise kind(f"{where}: {first.strip()}")


class SparkEngine:
    """Statements through a Spark session, classic or Connect."""

    def __init__(self, spark: SparkSession) -> None:
        self.spark = spark

    def query(self, statement: str) -> pa.Table:
        from pyspark.errors import PySparkException

        try:
            return self.spark.sql(statement).toArrow()
        except PySparkException as error:
            _refused(str(error), "Spark")

    @contextmanager
    def staged(self, rows: pa.Table) -> Iterator[str]:
        name = f"em_staged_{uuid.uuid4().hex}"
        self.spark.createDataFrame(rows).createOrReplaceTempView(name)
        try:
            yield sql.quoted(name)
        finally:
            self.spark.catalog.dropTempView(name)


class WarehouseEngine:
    """Statements through the SQL Statement Execution API (docs.databricks.com/api/workspace/statementexecution).

    Rows come back as Arrow streams behind links, go up as Parquet through the Files API into `staging`, a folder of a volume.
    """

    def __init__(
        self, warehouse_id: str, staging: str, client: WorkspaceClient | None = None, seconds: float = 3600
    ) -> None:
        if not staging.startswith("/Volumes/"):
            raise UserError(
                f"staging must be a folder of a volume, /Volumes/<catalog>/<schema>/<volume>, not {staging!r}"
            )
        self.warehouse_id = warehouse_id
        self.staging = staging.rstrip("/")
        self.seconds = seconds
        self._client = client

    @property
    def client(self) -> WorkspaceClient:
        """Made at first use, from the environment, as the SDK does it."""
        if self._client is None:
            self._client = workspace_client()
        return self._client

    def query(self, statement: str) -> pa.Table:
        body = {
            "statement": statement,
            "warehouse_id": self.warehouse_id,
            "wait_timeout": f"{_OPEN}s",
            "on_wait_timeout": "CONTINUE",
            "disposition": "EXTERNAL_LINKS",
            "format": "ARROW_STREAM",
        }
        answer = self._finished(self._do("POST", _STATEMENTS, body))
        parts, chunk = [], answer.get("result") or {}
        while links := chunk.get("external_links"):
            parts += [_read(self._fetch(link["external_link"])) for link in links]
            following = links[-1].get("next_chunk_internal_link")
            chunk = self._do("GET", following) if following else {}
        return pa.concat_tables(parts) if parts else _empty(answer)

    @contextmanager
    def staged(self, rows: pa.Table) -> Iterator[str]:
        place = f"{self.staging}/{uuid.uuid4().hex}.parquet"
        file = io.BytesIO()
        pq.write_table(rows, file, compression="zstd")
        file.seek(0)
        self._upload(place, file)
        try:
            # The schema is said: a file of nulls alone would tell another one.
            told = ", ".join(sql.column(field.remove_metadata()) for field in rows.schema)
            yield (
                f"(SELECT {sql.casts(rows.schema)} FROM read_files({sql.literal(place)}, format => 'parquet', "
                f"schema => {sql.literal(told)}, schemaEvolutionMode => 'none'))"
            )
        finally:
            self._drop(place)

    def _upload(self, place: str, file: io.BytesIO) -> None:
        from databricks.sdk.errors import DatabricksError

        try:
            self.client.files.upload(place, file, overwrite=True)
        except DatabricksError as error:
            raise UserError(f"{place}: rows cannot be staged ({str(error).splitlines()[0]})") from None

    def _drop(self, place: str) -> None:
        """Drop a staged file; one that stays behind is no reason to call a finished write failed."""
        from databricks.sdk.errors import DatabricksError

        try:
            self.client.files.delete(place)
        except DatabricksError as error:
            log.warning("%s stayed behind: %s", place, str(error).splitlines()[0])

    def _finished(self, answer: dict[str, Any]) -> dict[str, Any]:
        deadline, wait = time.monotonic() + self.seconds, 0.2
        while (state := answer["status"]["state"]) in ("PENDING", "RUNNING"):
            if time.monotonic() > deadline:
                self._do("POST", f"{_STATEMENTS}/{answer['statement_id']}/cancel")
                raise UserError(
                    f"warehouse {self.warehouse_id}: a statement took longer than {self.seconds:.0f} s; cancelled"
                )
            time.sleep(wait)
            wait = min(5.0, wait * 1.5)
            answer = self._do("GET", f"{_STATEMENTS}/{answer['statement_id']}")
        if state != "SUCCEEDED":
            error = answer["status"].get("error") or {}
            _refused(f"{error.get('message') or state}", f"warehouse {self.warehouse_id}")
        return answer

    def _do(self, method: str, path: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
        from databricks.sdk.errors import DatabricksError

        try:
            # By the bare call: the oldest SDK of the supported runtimes does not know every field.
            return dict(self.client.api_client.do(method, path, body=body))  # type: ignore[arg-type]
        except DatabricksError as error:
            raise UserError(f"warehouse {self.warehouse_id}: {str(error).splitlines()[0]}") from None

    def _fetch(self, link: str) -> bytes:
        """A chunk behind a signed link, which must not see our token and must not be told to anyone."""
        import requests

        try:
            answer = requests.get(link, timeout=(10, 300))
        except requests.RequestException as error:
            raise UserError(
                f"warehouse {self.warehouse_id}: a chunk of the result could not be fetched ({type(error).__name__})"
            ) from None
        if answer.status_code != 200:
            raise UserError(f"warehouse {self.warehouse_id}: a chunk of the result was refused ({answer.status_code})")
        return answer.content


def _empty(answer: dict[str, Any]) -> pa.Table:
    """A result without rows, in the types that its manifest tells; a type that no table of ours has comes as text."""
    columns = answer.get("manifest", {}).get("schema", {}).get("columns", [])
    return pa.table({column["name"]: pa.array([], sql.arrow_type(column["type_text"])) for column in columns})


def _read(data: bytes) -> pa.Table:
    with pa.ipc.open_stream(data) as stream:
        return stream.read_all()
