"""The entry points of heavy steps: what they write, what they print, how they refuse."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

from em_core import feeds
from em_core.retrieval.index import CandidateIndex
from em_core.schema import REFERENCE
from em_core.settings import FitSettings
from em_core.steps import feeds as feeds_step
from em_core.steps import index as index_step
from em_core.steps.fit import _training_cost
from em_core.storage import DeltaStore
from em_core.storage.names import DECISION_TABLE, REFERENCE_TABLE

SETTINGS = "retrieval: {encoder: null}\n"


@pytest.fixture
def store(tmp_path: Path, reference: pd.DataFrame) -> DeltaStore:
    store = DeltaStore(tmp_path / "tables")
    store.upsert(REFERENCE_TABLE, reference, key=REFERENCE.key)
    (tmp_path / "settings.yaml").write_text(SETTINGS)
    return store


def build(store: DeltaStore, folder: Path, capsys: pytest.CaptureFixture[str], *more: str) -> dict[str, object]:
    settings = str(store.root.parent / "settings.yaml")
    arguments = ["--tables", str(store.root), "--output-path", str(folder), "--config", settings, *more]
    assert index_step.main(arguments) == 0
    return json.loads(capsys.readouterr().out.splitlines()[-1])


def test_an_index_follows_its_reference(
    store: DeltaStore, tmp_path: Path, reference: pd.DataFrame, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "index"
    first = build(store, folder, capsys)
    assert first["how"] == "built anew" and first["entities"] == len(reference)
    changed = reference.iloc[:-5].copy()
    changed.loc[0, "city"] = "Elsewhere"
    extra = reference.iloc[-5:].assign(entity_id=lambda f: "new" + f["entity_id"])
    store.replace(REFERENCE_TABLE, pd.concat([changed, extra], ignore_index=True), key=REFERENCE.key)
    second = build(store, folder, capsys)
    assert second["how"] == "changed" and second["data_version"] != first["data_version"]
    index = CandidateIndex.load(folder)
    assert set(index.reference["entity_id"]) == set(changed["entity_id"]) | set(extra["entity_id"])
    assert index.version == build(store, folder, capsys, "--anew")["data_version"]
    # Too much change, or other settings: from nothing.
    store.replace(REFERENCE_TABLE, reference.iloc[:1000], key=REFERENCE.key)
    assert build(store, folder, capsys)["how"] == "built anew"
    (tmp_path / "settings.yaml").write_text("retrieval: {encoder: null, candidates: 7}\n")
    assert build(store, folder, capsys)["how"] == "built anew"
    assert CandidateIndex.load(folder).settings == FitSettings().retrieval.model_copy(
        update={"encoder": None, "candidates": 7}
    )


def test_feeds_are_matched_and_reused(
    store: DeltaStore, matcher_folder: Path, reference: pd.DataFrame, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    landing = tmp_path / "landing"
    landing.mkdir()
    rows = reference.iloc[:20].rename(columns={"entity_id": "id"})[["id", "name", "country"]]
    rows.to_csv(landing / "crm.csv", index=False)
    feeds.land_feeds(store, landing, ["crm.csv"])
    (tmp_path / "feeds.txt").write_text("crm.csv\n")
    arguments = [
        "--tables",
        str(store.root),
        "--matcher",
        str(matcher_folder),
        "--feeds-file",
        str(tmp_path / "feeds.txt"),
    ]
    assert feeds_step.main([*arguments, "--run-id", "one"]) == 0
    first = json.loads(capsys.readouterr().out)
    assert first["records"] == first["rematched"] == 20 and first["why_matched"] == {"new": 20}
    assert set(store.read(DECISION_TABLE)["run_id"]) == {"one"}
    assert feeds_step.main(arguments) == 0
    second = json.loads(capsys.readouterr().out)
    assert second["reused"] == 20 and second["rows_changed"] == 0 and second["data_version"] == first["data_version"]
    assert feeds_step.main([*arguments, "--full"]) == 0
    assert json.loads(capsys.readouterr().out)["rematched"] == 20


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--matcher", "nowhere", "--feed", "crm.csv"], "nowhere: not a complete folder"),
        (["--matcher", "nowhere"], "no feed is named"),
        (["--matcher", "nowhere", "--feeds-file", "absent.txt"], "absent.txt: cannot be read"),
    ],
)
def test_bad_input_is_one_line_and_code_2(
    arguments: list[str], words: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as stop:
        feeds_step.main(["--tables", str(tmp_path), *arguments])
    assert stop.value.code == 2
    (line,) = capsys.readouterr().err.strip().splitlines()
    assert words in line


def test_an_index_with_vectors(
    store: DeltaStore, tmp_path: Path, reference: pd.DataFrame, tiny_base: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "settings.yaml").write_text(f"retrieval: {{encoder: 'static:{tiny_base}'}}\n")
    store.replace(REFERENCE_TABLE, reference.head(200), key=REFERENCE.key)
    told = build(store, tmp_path / "index", capsys)
    vector = CandidateIndex.load(tmp_path / "index").vector
    assert vector is not None and len(vector) == told["names"] and told["encoder"] == f"static:{tiny_base}"


def test_a_training_is_billed_once_for_each_model(trained_folder: Path) -> None:
    cost = _training_cost(trained_folder)
    assert cost == _training_cost(trained_folder) and cost.step == "train_ditto" and cost.run_id.startswith("model ")
    metrics = json.loads((trained_folder / "metrics.json").read_text())
    assert cost.seconds == metrics["seconds"] > 0 and cost.records == metrics["train"]["pairs"]


def test_help_loads_nothing_heavy() -> None:
    code = (
        "import sys\nfrom importlib.metadata import distribution\n"
        "for entry in distribution('entity-matching').entry_points:\n"
        "  if entry.name != 'em':\n"
        "    try: entry.load()(['--help'])\n"
        "    except SystemExit as stop: assert stop.code == 0, entry\n"
        "assert not {'torch', 'pandas', 'faiss', 'dagster', 'pyspark', 'mlflow'} & set(sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True, timeout=60)
    assert "--output-path" in done.stdout and "--full" in done.stdout
