"""What happens after the first day: broken files, shifts, a changed master, better and worse matchers, going back."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import dagster as dg
import pandas as pd
import pytest

from em_assets.definitions import defs
from em_assets.partitions import source_files
from em_assets.resources import Workspace
from em_assets.sensors import champion_changed
from em_core.demo import feeds
from em_core.deploy import MATCHER_MODEL
from em_core.files import read_table
from em_core.storage.names import CHANGE_TABLE, DECISION_TABLE, RESULT_TABLE
from em_core.storage.registry import CHAMPION

SETTINGS = """
pairs: {queries: 700}
retrieval: {encoder: null}
ditto: {enabled: false}
scorer: {pair_iterations: 40, list_iterations: %d}
"""
CRM, BROKEN, INVOICE = "crm_export.csv", "d_broken.csv", "invoice_feed.csv"
START, END = "dagster/asset_partition_range_start", "dagster/asset_partition_range_end"
QUIET = {"loggers": {"console": {"config": {"log_level": "ERROR"}}}}


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory, gleif: pd.DataFrame) -> Iterator[SimpleNamespace]:
    """A workspace after `fit`, and `match` of one range of three files of which one is broken."""
    root = tmp_path_factory.mktemp("operations")
    landing = root / "landing"
    (root / "settings.yaml").write_text(SETTINGS % 40)
    with pytest.MonkeyPatch.context() as patch, dg.instance_for_test() as instance:
        patch.setattr(feeds, "read_gleif", lambda: gleif)
        feeds.write_demo(
            landing, root / "reference" / "reference.parquet", root / "labels" / "truth.csv", 800, 320, 320
        )
        (landing / BROKEN).write_text("id,job\n1,x\n")
        patch.setenv("EM_ROOT", str(root))
        patch.setenv("EM_SETTINGS", str(root / "settings.yaml"))
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        location = defs()
        instance.add_dynamic_partitions(str(source_files.name), [CRM, BROKEN, INVOICE])

        def launch(
            job: str, *, succeeds: bool = True, config: dict[str, Any] | None = None, **how: Any
        ) -> dg.ExecuteInProcessResult:
            done = location.resolve_job_def(job).execute_in_process(
                {**QUIET, **(config or {})}, instance=instance, raise_on_error=False, **how
            )
            assert done.success == succeeds, [e.event_specific_data for e in done.all_events if e.is_failure]
            return done

        fitted = launch("fit")
        matched = launch("match", tags={START: CRM, END: INVOICE})
        yield SimpleNamespace(
            workspace=Workspace(root=str(root)), root=root, landing=landing, instance=instance, launch=launch,
            fitted=fitted, matched=matched,
        )  # fmt: skip


def metadata(result: dg.ExecuteInProcessResult, asset: str) -> dict[str, Any]:
    event = next(e for e in result.get_asset_materialization_events() if e.asset_key == dg.AssetKey(asset))
    return {name: value.value for name, value in event.step_materialization_data.materialization.metadata.items()}


def checks(result: dg.ExecuteInProcessResult) -> dict[str, dg.AssetCheckEvaluation]:
    return {evaluation.check_name: evaluation for evaluation in result.get_asset_check_evaluations()}


def in_use(ran: SimpleNamespace) -> int:
    found = ran.workspace.registry.get(MATCHER_MODEL, CHAMPION)
    return int(found.version)


def rematch(ran: SimpleNamespace) -> dg.ExecuteInProcessResult:
    """What the sensor asks for, run."""
    found = champion_changed(dg.build_sensor_context(instance=ran.instance, cursor="another"))
    assert isinstance(found, dg.SensorResult)
    (request,) = found.run_requests or []
    return ran.launch("rematch", tags=dict(request.tags))


def test_a_broken_file_does_not_stop_the_others(ran: SimpleNamespace) -> None:
    results = ran.workspace.tables.read(RESULT_TABLE)
    assert results["source_file"].value_counts().to_dict() == {CRM: 320, INVOICE: 320}
    told = metadata(ran.matched, "source_entities")
    assert (
        told["files"] == 2 and "no column for 'name'" in str(told["quarantined"]) and BROKEN in str(told["quarantined"])
    )
    failed = [check for check in checks(ran.matched).values() if not check.passed]
    assert [check.check_name for check in failed] == ["every_file_was_read"] and BROKEN in str(failed[0].description)
    reason = ran.landing / "quarantine" / f"{BROKEN}.reason.txt"
    assert "no column for 'name'" in reason.read_text() and not (ran.landing / BROKEN).exists()
    ran.instance.delete_dynamic_partition(str(source_files.name), BROKEN)


def test_a_changed_master_rematches_what_it_concerns_and_nothing_else(ran: SimpleNamespace) -> None:
    before = ran.workspace.tables.read(RESULT_TABLE)
    invoice = before[(before["source_file"] == INVOICE) & (before["decision"] == "auto_match")]
    gone = str(invoice["matched_entity_id"].iloc[0])
    path = ran.root / "reference" / "reference.parquet"
    master = pd.read_parquet(path)
    master[master["entity_id"] != gone].to_parquet(path)
    refreshed = ran.launch("refresh")
    assert "changed" in str(metadata(refreshed, "vector_index")["how"])
    assert not metadata(refreshed, "champion_matcher")["promoted"]
    done = rematch(ran)
    told = metadata(done, "match_results")
    assert 0 < told["rematched"] < 200 and told["reused"] + told["rematched"] == 640
    after = ran.workspace.tables.read(RESULT_TABLE)
    moved = after.merge(before, on=["source_system", "source_id"], suffixes=("", "_before"))
    flipped = moved[moved["matched_entity_id"].fillna("") != moved["matched_entity_id_before"].fillna("")]
    assert gone not in set(after["matched_entity_id"].dropna()) and gone in set(flipped["matched_entity_id_before"])
    changes = ran.workspace.tables.read(CHANGE_TABLE)
    changes = changes[changes["run_id"] == done.run_id]
    assert set(flipped["source_id"]) <= set(changes["source_id"])
    assert changes["why"].notna().all()
    # Once more: there is nothing left to do.
    assert metadata(rematch(ran), "match_results")["rematched"] == 0


def test_a_shift_is_held_back_until_someone_accepts_it(ran: SimpleNamespace) -> None:
    published = ran.workspace.tables.version(RESULT_TABLE)
    feed = read_table(ran.landing / CRM)
    name = next(column for column in feed.columns if "name" in column.lower())
    feed[name] = [f"{word[::-1]} {i}" for i, word in enumerate(feed[name])]
    feed.drop(columns=[c for c in feed.columns if c.lower() == "lei"]).to_csv(ran.landing / CRM, index=False)
    held = ran.launch("match", partition_key=CRM, succeeds=False)
    verdict = checks(held)["decisions_are_stable"]
    assert not verdict.passed and verdict.blocking and "crm_export" in str(verdict.description)
    made = {event.asset_key.to_user_string() for event in held.get_asset_materialization_events()}
    assert "match_results" in made and "matched_entities" not in made
    assert ran.workspace.tables.version(RESULT_TABLE) == published
    decided = ran.workspace.tables.read(DECISION_TABLE, filter={"source_file": CRM})
    assert (decided["decision"] == "no_match").mean() > 0.5
    wrong = {"ops": {"accept_shift": {"config": {"run_id": "none-such"}}}}
    ran.launch("accept_run", succeeds=False, config=wrong)
    ran.launch("accept_run", config={"ops": {"accept_shift": {"config": {"run_id": held.run_id}}}})
    ran.launch("publish", partition_key=CRM)
    results = ran.workspace.tables.read(RESULT_TABLE, filter={"source_file": CRM})
    assert (results["decision"] == "no_match").mean() > 0.5


def test_a_matcher_that_is_no_better_stays_challenger_and_going_back_is_one_job(ran: SimpleNamespace) -> None:
    (ran.root / "settings.yaml").write_text(SETTINGS % 30)
    first = in_use(ran)
    done = ran.launch("fit", asset_selection=[dg.AssetKey("matcher"), dg.AssetKey("champion_matcher")])
    told, check = metadata(done, "champion_matcher"), checks(done)["challenger_beats_champion"]
    assert not told["promoted"] and told["registered_version"] == first == in_use(ran)
    assert not check.passed and check.severity == dg.AssetCheckSeverity.WARN and check.description == told["verdict"]
    assert told["difference_records"] >= 300, told and told["by_source_system"]
    second = max(found.version for found in ran.workspace.registry.versions(MATCHER_MODEL))
    assert second == first + 1

    # A person may still prefer it; its decisions say that it made them, until someone goes back.
    uri = ran.workspace.tracking_uri
    command = [sys.executable, "-m", "em_core.cli", "registry", "promote", str(second), "--reason", "trial",
               "--tracking-uri", uri]  # fmt: skip
    places = ["--index", ran.workspace.model("vector_index"), "--into", ran.workspace.model("champion")]
    subprocess.run([*command, *map(str, places)], check=True, capture_output=True, timeout=120)
    assert in_use(ran) == second
    ran.launch("rematch", partition_key=INVOICE)
    made_by = ran.workspace.tables.read(RESULT_TABLE, filter={"source_file": INVOICE})["matcher_version"].unique()
    ran.launch("rollback")
    assert in_use(ran) == first
    ran.launch("rematch", partition_key=INVOICE)
    back = ran.workspace.tables.read(RESULT_TABLE, filter={"source_file": INVOICE})["matcher_version"].unique()
    assert len(made_by) == len(back) == 1 and made_by[0] != back[0] == told["matcher_version"]
    # The refused challenger does not come back by itself.
    again = ran.launch("fit", asset_selection=[dg.AssetKey("champion_matcher")])
    assert not metadata(again, "champion_matcher")["promoted"] and in_use(ran) == first


class Server:
    """`dagster dev`: webserver and daemon, asked by GraphQL."""

    def __init__(self, url: str) -> None:
        self.url = url

    def ask(self, query: str, **variables: Any) -> dict[str, Any]:
        body = json.dumps({"query": query, "variables": variables}).encode()
        request = urllib.request.Request(f"{self.url}/graphql", body, {"Content-Type": "application/json"})
        with urllib.request.urlopen(request, timeout=60) as answer:
            told = json.load(answer)
        assert "errors" not in told, told
        found: dict[str, Any] = told["data"]
        return found

    def status(self, run_id: str) -> str:
        query = "query($id: ID!) {runOrError(runId: $id) {... on Run {status}}}"
        return str(self.ask(query, id=run_id)["runOrError"]["status"])


def wait_for(what: Callable[[], object], seconds: float = 240) -> None:
    until = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < until, "it did not come about in time"
        time.sleep(1)


@pytest.fixture
def server(ran: SimpleNamespace, tmp_path: Path) -> Iterator[Server]:
    """The webserver and the daemon as `make ui` starts them, sensors on, with a Dagster home of their own."""
    shutil.copy(Path(__file__).parents[2] / "dagster.yaml", tmp_path)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    log = tmp_path / "server.log"
    command = [
        Path(sys.executable).with_name("dagster"),
        "dev",
        "-m",
        "em_assets.definitions",
        "-h",
        "127.0.0.1",
        "-p",
        port,
    ]
    env = {**os.environ, "DAGSTER_HOME": str(tmp_path), "EM_AUTOMATION": "on", "EM_LOOK_SECONDS": "5"}
    with log.open("w") as out:
        process = subprocess.Popen(
            [*map(str, command)], env=env, cwd=tmp_path, stdout=out, stderr=out, start_new_session=True
        )
    found = Server(f"http://127.0.0.1:{port}")

    def up() -> bool:
        assert process.poll() is None, log.read_text()
        try:
            return bool(found.ask("{version}"))
        except OSError:
            return False

    try:
        wait_for(up)
        yield found
    finally:
        os.killpg(process.pid, signal.SIGINT)
        try:
            process.wait(60)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)


LAUNCH = """mutation($of: ExecutionParams!) {launchRun(executionParams: $of) {
    __typename ... on LaunchRunSuccess {run {runId}} ... on PythonError {message}}}"""
BACKFILL = """mutation($of: LaunchBackfillParams!) {launchPartitionBackfill(backfillParams: $of) {
    __typename ... on LaunchBackfillSuccess {backfillId} ... on PythonError {message}}}"""


@pytest.mark.slow
def test_the_server_matches_what_lands_and_does_what_it_is_told(ran: SimpleNamespace, server: Server) -> None:
    """A file that lands is matched and published by itself; a run and a backfill are launched as the UI does it."""
    new = "vendors.csv"
    feed = read_table(ran.landing / INVOICE)
    for path in ran.landing.glob("*.csv"):
        path.unlink()
    feed.head(40).to_csv(ran.landing / new, index=False)

    selector = {"repositoryLocationName": "em_assets.definitions", "repositoryName": "__repository__"}
    job = {"selector": {**selector, "jobName": "report"}, "mode": "default"}
    launched = server.ask(LAUNCH, of=job)["launchRun"]
    assert launched["__typename"] == "LaunchRunSuccess", launched

    def published() -> bool:
        results = ran.workspace.tables.read(RESULT_TABLE, filter={"source_file": new})
        return len(results) == 40

    wait_for(published)
    wait_for(lambda: server.status(launched["run"]["runId"]) in ("SUCCESS", "FAILURE"))
    assert server.status(launched["run"]["runId"]) == "SUCCESS" and ran.workspace.report.is_file()

    asked = {"assetSelection": [{"path": ["matched_entities"]}], "partitionNames": [new]}
    backfill = server.ask(BACKFILL, of=asked)["launchPartitionBackfill"]
    assert backfill["__typename"] == "LaunchBackfillSuccess", backfill
    query = "query($id: String!) {partitionBackfillOrError(backfillId: $id) {... on PartitionBackfill {status}}}"

    def status() -> str:
        return str(server.ask(query, id=backfill["backfillId"])["partitionBackfillOrError"]["status"])

    wait_for(lambda: status() != "REQUESTED")
    assert status() == "COMPLETED_SUCCESS"
