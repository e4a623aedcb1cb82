"""Steps on a workspace: wheel tasks run as real processes of the built wheel, and end as a person would expect."""

import json
import os
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import dagster as dg
import pytest
from dagster._core.errors import DagsterExecutionInterruptedError
from dagster._core.execution.plan.objects import StepFailureData
from dagster._core.pipes import utils as pipes_utils

from em_assets.launchers import Place, databricks
from em_assets.launchers.base import Argument
from em_assets.launchers.databricks import DatabricksLauncher
from em_assets.launchers.remote import DatabricksSettings
from tests.workspace.server import Workspace, serve

VOLUME = "/Volumes/main/matching/work"
# A distribution whose steps end in each way that a step can end.
STEPS = """
import pathlib, sys, time
from dagster_pipes import (PipesCliArgsParamsLoader, PipesUnityCatalogVolumesContextLoader,
                           PipesUnityCatalogVolumesMessageWriter, open_dagster_pipes)

def _pipes():
    return open_dagster_pipes(params_loader=PipesCliArgsParamsLoader(), context_loader=PipesUnityCatalogVolumesContextLoader(),
                              message_writer=PipesUnityCatalogVolumesMessageWriter(interval=0.2))

def echo():
    source, target = map(pathlib.Path, sys.argv[1:3])
    with _pipes() as pipes:
        pipes.log.info("half way")
        print("said on stdout")
        if target.name != "none":
            target.mkdir(parents=True)
            (target / "sub").mkdir()
            (target / "sub" / "copy.txt").write_text(source.read_text())
        pipes.report_asset_materialization(metadata={"arguments": len(sys.argv)}, data_version="9")

def raises():
    with _pipes():
        raise ValueError("bad row 7")

def bad_input():
    print("file x.csv, row 7: no name", file=sys.stderr)
    return 2

def silent():
    pass

def slow():
    with _pipes() as pipes:
        pathlib.Path(sys.argv[1]).touch()
        time.sleep(float(sys.argv[2]))
        pipes.report_asset_materialization(metadata={"slept": 1})
"""
NAMES = ("echo", "raises", "bad_input", "silent", "slow")


@pytest.fixture(scope="module")
def environment(clean: Path) -> Path:
    """The clean environment and the distribution `steps`, installed by hand."""
    (target,) = (clean / "lib").glob("python*/site-packages")
    (target / "em_test_steps.py").write_text(STEPS)
    info = target / "em_test_steps-1.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: em-test-steps\nVersion: 1\n")
    (info / "entry_points.txt").write_text(
        "[console_scripts]\n" + "".join(f"{name} = em_test_steps:{name}\n" for name in NAMES)
    )
    return clean / "bin" / "python"


@pytest.fixture
def workspace(environment: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Workspace]:
    """A workspace that the SDK finds by its variables."""
    for name in [n for n in os.environ if n.startswith("DATABRICKS_")]:
        monkeypatch.delenv(name)
    space = Workspace(environment, tmp_path / "space")
    space.root.mkdir()
    server = serve(space)
    monkeypatch.setenv("DATABRICKS_HOST", f"http://127.0.0.1:{server.server_address[1]}")
    monkeypatch.setenv("DATABRICKS_TOKEN", space.token)
    monkeypatch.setenv("DATABRICKS_CONFIG_FILE", str(tmp_path / "none"))
    # So long Dagster waits for a step's first message after its end.
    monkeypatch.setattr(pipes_utils, "WAIT_FOR_LOGS_AFTER_EXECUTION_INTERVAL", 1)
    yield space
    server.shutdown()
    for run in space.runs.values():
        run.kill()


@pytest.fixture
def settings() -> DatabricksSettings:
    return DatabricksSettings(
        volume=VOLUME,
        wheel=f"{VOLUME}/em.whl",
        package="em-test-steps",
        existing_cluster_id="c-1",
        timeout_seconds=60,
        poll_seconds=0.2,
        retry_seconds=20,
        stream_output=False,
    )


def materialize(
    settings: DatabricksSettings, entry_point: str, *arguments: Argument, retries: int = 0
) -> dg.ExecuteInProcessResult:
    @dg.asset(retry_policy=dg.RetryPolicy(max_retries=retries) if retries else None)
    def made(context: dg.AssetExecutionContext) -> dg.MaterializeResult:
        return DatabricksLauncher(settings).run(context, entry_point, arguments, {"SECRET": "stays-here"})

    with dg.DagsterInstance.ephemeral() as instance:
        result = dg.materialize([made], raise_on_error=False, instance=instance)
        result.said = [  # type: ignore[attr-defined]
            record.message for record in instance.all_logs(result.run_id) if not record.is_dagster_event
        ]
    return result


