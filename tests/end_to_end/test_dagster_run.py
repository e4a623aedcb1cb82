"""From landed files to matched companies through a real Dagster instance, real Delta, FAISS, MLflow and `train_ditto`."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import dagster as dg
import pandas as pd
import pytest

from em_assets.definitions import defs
from em_assets.partitions import source_files
from em_assets.resources import Workspace
from em_core.demo import feeds
from em_core.storage.names import CHANGE_TABLE, REFERENCE_TABLE, RESULT_TABLE

SETTINGS = """
pairs: {queries: 700, ditto_pairs: 400}
retrieval: {encoder: null}
ditto: {epochs: 1, batch_size: 16, layers: null, runtime: torch, base_model: %s}
scorer: {pair_iterations: 40, list_iterations: 40}
"""


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory, tiny_base: Path, gleif: pd.DataFrame) -> Iterator[SimpleNamespace]:
    """A workspace after the jobs `fit`, `match` (a range of two feeds) and `report`."""
    root = tmp_path_factory.mktemp("workspace")
    (root / "settings.yaml").write_text(SETTINGS % tiny_base)
    with pytest.MonkeyPatch.context() as patch, dg.instance_for_test() as instance:
        patch.setattr(feeds, "read_gleif", lambda: gleif)
        made = feeds.write_demo(
            root / "landing", root / "reference" / "reference.parquet", root / "labels" / "truth.csv", 800, 120, 120
        )
        patch.setenv("EM_ROOT", str(root))
        patch.setenv("EM_SETTINGS", str(root / "settings.yaml"))
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        location = defs()
        keys = [path.name for path in made.feeds if path.name != "sec_registrants.csv"]
        instance.add_dynamic_partitions(str(source_files.name), [*keys, "broken.csv"])

        def launch(job: str, key: str | None = None, fails: bool = False, **how: Any) -> dg.ExecuteInProcessResult:
            done = location.resolve_job_def(job).execute_in_process(
                instance=instance, partition_key=key, raise_on_error=not fails, **how
            )
            assert done.success != fails
            return done

        both = {
            "dagster/asset_partition_range_start": keys[0],
            "dagster/asset_partition_range_end": keys[-1],
        }
        results = {"fit": launch("fit"), "match": launch("match", tags=both), "report": launch("report")}
        yield SimpleNamespace(workspace=Workspace(root=str(root)), keys=keys, results=results, launch=launch, root=root)


def metadata(result: dg.ExecuteInProcessResult, asset: str) -> dict[str, object]:
    event = next(e for e in result.get_asset_materialization_events() if e.asset_key == dg.AssetKey(asset))
    return {name: value.value for name, value in event.step_materialization_data.materialization.metadata.items()}


def test_every_record_has_one_decision(ran: SimpleNamespace) -> None:
    results = ran.workspace.tables.read(RESULT_TABLE)
    assert len(results) == 240 and set(results["source_system"]) == {"crm_export", "invoice_feed"}
    assert results["decision"].isin(["auto_match", "review", "no_match"]).all()
    assert {"auto_match", "no_match"} <= set(results["decision"])


def test_the_ui_tells_the_story(ran: SimpleNamespace) -> None:
    reference = metadata(ran.results["fit"], "reference_entities")
    assert reference["dagster/row_count"] == len(ran.workspace.tables.read(REFERENCE_TABLE)) == 800
    assert "| entity_id |" in str(reference["preview"])
    assert metadata(ran.results["fit"], "ditto_model")["valid_average_precision"] > 0
    fitted = metadata(ran.results["fit"], "matcher")
    assert fitted["candidate_recall_@10"] > 0.8 and fitted["promise"]
    assert "| fused |" in str(fitted["candidate_recall"]) and "recall@20" in str(fitted["candidate_recall_by_country"])
    matched = metadata(ran.results["match"], "match_results")
    assert matched["auto_match"] + matched["review"] + matched["no_match"] == matched["dagster/row_count"] == 240
    assert matched["rematched"] == 240 and matched["why_matched"] == {"new": 240} and matched["seconds"]["features"] > 0
    published = metadata(ran.results["match"], "matched_entities")
    assert published["flips"] == published["dagster/row_count"] == 240 and "| new | 240 |" in str(
        published["flips_by_kind"]
    )
    in_use = metadata(ran.results["fit"], "champion_matcher")
    assert in_use["promoted"] and in_use["matcher_version"] == fitted["matcher_version"]
    report = metadata(ran.results["report"], "match_report")
    assert report["seen_in_training"] == 0 and "exact rules alone" in str(report["table: What each stage adds"])
    assert "cost of 1,000" in str(report["table: Thresholds"]) and "| fused |" in str(report["candidate_recall"])
    pictures = [str(value) for name, value in report.items() if name.startswith("chart: ")]
    assert len(pictures) == 6
    for text in pictures:
        data = base64.b64decode(text.partition("data:image/png;base64,")[2].rstrip(")"), validate=True)
        assert data.startswith(b"\x89PNG")
    assert report["records"] == 240 and Path(report["report"]).read_text().startswith("<!DOCTYPE html>")


def test_checks_passed_and_block(ran: SimpleNamespace) -> None:
    for result in ran.results.values():
        for evaluation in result.get_asset_check_evaluations():
            assert evaluation.passed, evaluation
    names = {e.check_name for r in ran.results.values() for e in r.get_asset_check_evaluations()}
    assert names == {
        "reference_keeps_its_contract", "reference_is_fresh", "no_entity_in_two_splits", "candidate_recall_floor",
        "challenger_beats_champion", "source_keeps_its_contract", "every_file_was_read", "every_record_has_one_result",
        "decisions_are_stable", "certified_precision_holds",
    }  # fmt: skip


def test_materializing_twice_changes_nothing(ran: SimpleNamespace) -> None:
    tables = ran.workspace.tables
    names = (RESULT_TABLE, CHANGE_TABLE, REFERENCE_TABLE, "bronze.source_entities", "silver.match_results")
    before = {name: tables.version(name) for name in names}
    again = ran.launch("match", "crm_export.csv")
    assert {name: tables.version(name) for name in before} == before
    assert metadata(again, "match_results")["rows_changed"] == 0 and metadata(again, "match_results")["reused"] == 120


def test_a_broken_file_fails_its_own_partition_only(ran: SimpleNamespace) -> None:
    (ran.root / "landing" / "broken.csv").write_text("id,job\n1,x\n")
    failed = ran.launch("match", "broken.csv", fails=True)
    (error,) = [e for e in failed.all_events if e.event_type == dg.DagsterEventType.STEP_FAILURE]
    assert "no column for 'name'" in str(error.step_failure_data.error)
    assert not (ran.root / "landing" / "broken.csv").exists()
    assert "no column for 'name'" in (ran.root / "landing" / "quarantine" / "broken.csv.reason.txt").read_text()
    assert len(ran.workspace.tables.read(RESULT_TABLE)) == 240


def test_a_leak_fails_the_build(ran: SimpleNamespace) -> None:
    from em_assets.checks import no_entity_in_two_splits
    from em_core.storage.names import PAIR_TABLE

    tables = ran.workspace.tables
    pairs = tables.read(PAIR_TABLE)
    leaked = pairs.head(1).assign(split="valid" if pairs["split"].iloc[0] == "train" else "train")
    tables.replace(PAIR_TABLE, pd.concat([pairs, leaked], ignore_index=True))
    try:
        verdict = no_entity_in_two_splits(ran.workspace)
        assert isinstance(verdict, dg.AssetCheckResult) and not verdict.passed and "leak" in str(verdict.description)
    finally:
        tables.replace(PAIR_TABLE, pairs)


def test_mlflow_knows_the_model(ran: SimpleNamespace) -> None:
    version = ran.workspace.registry.get("entity_matcher", "challenger")
    assert version is not None and version.uri == metadata(ran.results["fit"], "matcher")["mlflow_model"]
    import mlflow

    client = mlflow.MlflowClient(tracking_uri=ran.workspace.tracking_uri)
    runs = client.search_runs([e.experiment_id for e in client.search_experiments()])
    names = {run.info.run_name for run in runs}
    assert {"matcher", "train_ditto", "promotion"} <= names
    assert ran.workspace.registry.get("entity_matcher", "champion").version == version.version
    assert all(str(ran.root) in run.info.artifact_uri for run in runs)
