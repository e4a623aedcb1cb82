"""The serving client against a real HTTP server of this machine."""

from __future__ import annotations

import json
import logging
import sys
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from em_core.errors import UserError
from em_core.retrieval.encoders import check_encoder, make_encoder
from em_core.retrieval.endpoint import EndpointEncoder

pytest.importorskip("requests")
TOKEN = "dapi-very-secret"
CALL = "/serving-endpoints/names/invocations"


def vector(text: str) -> list[float]:
    """What the server makes of a text: not of unit length."""
    return [float(len(text)), float(text.count("a")), 3.0]


class Served:
    """A serving API: what it says of the endpoint, how it answers, and what it was asked."""

    def __init__(self) -> None:
        self.task = "llm/v1/embeddings"
        self.version = "1"
        self.failures: list[int] = []  # status of the next answers
        self.answer: Callable[[list[str]], Any] = self.embeddings
        self.asked: list[tuple[str, str, Any, str | None]] = []

    @staticmethod
    def embeddings(texts: list[str]) -> Any:
        rows = [{"index": i, "embedding": vector(text)} for i, text in enumerate(texts)]
        return {"data": rows[::-1]}

    def describe(self) -> Any:
        entity = {"entity_name": "main.models.names", "entity_version": self.version}
        return {"name": "names", "task": self.task, "config": {"served_entities": [entity]}}


@pytest.fixture
def served(monkeypatch: pytest.MonkeyPatch) -> Iterator[Served]:
    state = Served()

    class Handler(BaseHTTPRequestHandler):
        def reply(self, body: Any, answer: Callable[[], Any]) -> None:
            state.asked.append((self.command, self.path, body, self.headers["Authorization"]))
            status = state.failures.pop(0) if state.failures else 200
            said = answer() if status == 200 else {"message": "not now\nplease"}
            content = said.encode() if isinstance(said, str) else json.dumps(said).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def do_GET(self) -> None:
            self.reply(None, state.describe)

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            self.reply(body, lambda: state.answer(next(iter(body.values()))))

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    for name in (
        "DATABRICKS_CONFIG_PROFILE",
        "DATABRICKS_CLIENT_ID",
        "DATABRICKS_CLIENT_SECRET",
        "HTTP_PROXY",
        "http_proxy",
    ):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setenv("DATABRICKS_HOST", f"http://127.0.0.1:{server.server_port}")
    monkeypatch.setenv("DATABRICKS_TOKEN", TOKEN)
    yield state
    server.shutdown()
    server.server_close()


def encoder(**given: Any) -> EndpointEncoder:
    return EndpointEncoder("names", patience=0.0, **given)


def test_vectors_come_in_batches_in_order_and_of_unit_length(served: Served) -> None:
    texts = ["banana", "", "acme", "banana", "zeta"]
    rows = encoder(batch=2).encode(texts)
    wanted = np.array([vector(text or " ") for text in texts])
    np.testing.assert_allclose(rows, wanted / np.linalg.norm(wanted, axis=1, keepdims=True), rtol=1e-6)
    assert rows.dtype == np.float32 and (rows[0] == rows[3]).all()
    posts = [(path, body) for method, path, body, _ in served.asked if method == "POST"]
    assert posts == [(CALL, {"input": [" ", "acme"]}), (CALL, {"input": ["banana", "zeta"]})]
    assert {key for *_, key in served.asked} == {f"Bearer {TOKEN}"}


def test_a_model_of_another_task_is_asked_as_mlflow_serves_it(served: Served) -> None:
    served.task = ""
    served.answer = lambda texts: {"predictions": [vector(text) for text in texts]}
    assert encoder().encode(["acme"]).shape == (1, 3)
    assert served.asked[-1][2] == {"inputs": ["acme"]}


def test_a_busy_endpoint_is_asked_again(served: Served) -> None:
    served.failures = [503, 429, 200, 504]
    assert encoder().encode(["acme"]).shape == (1, 3)
    assert [method for method, *_ in served.asked] == ["GET"] * 3 + ["POST"] * 2


def test_patience_ends_with_one_sentence_and_no_secret(served: Served, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    served.failures = [503] * 10
    with pytest.raises(UserError, match=r"databricks:names: the endpoint answered 503 .*: not now please$") as error:
        encoder(attempts=3).encode(["acme"])
    assert len(served.asked) == 3
    assert TOKEN not in str(error.value) + caplog.text


def test_a_refusal_is_not_repeated(served: Served) -> None:
    served.failures = [403]
    with pytest.raises(UserError, match="403"):
        encoder().encode(["acme"])
    assert len(served.asked) == 1


@pytest.mark.parametrize(
    "answer",
    ["no json", [], {"data": []}, {"predictions": [["a"]]}, {"predictions": [[1], [2, 3]]}, {"predictions": [None]}],
)
def test_an_answer_that_is_no_vectors_is_refused(served: Served, answer: Any) -> None:
    served.answer = lambda _: answer
    with pytest.raises(UserError, match="the endpoint did not answer"):
        encoder().encode(["acme"])


def test_nobody_there(monkeypatch: pytest.MonkeyPatch, served: Served) -> None:
    monkeypatch.setenv("DATABRICKS_HOST", "http://127.0.0.1:1")
    with pytest.raises(UserError, match=r"cannot be reached at http://127\.0\.0\.1:1 "):
        encoder(attempts=2).encode(["acme"])


def test_the_fingerprint_follows_what_is_served(served: Served) -> None:
    first = encoder().fingerprint
    assert encoder().fingerprint == first
    served.version = "2"
    with pytest.raises(UserError, match="built with"):
        check_encoder(make_encoder("databricks:names", []), "databricks:names", first)


@pytest.mark.parametrize("host", ["http://example.com", "ftp://example.com", "https://"])
def test_a_token_goes_over_https_only(monkeypatch: pytest.MonkeyPatch, served: Served, host: str) -> None:
    monkeypatch.setenv("DATABRICKS_HOST", host)
    with pytest.raises(UserError, match="https"):
        encoder().encode(["acme"])
    assert not served.asked


def test_without_credentials_it_says_so(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("DATABRICKS_HOST", "DATABRICKS_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("DATABRICKS_CONFIG_FILE", str(tmp_path / "none"))
    with pytest.raises(UserError, match="no Databricks credentials") as error:
        encoder().encode(["acme"])
    assert "\n" not in str(error.value)


def test_without_the_sdk_the_environment_says_who_asks(
    monkeypatch: pytest.MonkeyPatch, served: Served, tmp_path: Path
) -> None:
    monkeypatch.setitem(sys.modules, "databricks.sdk.core", None)
    (tmp_path / "netrc").write_text("machine 127.0.0.1 login somebody password else\n")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    assert encoder().encode(["acme"]).shape == (1, 3)
    assert {key for *_, key in served.asked} == {f"Bearer {TOKEN}"}
    monkeypatch.delenv("DATABRICKS_TOKEN")
    with pytest.raises(UserError, match="set DATABRICKS_HOST and DATABRICKS_TOKEN"):
        encoder().encode(["acme"])
