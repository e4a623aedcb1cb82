"""Name vectors from a Databricks model-serving endpoint, over HTTPS.

Asks the two calls of the serving API (docs.databricks.com/api/workspace/servingendpoints): the endpoint's description, which says
what it serves and in which version, and `invocations`.
"""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any, NoReturn
from urllib.parse import quote, urlsplit

import numpy as np
from tqdm import tqdm

from em_core.errors import UserError
from em_core.text.rarity import Texts

if TYPE_CHECKING:
    import requests

# What a busy, starting or restarting endpoint answers; anything else would answer the same again.
_PASSING = (429, 500, 502, 503, 504)
_EMBEDDINGS = "llm/v1/embeddings"
_DESCRIPTION, _INVOCATIONS = "/api/2.0/serving-endpoints/{}", "/serving-endpoints/{}/invocations"
_SECONDS = (10, 300)  # to connect, to answer


@dataclass
class EndpointEncoder:
    """Vectors of the endpoint `endpoint`, L2-normalised here.

    Host and credentials are those of the Databricks SDK (environment, profile, notebook) where it is installed, else
    `DATABRICKS_HOST` and `DATABRICKS_TOKEN`. Endpoints of the task `llm/v1/embeddings` are asked as such, others as MLflow
    models that take texts (`inputs`) and give `predictions`. `patience` is the factor of the pauses between attempts in
    seconds: 0, 2, 4, 8 ... times it, or what the endpoint asks for.
    """

    endpoint: str
    batch: int = 128
    attempts: int = 8
    patience: float = 1.0
    _session: requests.Session | None = field(default=None, repr=False)
    _config: Any = field(default=None, repr=False)

    @cached_property
    def fingerprint(self) -> str:
        """Digest of the endpoint's name and of what it serves, with versions; 16 hexadecimal digits. Asks the endpoint."""
        served = self._description.get("config", {}).get("served_entities") or []
        what = sorted(json.dumps(_served(entity)) for entity in served)
        return hashlib.sha256(json.dumps([self.endpoint, what]).encode()).hexdigest()[:16]

    def encode(self, texts: Texts, progress: bool = False) -> np.ndarray:
        """(n, d) float32 unit rows; equal texts give equal rows.

        Raises `UserError` if the endpoint cannot be reached, refuses, or answers with something other than one vector a text.
        """
        distinct, spread = np.unique(np.asarray(texts, dtype=object).astype(str), return_inverse=True)
        if not len(distinct):
            return np.zeros((0, 0), dtype=np.float32)
        embeddings = self._description.get("task") == _EMBEDDINGS
        # A hosted model refuses an empty text; a blank stands for it.
        wanted = [str(text) or " " for text in distinct]
        parts = []
        with tqdm(total=len(wanted), desc="embedding names", unit="name", disable=not progress) as bar:
            for start in range(0, len(wanted), self.batch):
                part = wanted[start : start + self.batch]
                answer = self._ask("POST", _INVOCATIONS, {"input" if embeddings else "inputs": part})
                parts.append(self._vectors(answer, len(part)))
                bar.update(len(part))
        widths = {part.shape[1] for part in parts}
        if len(widths) != 1:
            self._fail(f"gave vectors of {' and '.join(map(str, sorted(widths)))} numbers")
        vectors = np.concatenate(parts)
        length = np.linalg.norm(vectors, axis=1, keepdims=True)
        return (vectors / np.where(length > 0, length, 1)).astype(np.float32)[spread]

    @cached_property
    def _description(self) -> dict[str, Any]:
        answer = self._ask("GET", _DESCRIPTION, None)
        if not isinstance(answer, dict):
            self._fail("described itself in an unknown form")
        return answer

    def _vectors(self, answer: Any, count: int) -> np.ndarray:
        """(count, d) float64 rows out of an answer of either kind."""
        rows: Any = None
        if isinstance(answer, dict) and isinstance(answer.get("data"), list):
            items = [item for item in answer["data"] if isinstance(item, dict)]
            rows = [item.get("embedding") for item in sorted(items, key=lambda item: item.get("index") or 0)]
        elif isinstance(answer, dict):
            rows = answer.get("predictions")
        try:
            vectors = np.array(rows, dtype=np.float64)
        except (TypeError, ValueError):
            vectors = np.zeros(0)
        if vectors.ndim != 2 or len(vectors) != count or not np.isfinite(vectors).all():
            self._fail(f"did not answer {count} texts with as many vectors")
        return vectors

    def _ask(self, method: str, path: str, body: dict[str, Any] | None) -> Any:
        try:
            import requests
        except ImportError:
            raise UserError(
                f"encoder databricks:{self.endpoint}: install the extra entity-matching[databricks]"
            ) from None
        if self._session is None:
            self._session = self._open()
        host, headers = self._credentials()

        def signed(request: requests.PreparedRequest) -> requests.PreparedRequest:
            request.headers.update(headers)
            return request

        try:
            # Signed by `auth`: a header alone would give way to a password in ~/.netrc.
            answer = self._session.request(
                method, host + path.format(quote(self.endpoint, safe="")),
                json=body, auth=signed, timeout=_SECONDS, allow_redirects=False,
            )  # fmt: skip
        except requests.RequestException as error:
            # The error's text may hold the URL but never a header.
            self._fail(f"cannot be reached at {host} ({type(error).__name__})")
        if answer.status_code != 200:
            self._fail(f"answered {answer.status_code} {answer.reason}{_message(answer)}")
        try:
            return answer.json()
        except requests.JSONDecodeError:
            self._fail("did not answer in JSON")

    def _open(self) -> requests.Session:
        import requests
        from urllib3.util import Retry

        retry = Retry(
            total=self.attempts - 1,
            backoff_factor=self.patience,
            status_forcelist=_PASSING,
            allowed_methods=None,  # asking for vectors twice changes nothing
            raise_on_status=False,
        )
        session = requests.Session()
        for scheme in ("https://", "http://"):
            session.mount(scheme, requests.adapters.HTTPAdapter(max_retries=retry))
        return session

    def _credentials(self) -> tuple[str, dict[str, str]]:
        """Host and headers, asked for at each call because tokens expire; the SDK renews them."""
        try:
            from databricks.sdk.core import Config
        except ImportError:
            host, token = os.environ.get("DATABRICKS_HOST"), os.environ.get("DATABRICKS_TOKEN")
            if not host or not token:
                raise UserError("no Databricks credentials: set DATABRICKS_HOST and DATABRICKS_TOKEN") from None
            return _safe(host), {"Authorization": f"Bearer {token}"}
        try:
            self._config = self._config or Config()
            return _safe(self._config.host or ""), self._config.authenticate()
        except ValueError as error:
            if isinstance(error, UserError):
                raise
            # The first sentence; the rest lists the configuration.
            raise UserError(f"no Databricks credentials: {str(error).split('. ')[0].splitlines()[0]}") from None

    def _fail(self, what: str) -> NoReturn:
        raise UserError(f"encoder databricks:{self.endpoint}: the endpoint {what}") from None


def _served(entity: dict[str, Any]) -> list[str | None]:
    """Name and version of one served model, wherever the API keeps them; nothing of its configuration."""
    hosted = entity.get("external_model") or entity.get("foundation_model") or {}
    return [entity.get("entity_name"), entity.get("entity_version"), hosted.get("name")]


def _safe(host: str) -> str:
    """The host with its scheme; a token goes over HTTPS or to this machine only."""
    url = urlsplit(host if "://" in host else f"https://{host}")
    if not url.hostname or (url.scheme != "https" and url.hostname not in ("localhost", "127.0.0.1")):
        raise UserError("DATABRICKS_HOST must be an https address, such as https://adb-123.4.azuredatabricks.net")
    return f"{url.scheme}://{url.netloc.rpartition('@')[2]}"


def _message(answer: requests.Response) -> str:
    """The endpoint's own words on one line, if it says any in JSON."""
    try:
        said = answer.json()
    except ValueError:
        return ""
    said = said.get("message") if isinstance(said, dict) else None
    return f": {' '.join(said.split())[:200]}" if isinstance(said, str) and said else ""