def failure(result: dg.ExecuteInProcessResult) -> StepFailureData:
    assert not result.success
    (event,) = result.filter_events(lambda e: e.is_step_failure)
    return event.step_failure_data


def where(told: StepFailureData) -> dict[str, Any]:
    return {name: value.value for name, value in told.user_failure_data.metadata.items()}


def arguments(tmp_path: Path, target: str = "out") -> tuple[Place, Place]:
    (tmp_path / "in.txt").write_text("given")
    return Place(tmp_path / "in.txt", "read"), Place(tmp_path / target, "write")


def body(workspace: Workspace) -> dict[str, Any]:
    return workspace.runs[1].body


def test_files_go_there_and_come_back_and_nothing_is_left(
    workspace: Workspace, settings: DatabricksSettings, tmp_path: Path
) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "old.txt").touch()
    result = materialize(settings, "echo", *arguments(tmp_path))
    assert result.success
    (event,) = result.get_asset_materialization_events()
    told = event.materialization
    assert told.tags["dagster/data_version"] == "9"
    assert told.metadata["remote_run"].value == "https://workspace.example/#job/1/run/1"
    assert [p.name for p in (tmp_path / "out").rglob("*") if p.is_file()] == ["copy.txt"]
    assert (tmp_path / "out" / "sub" / "copy.txt").read_text() == "given"
    assert "half way" in result.said
    assert not [p for p in (workspace.root / VOLUME.lstrip("/")).rglob("*") if p.is_file()]
    task = body(workspace)["tasks"][0]
    assert task["libraries"] == [{"whl": settings.wheel}] and task["existing_cluster_id"] == "c-1"
    assert "stays-here" not in json.dumps(body(workspace))


def test_serverless_takes_the_wheel_as_a_dependency(
    workspace: Workspace, settings: DatabricksSettings, tmp_path: Path
) -> None:
    serverless = DatabricksSettings(
        **(settings.model_dump() | {"existing_cluster_id": None, "environment": {"environment_version": "4"}})
    )
    assert materialize(serverless, "echo", *arguments(tmp_path)).success
    (environment,) = body(workspace)["environments"]
    assert environment["spec"] == {"environment_version": "4", "dependencies": [settings.wheel]}
    assert "libraries" not in body(workspace)["tasks"][0]


def test_a_new_cluster_is_passed_on(workspace: Workspace, settings: DatabricksSettings, tmp_path: Path) -> None:
    cluster = {"spark_version": "17.3.x-gpu-ml-scala2.13", "num_workers": 0, "spark_env_vars": {"A": "1"}}
    classic = settings.model_copy(update={"existing_cluster_id": None, "new_cluster": cluster})
    assert materialize(classic, "echo", *arguments(tmp_path)).success
    assert body(workspace)["tasks"][0]["new_cluster"] == cluster


def test_shared_places_are_not_carried(workspace: Workspace, settings: DatabricksSettings, tmp_path: Path) -> None:
    seen = workspace.root / "Volumes" / "main" / "matching" / "tables"
    seen.mkdir(parents=True)
    (seen / "in.txt").write_text("seen by both")
    both = settings.model_copy(update={"paths": {str(seen): "/Volumes/main/matching/tables"}})
    result = materialize(both, "echo", Place(seen / "in.txt", "shared"), Place(seen / "out", "write"))
    assert result.success and (seen / "out" / "sub" / "copy.txt").read_text() == "seen by both"
    told = failure(materialize(settings, "echo", Place(seen / "in.txt", "shared"), Place(tmp_path / "out", "write")))
    assert "databricks.paths" in told.error.message and len(workspace.runs) == 1


def test_a_remote_exception_carries_its_traceback_and_the_run(
    workspace: Workspace, settings: DatabricksSettings
) -> None:
    result = materialize(settings, "raises")
    told = failure(result)
    assert "remote run 1 ended as FAILED: ValueError: bad row 7" in told.error.message
    assert where(told)["remote_run"] == "https://workspace.example/#job/1/run/1"
    assert "Traceback" in where(told)["remote_traceback"] and "in raises" in where(told)["remote_traceback"]


def test_a_failed_run_is_followed_by_another_and_bad_input_by_none(
    workspace: Workspace, settings: DatabricksSettings
) -> None:
    materialize(settings, "raises", retries=1)
    assert len(workspace.runs) == 2
    told = failure(materialize(settings, "bad_input", retries=1))
    assert len(workspace.runs) == 3 and "row 7: no name" in told.error.message


def test_a_silent_run_is_a_failed_step(workspace: Workspace, settings: DatabricksSettings) -> None:
    told = failure(materialize(settings, "silent"))
    assert "reported 0 materializations" in told.error.message and where(told)["remote_run_id"] == "1"


