"""The Databricks launcher: the entry point as a wheel task of a one-time run, through Dagster Pipes over a Unity Catalog volume.

Dagster's own clients (`dagster_databricks.PipesDatabricksClient`, `PipesDatabricksServerlessClient`) swallow an interrupt, so a
cancelled run counts as materialized, and start a second run when a step is tried again. Their parts for volumes are used here; the
submission and the waiting are not.
"""

from __future__ import annotations

import hashlib
import re
import shutil
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any, cast

import dagster as dg
from dagster import open_pipes_session
from dagster._core.errors import DagsterExecutionInterruptedError
from dagster_databricks.pipes import PipesUnityCatalogVolumesContextInjector, PipesUnityCatalogVolumesMessageReader

from em_assets.launchers.base import Argument, Launcher, reported
from em_assets.launchers.remote import DatabricksSettings

if TYPE_CHECKING:
    from databricks.sdk import WorkspaceClient
    from databricks.sdk.service.jobs import Run

_ENDED = ("TERMINATED", "SKIPPED", "INTERNAL_ERROR")
# More failed tries of one step than this are not looked at; Dagster gives up long before.
_TRIES = 20
_CANCEL_SECONDS = 120.0
_TASK, _ENVIRONMENT = "step", "step"


class DatabricksLauncher(Launcher):
    """Runs a step on a new cluster, an existing cluster or serverless, as `DatabricksSettings` says."""

    def __init__(self, settings: DatabricksSettings, client: WorkspaceClient | None = None) -> None:
        self.settings = settings
        self._client = client

    @property
    def client(self) -> WorkspaceClient:
        """Made at first use: definitions load without credentials."""
        if self._client is None:
            from databricks.sdk import WorkspaceClient
            from databricks.sdk.core import Config

            try:
                config = Config(retry_timeout_seconds=self.settings.retry_seconds)
            except ValueError as error:
                raise dg.Failure(f"no access to a Databricks workspace: {error}", allow_retries=False) from None
            self._client = WorkspaceClient(config=config)
        return self._client

    def run(
        self,
        context: dg.AssetExecutionContext,
        entry_point: str,
        arguments: Sequence[Argument],
        env: Mapping[str, str],
    ) -> dg.MaterializeResult:
        """See `Launcher.run`. `env` is of this machine and stays here; see `DatabricksSettings.arguments`.

        A step that is tried again finds the run of the try before by its idempotency token: while that runs or has succeeded no
        second one is started.
        """
        from databricks.sdk.errors import DatabricksError

        token = _token(context)
        try:
            for number in range(_TRIES):
                folder = f"{self.settings.volume.rstrip('/')}/steps/{token}-{number}"
                done = self._try(context, entry_point, arguments, f"{token}-{number}", folder)
                if done is not None:
                    return done
        except (DatabricksError, TimeoutError, OSError) as error:
            raise dg.Failure(f"the workspace did not answer: {type(error).__name__}: {_first_line(error)}") from error
        raise dg.Failure(f"{_TRIES} remote runs of this step have failed; not started again", allow_retries=False)

    def _try(
        self,
        context: dg.AssetExecutionContext,
        entry_point: str,
        arguments: Sequence[Argument],
        token: str,
        folder: str,
    ) -> dg.MaterializeResult | None:
        """One remote run, new or found again; None if an earlier try was it and failed."""
        from dagster_databricks.pipes import files

        api = files.FilesAPI(self.client.api_client)
        reader = _Reader(self.client, folder, self.settings)
        with open_pipes_session(
            context=context,
            context_injector=_Injector(self.client, folder),
            message_reader=reader,
        ) as session:
            texts, back = self._carried(api, arguments, folder)
            texts += self.settings.arguments.get(entry_point, [])
            for flag, value in session.get_bootstrap_cli_arguments().items():
                texts += [flag, value]
            body = self._body(context, entry_point, texts, token)
            # By the bare call: the oldest supported SDK does not know every field of an environment.
            answer = cast("dict[str, Any]", self.client.api_client.do("POST", "/api/2.2/jobs/runs/submit", body=body))
            run_id = int(answer["run_id"])
            found = self.client.jobs.get_run(run_id)
            if _state(found) in _ENDED and _result(found) != "SUCCESS":
                return None
            context.log.info(f"remote run {run_id}: {found.run_page_url}")
            self._wait(context, run_id)
        metadata = _where(found)
        result = reported(session.get_results(implicit_materializations=False, metadata=metadata), metadata)
        for there, here in back.items():
            fetch(api, there, here)
        remove(api, folder)
        return result

    def _body(
        self, context: dg.AssetExecutionContext, entry_point: str, parameters: list[str], token: str
    ) -> dict[str, Any]:
        """What `runs/submit` takes."""
        chosen = self.settings
        task: dict[str, Any] = {
            "task_key": _TASK,
            "python_wheel_task": {
                "package_name": chosen.package,
                "entry_point": entry_point,
                "parameters": parameters,
            },
            "timeout_seconds": chosen.timeout_seconds,
        }
        body: dict[str, Any] = {
            "run_name": f"dagster {context.run.run_id} {entry_point}",
            "idempotency_token": token,
            "timeout_seconds": chosen.timeout_seconds,
            "tasks": [task],
        }
        if chosen.environment is not None:
            spec = {**chosen.environment, "dependencies": [*chosen.environment.get("dependencies", []), chosen.wheel]}
            task["environment_key"] = _ENVIRONMENT
            body["environments"] = [{"environment_key": _ENVIRONMENT, "spec": spec}]
            return body
        task["libraries"] = [{"whl": chosen.wheel}]
        if chosen.new_cluster is not None:
            task["new_cluster"] = chosen.new_cluster
        else:
            task["existing_cluster_id"] = chosen.existing_cluster_id
        return body

    def _carried(self, api: Any, arguments: Sequence[Argument], folder: str) -> tuple[list[str], dict[str, Path]]:
        """The arguments as the step sees them, files carried there, and what has to be fetched afterwards (there -> here)."""
        texts, back = [], {}
        for number, argument in enumerate(arguments):
            if isinstance(argument, str):
                texts.append(argument)
                continue
            there = self._seen_there(argument.path)
            if there is None:
                if argument.role == "shared":
                    raise dg.Failure(
                        f"{argument.path} is read and written in place and the workspace does not see it: put the workspace folder "
                        "on a volume and name it under databricks.paths",
                        allow_retries=False,
                    )
                there = f"{folder}/{number}/{argument.path.name}"
                if argument.role == "write":
                    back[there] = argument.path
                else:
                    carry(api, argument.path, there)
            texts.append(there)
        return texts, back

    def _seen_there(self, path: Path) -> str | None:
        """The path on the other side, if both sides see it."""
        for here, there in self.settings.paths.items():
            root = Path(here).expanduser().resolve()
            if path.is_relative_to(root):
                return str(PurePosixPath(there) / path.relative_to(root).as_posix())
        return None

    def _wait(self, context: dg.AssetExecutionContext, run_id: int) -> None:
        """Until the run has succeeded. An interrupt cancels it; a failure carries the remote traceback."""
        from databricks.sdk.errors import DatabricksError

        last = ""
        try:
            while _state(run := self.client.jobs.get_run(run_id)) not in _ENDED:
                if (state := _state(run)) != last:
                    context.log.info(f"remote run {run_id}: {state}")
                    last = state
                time.sleep(self.settings.poll_seconds)
        except (DagsterExecutionInterruptedError, KeyboardInterrupt):
            self._cancel(context, run_id)
            raise
        except (DatabricksError, TimeoutError, OSError) as error:
            raise dg.Failure(
                f"lost sight of remote run {run_id}, which was left running; a retry finds it again: {_first_line(error)}",
                metadata={"remote_run_id": str(run_id)},
            ) from error
        if _result(run) == "SUCCESS":
            return
        told, trace = self._remote_error(run)
        raise dg.Failure(
            f"remote run {run_id} ended as {_result(run) or _state(run)}: {told}",
            metadata={**_where(run), "remote_traceback": dg.MetadataValue.md(f"```\n{trace}\n```")},
            allow_retries=not re.search(r"SystemExit: 2\b|exit code 2\b", f"{told}\n{trace}"),
        )

    def _cancel(self, context: dg.AssetExecutionContext, run_id: int) -> None:
        context.log.info(f"interrupted: remote run {run_id} is cancelled")
        self.client.jobs.cancel_run(run_id)
        until = time.monotonic() + _CANCEL_SECONDS
        while _state(self.client.jobs.get_run(run_id)) not in (*_ENDED, "TERMINATING"):
            if time.monotonic() > until:
                context.log.warning(f"remote run {run_id} has not ended {_CANCEL_SECONDS:g} s after it was cancelled")
                return
            time.sleep(min(1.0, self.settings.poll_seconds))

    def _remote_error(self, run: Run) -> tuple[str, str]:
        """First line and whole text of what went wrong; the traceback is in the output of the task's run."""
        from databricks.sdk.errors import DatabricksError

        told = (run.state.state_message if run.state else None) or "no message"
        trace = ""
        for task in run.tasks or []:
            try:
                output = self.client.jobs.get_run_output(task.run_id or 0)
            except DatabricksError:
                continue
            told, trace = output.error or told, output.error_trace or trace
        return _first_line(told), trace or told


