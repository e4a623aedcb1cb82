"""What every step does around its work: arguments, exit codes, and a report to whatever launched it."""

from __future__ import annotations

import argparse
import json
import logging
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from em_core.errors import UserError
from em_core.pipes import add_pipes_arguments, pipes_context

Say = Callable[[str], None]


@dataclass(frozen=True)
class Outcome:
    """What a step made: figures and texts for people, and the version of the content."""

    data_version: str
    metadata: Mapping[str, Any] = field(default_factory=dict)


def run_step(
    parser: argparse.ArgumentParser, work: Callable[[argparse.Namespace, Say], Outcome], argv: Sequence[str] | None
) -> int:
    """Parse, work, print the outcome as one JSON object and report it through Dagster Pipes where that launched the process.

    Raises SystemExit(2) for bad input, after one line on stderr; a fault raises as itself.
    """
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr)
    # Idle threads that sleep instead of spinning: on a busy machine everything is several times faster. Read at torch's import.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    add_pipes_arguments(parser)
    arguments = parser.parse_args(argv)
    log = logging.getLogger(parser.prog)
    try:
        with pipes_context(arguments.dagster_pipes_context, arguments.dagster_pipes_messages) as pipes:
            outcome = work(arguments, log.info if pipes is None else pipes.log.info)
            if pipes is not None and pipes.is_asset_step:
                pipes.report_asset_materialization(
                    metadata=_for_pipes(outcome.metadata), data_version=outcome.data_version
                )
    except UserError as error:
        sys.stderr.write(f"{parser.prog}: {' '.join(str(error).split())}\n")
        raise SystemExit(2) from error
    sys.stdout.write(json.dumps({"data_version": outcome.data_version, **outcome.metadata}) + "\n")
    return 0


def _for_pipes(metadata: Mapping[str, Any]) -> dict[str, Any]:
    """Metadata as Dagster Pipes takes it: a mapping needs its type said."""
    return {
        name: {"raw_value": value, "type": "json"} if isinstance(value, dict) else value
        for name, value in metadata.items()
    }
