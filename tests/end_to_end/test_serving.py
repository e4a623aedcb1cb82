"""The whole matcher as one MLflow model: loaded, served over HTTP, asked by many at once, refusing what is no payload."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import mlflow
import pandas as pd
import pytest

from em_core.errors import UserError
from em_core.matcher import Matcher
from em_core.schema import RESULT, SOURCE, prepare_source
from em_core.serving.log import log_matcher, requirements
from em_core.serving.payload import MOST_RECORDS, records

WHO_AND_WHEN = ("run_id", "matched_at")


@pytest.fixture(scope="module")
def uri(tmp_path_factory: pytest.TempPathFactory, matcher_folder: Path) -> Iterator[str]:
    """The matcher, logged and registered under the alias `champion`."""
    folder = tmp_path_factory.mktemp("mlflow")
    with pytest.MonkeyPatch.context() as patch:
        # Not by `mlflow.set_tracking_uri`: that writes the variable too, for good, and every later training would log there.
        patch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{folder / 'mlflow.db'}")
        experiment = mlflow.create_experiment("serving", artifact_location=(folder / "artifacts").as_uri())
        with mlflow.start_run(experiment_id=experiment):
            log_matcher(matcher_folder, registered_name="matcher")
        mlflow.MlflowClient().set_registered_model_alias("matcher", "champion", "1")
        yield "models:/matcher@champion"


@pytest.fixture(scope="module")
def asked(reference: pd.DataFrame) -> pd.DataFrame:
    """Thirty records as a client has them."""
    rows = reference.sample(30, random_state=4).reset_index(drop=True)
    return pd.DataFrame(
        {
            "source_id": [f"R{i}" for i in range(len(rows))],
            "name": [name.upper().replace("LIMITED", "LTD") for name in rows["name"]],
            "country": rows["country"].astype(object).where(rows.index % 2 == 0, None),
        }
    )


def expected(matcher: Matcher, asked: pd.DataFrame) -> pd.DataFrame:
    return matcher.match(prepare_source(asked, system="online"))


def same(found: pd.DataFrame, wanted: pd.DataFrame) -> None:
    for column in wanted.columns.difference(WHO_AND_WHEN):
        left, right = (
            table[column].astype(object).where(table[column].notna(), None).tolist() for table in (found, wanted)
        )
        assert left == right, column


def test_loaded_by_alias_it_gives_what_the_engine_gives(uri: str, asked: pd.DataFrame, matcher: Matcher) -> None:
    model = mlflow.pyfunc.load_model(uri)
    found = model.predict(asked)
    assert list(found.columns) == list(RESULT.columns)
    same(found, expected(matcher, asked))
    described = model.metadata
    assert described.metadata["matcher_version"] == matcher.version
    names = described.get_input_schema().input_names()
    assert names == list(SOURCE.columns) and described.get_input_schema().required_input_names() == ["name"]
    assert described.get_output_schema().input_names() == list(RESULT.columns)
    pinned = (Path(mlflow.artifacts.download_artifacts(uri)) / "requirements.txt").read_text().splitlines()
    assert any(line.startswith("faiss-cpu==") for line in pinned) and not any("torch" in line for line in pinned)


@pytest.fixture(scope="module")
def server(uri: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """`mlflow models serve`."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    log = tmp_path_factory.mktemp("server") / "log.txt"
    command = [sys.executable, "-m", "mlflow", "models", "serve", "-m", uri, "-h", "127.0.0.1", "-p", str(port),
               "--env-manager", "local"]  # fmt: skip
    env = {**os.environ, "MLFLOW_TRACKING_URI": mlflow.get_tracking_uri(), "MLFLOW_DISABLE_TELEMETRY": "true"}
    path = os.pathsep.join([str(Path(sys.executable).parent), env.get("PATH", "")])
    with log.open("w") as out:
        process = subprocess.Popen(command, env={**env, "PATH": path}, stdout=out, stderr=out, start_new_session=True)
    address = f"http://127.0.0.1:{port}"
    try:
        until = time.monotonic() + 180
        while True:
            assert process.poll() is None and time.monotonic() < until, log.read_text()
            try:
                with urllib.request.urlopen(f"{address}/ping", timeout=5):
                    break
            except OSError:
                time.sleep(0.5)
        yield address
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait(30)


def ask(server: str, payload: object) -> tuple[int, Any]:
    body = payload if isinstance(payload, bytes) else json.dumps(payload).encode()
    request = urllib.request.Request(f"{server}/invocations", body, {"Content-Type": "application/json"})
    try:
        with urllib.request.urlopen(request, timeout=120) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as error:
        return error.code, json.loads(error.read() or b"{}")


def test_every_form_of_payload_is_answered(server: str, asked: pd.DataFrame, matcher: Matcher) -> None:
    plain = asked.astype(object).where(asked.notna(), None)
    forms = [
        {"dataframe_records": plain.to_dict("records")},
        {"dataframe_split": plain.to_dict("split") | {"index": list(range(len(plain)))}},
        {"inputs": plain.to_dict("list")},
    ]
    wanted = expected(matcher, asked)
    for form in forms:
        status, told = ask(server, form)
        assert status == 200, told
        same(pd.DataFrame(told["predictions"]), wanted)


def test_one_name_is_enough(server: str, reference: pd.DataFrame) -> None:
    status, told = ask(server, {"dataframe_records": [{"name": reference["name"].iloc[5]}]})
    (row,) = told["predictions"]
    assert status == 200 and row["source_system"] == "online" and row["source_id"] == "1" and row["reason"]


@pytest.mark.parametrize(
    ("payload", "says"),
    [
        ({"dataframe_records": [{"country": "DE"}]}, "name"),
        ({"dataframe_records": []}, "name"),
        ({"dataframe_records": [{"name": "A", "source_id": "1"}, {"name": "B", "source_id": "1"}]}, "source_id"),
        ({"dataframe_records": [{"name": "A"}, {"name": ["A", "B"]}]}, "name"),
        ({"records": [{"name": "A"}]}, "dataframe_records"),
        (b"{", "JSON"),
        ({"dataframe_records": [{"name": "A"}] * (MOST_RECORDS + 1)}, "5,001 records"),
    ],
)
def test_what_is_no_payload_is_answered_with_400_and_a_sentence(server: str, payload: object, says: str) -> None:
    status, told = ask(server, payload)
    assert status == 400, told
    assert says.lower() in told["message"].lower(), told["message"]


def test_many_may_ask_at_once(server: str, asked: pd.DataFrame, matcher: Matcher) -> None:
    rows = asked.astype(object).where(asked.notna(), None).to_dict("records")
    wanted = expected(matcher, asked).set_index("source_id")["decision"].to_dict()

    def one(number: int) -> None:
        row = rows[number % len(rows)]
        status, told = ask(server, {"dataframe_records": [row]})
        assert status == 200 and told["predictions"][0]["decision"] == wanted[row["source_id"]]

    with ThreadPoolExecutor(200) as pool:
        list(pool.map(one, range(200)))


def test_ids_are_numbered_where_they_are_missing() -> None:
    made = records(pd.DataFrame({"name": ["A", "B"], "source_id": [None, "x"], "unknown": [1, 2]}))
    assert made["source_id"].tolist() == ["1", "x"] and set(made["source_system"]) == {"online"}
    with pytest.raises(UserError, match="no column 'name'"):
        records(pd.DataFrame({"country": ["DE"]}))


def test_a_folder_that_is_no_matcher_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="there is no matcher"):
        requirements(tmp_path)