def _token(context: dg.AssetExecutionContext) -> str:
    """The same for every try of a step: retries within a run, and Dagster's own retries of the run, but not a person's new run."""
    run = context.run
    root = run.root_run_id if "dagster/retry_number" in run.tags and run.root_run_id else run.run_id
    step = context.get_step_execution_context().step.key
    return hashlib.sha256(f"{root} {step}".encode()).hexdigest()[:40]


def _state(run: Run) -> str:
    state = run.state.life_cycle_state if run.state else None
    return state.value if state else ""


def _result(run: Run) -> str:
    state = run.state.result_state if run.state else None
    return state.value if state else ""


def _where(run: Run) -> dict[str, dg.MetadataValue]:
    place = {"remote_run_id": dg.MetadataValue.text(str(run.run_id))}
    return place | ({"remote_run": dg.MetadataValue.url(run.run_page_url)} if run.run_page_url else {})


def _first_line(told: object) -> str:
    return (str(told).strip().splitlines() or ["no message"])[0]


class _Injector(PipesUnityCatalogVolumesContextInjector):
    """The context at a place that a later try finds again."""

    def __init__(self, client: WorkspaceClient, folder: str) -> None:
        super().__init__(client=client, volume_path=folder)

    @contextmanager
    def inject_context(self, context: Any) -> Iterator[dict[str, str]]:
        import io
        import json

        path = f"{self.volume_path}/context.json"
        self.files_client.upload(path, contents=io.BytesIO(json.dumps(context).encode()), overwrite=True)
        yield {"path": path}


