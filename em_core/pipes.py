"""Dagster Pipes for entry points: what launched this process hears of its progress and its outcome."""

from __future__ import annotations

import argparse
import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from em_core.errors import UserError


def add_pipes_arguments(parser: argparse.ArgumentParser | argparse._ArgumentGroup) -> None:
    """The two options that Dagster appends to the arguments of a job that it launches."""
    parser.add_argument("--dagster-pipes-context", help=argparse.SUPPRESS)
    parser.add_argument("--dagster-pipes-messages", help=argparse.SUPPRESS)


@contextlib.contextmanager
def pipes_context(context: str | None, messages: str | None) -> Iterator[Any | None]:
    """A `PipesContext` for the length of the block if the arguments or the environment carry its bootstrap, else None.

    Dagster hands a process its bootstrap by environment (local, job cluster) or as two appended arguments (serverless,
    existing cluster). Messages go to a file or stream, or in numbered pieces to a folder on a Unity Catalog volume.
    """
    names = ("DAGSTER_PIPES_CONTEXT", "DAGSTER_PIPES_MESSAGES")
    given = {n: v for n, v in zip(names, (context, messages), strict=True) if v} or {
        n: os.environ[n] for n in names if n in os.environ
    }
    if not given:
        yield None
        return
    if len(given) < 2:
        raise UserError(f"{next(iter(given))} is set without its partner; Dagster Pipes needs {' and '.join(names)}")
    import dagster_pipes

    params = dagster_pipes.PipesMappingParamsLoader(given)
    place = params.load_messages_params().get("path")
    on_volume = place is not None and Path(place).is_dir()
    writer = dagster_pipes.PipesUnityCatalogVolumesMessageWriter() if on_volume else None
    with dagster_pipes.open_dagster_pipes(params_loader=params, message_writer=writer) as pipes:
        yield pipes
