"""The local launcher: the entry point as a process of its own, through Dagster Pipes."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence
from importlib.metadata import entry_points

import dagster as dg

from em_assets.launchers.base import Launcher


class LocalLauncher(Launcher):
    """Runs the step on this machine with the same interpreter and the same arguments as a remote job."""

    def run(
        self, context: dg.AssetExecutionContext, entry_point: str, arguments: Sequence[str], env: Mapping[str, str]
    ) -> dg.MaterializeResult:
        """See `Launcher.run`."""
        (script,) = entry_points(group="console_scripts", name=entry_point)
        command = [sys.executable, "-m", script.module, *arguments]
        done = dg.PipesSubprocessClient().run(context=context, command=command, env={**os.environ, **env})
        # A process that reports nothing must not count as materialized.
        return done.get_materialize_result(implicit_materialization=False)