class _Reader(PipesUnityCatalogVolumesMessageReader):
    """Messages from a place that a later try finds again."""

    def __init__(self, client: WorkspaceClient, folder: str, settings: DatabricksSettings) -> None:
        super().__init__(
            client=client,
            volume_path=folder,
            interval=settings.poll_seconds,
            include_stdio_in_messages=settings.stream_output,
        )

    @contextmanager
    def get_params(self) -> Iterator[dict[str, Any]]:
        path = f"{self.volume_path}/messages"
        self.files_client.create_directory(path)
        yield {"path": path, "include_stdio_in_messages": self.include_stdio_in_messages}


def carry(api: Any, here: Path, there: str) -> None:
    """Copy a file or folder to a volume."""
    for path in [here] if here.is_file() else sorted(p for p in here.rglob("*") if p.is_file()):
        target = there if path == here else f"{there}/{path.relative_to(here).as_posix()}"
        with path.open("rb") as stream:
            api.upload(target, contents=stream, overwrite=True)


def fetch(api: Any, there: str, here: Path) -> None:
    """Copy a folder of a volume to `here`, which is replaced once everything has come."""
    aside = here.with_name(f".{here.name}.fetched")
    shutil.rmtree(aside, ignore_errors=True)
    aside.mkdir(parents=True)
    for path in _files(api, there):
        target = aside / PurePosixPath(path).relative_to(there)
        target.parent.mkdir(parents=True, exist_ok=True)
        with target.open("wb") as out:
            shutil.copyfileobj(api.download(path).contents, out)
    old = here.with_name(f".{here.name}.old")
    shutil.rmtree(old, ignore_errors=True)
    if here.exists():
        here.rename(old)
    aside.rename(here)
    shutil.rmtree(old, ignore_errors=True)


def remove(api: Any, there: str) -> None:
    """Remove a folder of a volume and what is in it."""
    for entry in list(api.list_directory_contents(there)):
        if entry.is_directory:
            remove(api, entry.path)
        else:
            api.delete(entry.path)
    api.delete_directory(there)


def _files(api: Any, there: str) -> Iterator[str]:
    for entry in api.list_directory_contents(there):
        if entry.is_directory:
            yield from _files(api, entry.path)
        else:
            yield entry.path
