"""The phases of the bundle one after another by their entry points: on Delta folders here, and on a catalog behind a SQL warehouse."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import mlflow
import pandas as pd
import pytest

from em_core.deploy import MATCHER_MODEL
from em_core.errors import UserError
from em_core.schema import RESULT
from em_core.steps import feeds, fit, index, load, pairs, promote, publish, setup
from em_core.storage import ModelRegistry, TableStore
from em_core.storage.names import (
    COST_TABLE,
    DECISION_TABLE,
    EVALUATION_TABLE,
    POLICY_TABLE,
    QUARANTINE_TABLE,
    RESULT_TABLE,
)
from em_core.storage.places import open_store
from tests.workspace.server import Workspace, serve

SETTINGS = """
pairs: {queries: 600, ditto_pairs: 100}
retrieval: {encoder: null}
ditto: {enabled: false}
scorer: {pair_iterations: 40, list_iterations: 40}
"""


@pytest.fixture
def home(tmp_path: Path, reference: pd.DataFrame) -> Path:
    """A volume with a master, a good feed, a broken one and prices."""
    (tmp_path / "landing").mkdir()
    master = reference.head(900)
    master.drop(columns="aliases").to_csv(tmp_path / "reference.csv", index=False)
    feed = pd.DataFrame(
        {
            "id": [f"C{i}" for i in range(80)],
            "company": master["name"].str.upper().head(80),
            "country": master["country"].head(80),
        }
    )
    feed.to_csv(tmp_path / "landing" / "crm.csv", index=False)
    (tmp_path / "landing" / "broken.csv").write_text("id,job\n1,x\n")
    (tmp_path / "settings.yaml").write_text(SETTINGS)
    (tmp_path / "prices.yaml").write_text("em_match_feeds: {compute: a small node, per_hour: 3.6}\n")
    return tmp_path


@pytest.fixture(params=[pytest.param("delta", marks=pytest.mark.slow), "unity"])
def tables(request: pytest.FixtureRequest, home: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """`--tables`: a folder, or the catalog `main` behind the stand-in's warehouse."""
    if request.param == "delta":
        yield str(home / "tables")
        return
    pytest.importorskip("databricks.sdk")
    space = Workspace(Path("python"), home / "volumes")
    server = serve(space)
    for name in ("DATABRICKS_CONFIG_PROFILE", "DATABRICKS_CLIENT_ID", "DATABRICKS_CLIENT_SECRET"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("DATABRICKS_HOST", f"http://127.0.0.1:{server.server_port}")
    monkeypatch.setenv("DATABRICKS_TOKEN", space.token)
    monkeypatch.setenv("EM_WAREHOUSE", "warehouse")
    monkeypatch.setenv("EM_STAGING", "/Volumes/main/matching/staging")
    assert setup.main(["--catalog", "main", "--reader", "", "--writer", "matchers"]) == 0
    yield "catalog:main"
    server.shutdown()


@pytest.fixture
def run(tables: str, capsys: pytest.CaptureFixture[str]) -> Callable[..., dict[str, Any]]:
    """`run(main, run_id, *arguments)`: what the step printed."""

    def step(main: Callable[[list[str]], int], run_id: str, *arguments: object) -> dict[str, Any]:
        capsys.readouterr()
        assert main(["--tables", tables, "--run-id", run_id, *map(str, arguments)]) == 0
        return json.loads(capsys.readouterr().out.splitlines()[-1])

    return step


def test_from_files_to_published_results(run: Callable[..., dict[str, Any]], tables: str, home: Path) -> None:
    store: TableStore = open_store(tables)
    models, config = home / "models", ("--config", home / "settings.yaml")
    registry = ("--tracking-uri", f"sqlite:///{home / 'mlflow' / 'mlflow.db'}")
    # Phase 1
    loaded = run(load.load_reference, "r1", "--reference", home / "reference.csv", "--mapping", "")
    assert loaded["entities"] == loaded["came"] == 900 and loaded["gone"] == 0
    with pytest.raises(SystemExit) as stop:
        run(load.land_feeds, "r0", "--landing", home / "landing", "--feed", "../reference.csv")
    assert stop.value.code == 2 and (home / "reference.csv").is_file(), "only files of the folder are feeds"
    landed = run(load.land_feeds, "r1", "--landing", home / "landing")
    assert landed["records"] == 80 and list(landed["broken"]) == ["broken.csv"]
    assert (home / "landing" / "quarantine" / "broken.csv").is_file(), "a broken file does not come back each night"
    (told,) = store.read(QUARANTINE_TABLE).to_dict("records")
    assert (told["source_file"], told["run_id"]) == ("broken.csv", "r1")
    assert told["reason"] == landed["broken"]["broken.csv"]
    assert told["place"] == landed["quarantined"]["broken.csv"]
    assert run(index.main, "r1", "--output-path", models / "index", *config)["entities"] == 900
    # Phase 2, without the transformer
    made = run(
        pairs.main, "r2", "--index", models / "index", "--output-path", home / "pairs.parquet", "--labels", "", *config
    )
    assert len(pd.read_parquet(home / "pairs.parquet")) == made["pairs"] > 0
    assert len(store.read(EVALUATION_TABLE)) == made["evaluation_records"]
    # Phase 2b
    fitted = run(fit.main, "r2", "--index", models / "index", "--output-path", models / "matcher", *config, *registry)
    decided = run(promote.main, "r2", "--index", models / "index", "--output-path", models / "champion", *registry)
    assert decided["matcher_version"] == fitted["matcher_version"] and "first matcher" in decided["verdict"]
    # Phase 4
    matched = run(feeds.main, "r3", "--matcher", models / "champion", "--all-feeds", "--prices", home / "prices.yaml")
    assert matched["records"] == 80 and matched["auto_match"] > 40
    published = run(publish.main, "r3", "--all-feeds")
    assert published["records"] == 80 and sum(published["flips"].values()) == 80
    results = store.read(RESULT_TABLE)
    assert len(results) == 80 and set(results["matcher_version"]) == {fitted["matcher_version"]}
    assert store.read(POLICY_TABLE)["matcher_version"].tolist() == [fitted["matcher_version"]]
    # Again: nothing changes but the bill.
    again = run(feeds.main, "r4", "--matcher", models / "champion", "--all-feeds")
    assert again["reused"] == 80 and again["rows_changed"] == 0
    assert run(publish.main, "r4", "--all-feeds")["rows_changed"] == 0
    costs = store.read(COST_TABLE).set_index(["run_id", "step"])
    assert len(costs) == 10 and (costs["seconds"] > 0).all()
    priced = costs.loc[("r3", "em_match_feeds")]
    assert priced["amount"] == pytest.approx(priced["seconds"] * 3.6 / 3600, abs=1e-5) and priced["records"] == 80
    assert costs["amount"].notna().sum() == 1, "what has no price has no amount"
    # The model that is registered is the one that MLflow serves.
    served = ModelRegistry(registry[1], "entity_matching").download(MATCHER_MODEL, "champion", home / "served")
    assert served.fingerprint == fitted["matcher_version"]
    answer = mlflow.pyfunc.load_model(str(home / "served")).predict(
        pd.DataFrame({"name": [results["matched_name"].dropna().iloc[0]]})
    )
    assert list(answer.columns) == list(RESULT.columns) and answer["matcher_version"].tolist() == [
        fitted["matcher_version"]
    ]
    # A decision that its own policy contradicts stops them all.
    wrong = store.read(DECISION_TABLE).head(1).assign(stage="scorer", decision="auto_match", confidence=0.01)
    store.upsert(DECISION_TABLE, wrong, key=RESULT.key)
    with pytest.raises(SystemExit) as stop:
        run(publish.main, "r5", "--all-feeds")
    assert stop.value.code == 2


def test_a_store_is_named_by_one_text(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EM_WAREHOUSE", "abc")
    monkeypatch.delenv("EM_STAGING", raising=False)
    with pytest.raises(UserError, match="EM_STAGING must name a folder of a volume"):
        open_store("catalog:main")
    monkeypatch.setenv("EM_STAGING", "/tmp/here")
    with pytest.raises(UserError, match="must be a folder of a volume"):
        open_store("catalog:main")
