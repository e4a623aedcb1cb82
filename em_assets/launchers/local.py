"""The local launcher: the entry point as a process of its own, through Dagster Pipes."""

from __future__ import annotations

import collections
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from importlib.metadata import entry_points
from typing import IO

import dagster as dg
from dagster import PipesTempFileContextInjector, PipesTempFileMessageReader, open_pipes_session
from pydantic import BaseModel, ConfigDict, Field

from em_assets.launchers.base import Argument, Launcher, Place, reported

# What a failed process said last is shown; so many lines.
_TAIL = 30
# Seconds between asking a process to end and ending it.
_GRACE = 10.0
_USERS_MISTAKE = 2


class LocalSettings(BaseModel):
    """How steps run on this machine."""

    model_config = ConfigDict(extra="forbid")

    timeout_seconds: float | None = Field(default=None, gt=0)
    """a step that takes longer is stopped and fails"""


class LocalLauncher(Launcher):
    """Runs the step on this machine with the same interpreter and the same arguments as a remote job."""

    def __init__(self, settings: LocalSettings | None = None) -> None:
        self.settings = settings or LocalSettings()

    def run(
        self,
        context: dg.AssetExecutionContext,
        entry_point: str,
        arguments: Sequence[Argument],
        env: Mapping[str, str],
    ) -> dg.MaterializeResult:
        """See `Launcher.run`."""
        scripts = list(entry_points(group="console_scripts", name=entry_point))
        if not scripts:
            raise dg.Failure(
                f"{entry_point} is not installed here: install the distribution entity-matching into the environment of this "
                "code location",
                allow_retries=False,
            )
        texts = [str(argument.path) if isinstance(argument, Place) else argument for argument in arguments]
        command = [sys.executable, "-m", scripts[0].module, *texts]
        with open_pipes_session(
            context=context,
            context_injector=PipesTempFileContextInjector(),
            message_reader=PipesTempFileMessageReader(),
        ) as session:
            variables = {**os.environ, **env, **session.get_bootstrap_env_vars()}
            code, tail = _run(command, variables, self.settings.timeout_seconds)
        said = "".join(tail)
        metadata = {"exit_code": dg.MetadataValue.int(code or 0), "stderr": dg.MetadataValue.md(f"```\n{said}\n```")}
        if code is None:
            raise dg.Failure(
                f"{entry_point} was stopped after {self.settings.timeout_seconds:g} s, its time limit",
                metadata=metadata,
            )
        if code:
            last = said.strip().splitlines()[-1:] or ["nothing on stderr"]
            raise dg.Failure(
                f"{entry_point} ended with exit code {code}: {last[0]}",
                metadata=metadata,
                allow_retries=code != _USERS_MISTAKE,
            )
        return reported(session.get_results(implicit_materializations=False), metadata)


def _run(
    command: Sequence[str], env: Mapping[str, str], timeout: float | None
) -> tuple[int | None, collections.deque[str]]:
    """Exit code (None: out of time) and the last lines of stderr. The process has a group of its own, which ends with it."""
    tail: collections.deque[str] = collections.deque(maxlen=_TAIL)
    with subprocess.Popen(
        command, env=dict(env), stderr=subprocess.PIPE, text=True, errors="replace", start_new_session=True
    ) as process:
        reader = threading.Thread(target=_pass_on, args=(process.stderr, tail), daemon=True)
        reader.start()
        try:
            code: int | None = process.wait(timeout)
        except subprocess.TimeoutExpired:
            code = None
        finally:
            _stop(process)
        reader.join(_GRACE)
    return code, tail


def _pass_on(stream: IO[str] | None, tail: collections.deque[str]) -> None:
    """Each line goes to this process's stderr, where Dagster captures it; the last ones are kept."""
    for line in stream or ():
        sys.stderr.write(line)
        tail.append(line)


def _stop(process: subprocess.Popen[str]) -> None:
    """End the process and its children, if they still live."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        if process.poll() is not None:
            return
        os.killpg(process.pid, number)
        try:
            process.wait(_GRACE)
        except subprocess.TimeoutExpired:
            continue