def test_lost_messages_are_a_failed_step(
    workspace: Workspace, settings: DatabricksSettings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(databricks._Reader, "download_messages_chunk", lambda *_: None)
    told = failure(materialize(settings, "echo", *arguments(tmp_path)))
    assert "messages were lost" in told.error.message and not (tmp_path / "out").exists()


def test_a_run_out_of_time_is_a_failed_step(workspace: Workspace, settings: DatabricksSettings, tmp_path: Path) -> None:
    short = settings.model_copy(update={"timeout_seconds": 2})
    told = failure(materialize(short, "slow", str(tmp_path / "started"), "60"))
    assert "ended as TIMEDOUT" in told.error.message and workspace.runs[1].process.poll() is not None


def test_a_run_cancelled_over_there_is_a_failed_step(
    workspace: Workspace, settings: DatabricksSettings, tmp_path: Path, when_started: Callable[..., None]
) -> None:
    when_started(tmp_path, lambda: (setattr(workspace.runs[1], "cancelled", True), workspace.runs[1].kill()))
    told = failure(materialize(settings, "slow", str(tmp_path / "started"), "60"))
    assert "ended as CANCELED" in told.error.message


@pytest.fixture
def when_started(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """`when_started(folder, act)`: at the launcher's first pause after the remote step has begun, `act` is called once."""

    def prepare(folder: Path, act: Callable[[], object]) -> None:
        left = [act]

        def sleep(seconds: float) -> None:
            time.sleep(seconds)
            if left and (folder / "started").exists():
                left.pop()()

        # Not `time.sleep` itself: threads that read messages sleep too.
        monkeypatch.setattr(databricks, "time", SimpleNamespace(sleep=sleep, monotonic=time.monotonic))

    return prepare


def _interrupt() -> None:
    raise DagsterExecutionInterruptedError


def test_an_interrupt_cancels_the_remote_run(
    workspace: Workspace, settings: DatabricksSettings, tmp_path: Path, when_started: Callable[..., None]
) -> None:
    when_started(tmp_path, _interrupt)
    told = failure(materialize(settings, "slow", str(tmp_path / "started"), "60"))
    assert told.error.cls_name == "DagsterExecutionInterruptedError"
    assert workspace.runs[1].cancelled and workspace.runs[1].process.poll() is not None


def test_a_retry_waits_for_the_run_that_is_there(
    workspace: Workspace, settings: DatabricksSettings, tmp_path: Path, when_started: Callable[..., None]
) -> None:
    """The first try loses sight of its run; the second finds it instead of paying for another."""

    def lose() -> None:
        raise ConnectionError("no route to host")

    when_started(tmp_path, lose)
    result = materialize(settings, "slow", str(tmp_path / "started"), "3", retries=1)
    assert result.success and len(workspace.runs) == 1
    assert result.get_step_success_events()[0].step_key == "made"
    (event,) = result.get_asset_materialization_events()
    assert event.materialization.metadata["slept"].value == 1


def test_a_busy_workspace_is_asked_again(workspace: Workspace, settings: DatabricksSettings, tmp_path: Path) -> None:
    workspace.refusals += [429, 503]
    assert materialize(settings, "echo", *arguments(tmp_path)).success and not workspace.refusals


def test_a_wrong_token_and_no_credentials_are_told_without_secrets(
    workspace: Workspace, settings: DatabricksSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DATABRICKS_TOKEN", "wrong-token-value")
    told = failure(materialize(settings, "silent"))
    assert "the workspace did not answer: Unauthenticated" in told.error.message
    assert "wrong-token-value" not in str(told.error)
    monkeypatch.delenv("DATABRICKS_TOKEN")
    assert "no access to a Databricks workspace" in failure(materialize(settings, "silent", retries=1)).error.message


def test_train_ditto_trains_over_there(
    workspace: Workspace,
    settings: DatabricksSettings,
    tmp_path: Path,
    tiny_base: Path,
    pairs_file: Path,
    arguments: Callable[[Path, Path, Path], list[str]],
) -> None:
    """The entry point, its declared dependencies and both directions of Pipes, in an environment without Dagster."""
    folder = tmp_path / "ditto"
    base = tmp_path / "base"
    shutil.copytree(tiny_base, base)
    places = {
        str(pairs_file): Place(pairs_file, "read"),
        str(folder): Place(folder, "write"),
        str(base): Place(base, "read"),
    }
    texts = [*arguments(pairs_file, folder, base), "--epochs", "1"]
    real = settings.model_copy(update={"package": "entity-matching", "timeout_seconds": 300})
    result = materialize(real, "train_ditto", *[places.get(text, text) for text in texts])
    assert result.success, workspace.runs[1].log.read_text()
    (event,) = result.get_asset_materialization_events()
    metrics = json.loads((folder / "metrics.json").read_text())
    told = {name: value.value for name, value in event.materialization.metadata.items()}
    assert set(told) & set(metrics)
    assert result.said
