"""Launchers: the choice is read from a file, and a local step fails, ends and reports as Dagster users expect."""

import importlib.metadata
import os
import subprocess
import time
from pathlib import Path

import dagster as dg
import pytest
from dagster._core.errors import DagsterExecutionInterruptedError
from dagster._core.execution.plan.objects import StepFailureData

from em_assets.launchers import Launcher, Launchers, LocalLauncher, Place, local
from em_assets.launchers.choice import read_choice
from em_assets.launchers.local import LocalSettings
from em_core.errors import UserError

VOLUME = "databricks: {volume: /Volumes/c/s/v, wheel: /Volumes/c/s/v/em.whl, existing_cluster_id: c-1}\n"
# What a step of this name does is written by each test.
STEP = "step_under_test"
REPORT = """
import dagster_pipes
with dagster_pipes.open_dagster_pipes() as pipes:
    pipes.log.info("half way")
    pipes.report_asset_materialization(metadata={"rows": 3}, data_version="7")
"""


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The module that the step's entry point names; its folder is on the path of child processes."""
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    point = importlib.metadata.EntryPoint(name=STEP, value=f"{STEP}:main", group="console_scripts")
    monkeypatch.setattr(local, "entry_points", lambda group, name: [point] if name == STEP else [])
    return tmp_path / f"{STEP}.py"


def materialize(launcher: Launcher, name: str = STEP, *arguments: str | Place) -> dg.ExecuteInProcessResult:
    @dg.asset
    def made(context: dg.AssetExecutionContext) -> dg.MaterializeResult:
        return launcher.run(context, name, arguments, {"GIVEN": "here"})

    return dg.materialize([made], raise_on_error=False)


def failure(result: dg.ExecuteInProcessResult) -> StepFailureData:
    assert not result.success
    (event,) = result.filter_events(lambda e: e.is_step_failure)
    return event.step_failure_data


def test_a_step_reports_and_sees_its_arguments(module: Path, tmp_path: Path) -> None:
    module.write_text(
        f"import os, sys\nassert sys.argv[1:] == ['--in', {str(tmp_path)!r}] and os.environ['GIVEN']\n{REPORT}"
    )
    result = materialize(LocalLauncher(), STEP, "--in", Place(tmp_path, "read"))
    (event,) = result.get_asset_materialization_events()
    assert event.materialization.metadata["rows"].value == 3
    assert event.materialization.tags["dagster/data_version"] == "7"


def test_a_failed_step_shows_what_it_said(module: Path) -> None:
    module.write_text("import sys\nprint('reading', file=sys.stderr)\nraise ValueError('bad row 7')\n")
    data = failure(materialize(LocalLauncher()))
    assert "exit code 1" in data.error.message and "bad row 7" in data.error.message
    told = data.user_failure_data.metadata
    assert told["exit_code"].value == 1 and "Traceback" in told["stderr"].value and "reading" in told["stderr"].value


@pytest.mark.parametrize(("code", "tries"), [(1, 3), (2, 1)])
def test_bad_input_is_not_tried_again(module: Path, tmp_path: Path, code: int, tries: int) -> None:
    module.write_text(f"import sys\nopen({str(tmp_path / 'tries')!r}, 'a').write('x')\nsys.exit({code})\n")

    @dg.asset(retry_policy=dg.RetryPolicy(max_retries=2))
    def made(context: dg.AssetExecutionContext) -> dg.MaterializeResult:
        return LocalLauncher().run(context, STEP, [], {})

    assert not dg.materialize([made], raise_on_error=False).success
    assert (tmp_path / "tries").read_text() == "x" * tries


def test_a_silent_step_is_a_failed_step(module: Path) -> None:
    module.write_text("")
    assert "reported 0 materializations" in failure(materialize(LocalLauncher())).error.message


def test_a_step_ends_at_its_time_limit_with_its_children(module: Path, tmp_path: Path) -> None:
    child = f"import time, pathlib; time.sleep(4); pathlib.Path({str(tmp_path / 'survived')!r}).touch()"
    module.write_text(
        "import subprocess, sys, time\n"
        f"subprocess.Popen([sys.executable, '-c', {child!r}])\ntime.sleep(60)\n"
    )  # fmt: skip
    data = failure(materialize(LocalLauncher(LocalSettings(timeout_seconds=1.5))))
    assert "stopped after 1.5 s" in data.error.message
    time.sleep(4)
    assert not (tmp_path / "survived").exists()


def test_a_step_that_is_not_installed_says_so(module: Path) -> None:
    assert "not installed here" in failure(materialize(LocalLauncher(), "another_step")).error.message


def test_an_interrupt_ends_the_process(module: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As when a run is terminated: Dagster raises where the launcher waits."""
    started = tmp_path / "started"
    module.write_text(f"import time, os\nopen({str(started)!r}, 'w').write(str(os.getpid()))\ntime.sleep(60)\n")

    class Interrupted(subprocess.Popen):  # type: ignore[type-arg]
        raised = False

        def wait(self, timeout: float | None = None) -> int:
            while not self.raised and not (started.exists() and started.read_text()):
                time.sleep(0.05)
            if not self.raised:
                self.raised = True
                raise DagsterExecutionInterruptedError
            return super().wait(timeout)

    monkeypatch.setattr(local.subprocess, "Popen", Interrupted)
    assert "Interrupted" in failure(materialize(LocalLauncher())).error.cls_name
    with pytest.raises(ProcessLookupError):
        os.kill(int(started.read_text()), 0)


def test_without_a_file_everything_runs_here() -> None:
    assert isinstance(Launchers().of("ditto_model"), LocalLauncher)


def test_each_step_goes_where_the_file_says(tmp_path: Path) -> None:
    file = tmp_path / "launchers.yaml"
    file.write_text(VOLUME + "steps: {ditto_model: databricks}\nlocal: {timeout_seconds: 60}\n")
    chosen = Launchers(file=str(file))
    assert type(chosen.of("ditto_model")).__name__ == "DatabricksLauncher"
    other = chosen.of("vector_index")
    assert isinstance(other, LocalLauncher) and other.settings.timeout_seconds == 60


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("steps: {matcher: local}", "steps.matcher"),
        ("default: databricks", "no section 'databricks'"),
        (VOLUME.replace("/Volumes", "dbfs:"), "databricks.volume"),
        (VOLUME.replace(", existing_cluster_id: c-1", ""), "name one of existing_cluster_id"),
        (VOLUME.replace("}", ", environment: {}}"), "not ['existing_cluster_id', 'environment']"),
        (VOLUME.replace("}", ", token: secret}"), "databricks.token"),
        ("default: [", "not YAML"),
        ("- local", "the file"),
    ],
)
def test_a_wrong_file_is_told_in_one_sentence(tmp_path: Path, text: str, told: str) -> None:
    file = tmp_path / "launchers.yaml"
    file.write_text(text)
    with pytest.raises(UserError) as caught:
        read_choice(file)
    message = str(caught.value)
    assert message.startswith(str(file)) and told in message and "\n" not in message and "secret" not in message


def test_a_missing_file_is_told(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="cannot be read"):
        read_choice(tmp_path / "none.yaml")
