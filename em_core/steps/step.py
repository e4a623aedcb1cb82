"""What every step does around its work: arguments, exit codes, and a report to whatever launched it."""

from __future__ import annotations

import argparse
import json
import logging
import os
import sys
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from em_core.errors import UserError
from em_core.pipes import add_pipes_arguments, pipes_context

if TYPE_CHECKING:
    from em_core.storage import ModelRegistry, TableStore

Say = Callable[[str], None]


@dataclass(frozen=True)
class Outcome:
    """What a step made: figures and texts for people, and the version of the content.

    store: where its cost is written down, if it worked on tables; `records` and `ditto_pairs` say how much it did.
    """

    data_version: str
    metadata: Mapping[str, Any] = field(default_factory=dict)
    store: TableStore | None = None
    records: int | None = None
    ditto_pairs: int | None = None


def optional_path(text: str) -> Path | None:
    """A path; a job parameter that is left empty is none."""
    return Path(text) if text.strip() else None


def add_store_arguments(parser: argparse.ArgumentParser) -> None:
    """`--tables`, `--run-id`, `--prices`."""
    parser.add_argument(
        "--tables", required=True, metavar="WHERE",
        help="folder of Delta tables, or catalog:NAME for a Unity Catalog catalog: through Spark, or from outside through the SQL "
        "warehouse that EM_WAREHOUSE names, with EM_STAGING, a folder of a volume",
    )  # fmt: skip
    parser.add_argument("--run-id", metavar="ID", help="written to the rows that this run makes (default: a new one)")
    parser.add_argument(
        "--prices", type=optional_path, metavar="FILE",
        help="YAML file with prices of an hour, see docs/databricks.md; without it gold.run_costs holds no amounts",
    )  # fmt: skip


def add_registry_arguments(parser: argparse.ArgumentParser) -> None:
    """Where models are registered."""
    add = parser.add_argument
    add(
        "--tracking-uri",
        metavar="URI",
        help="MLflow; default: MLFLOW_TRACKING_URI, else sqlite:///var/mlflow/mlflow.db",
    )
    add("--registry-uri", metavar="URI", help="where models are registered if that is elsewhere: databricks-uc")
    add("--namespace", default="", metavar="NAME", help="catalog.schema in front of the model's name in Unity Catalog")
    add(
        "--experiment",
        default="entity_matching",
        metavar="NAME",
        help="MLflow experiment; a workspace path on Databricks",
    )


def registry_of(arguments: argparse.Namespace) -> ModelRegistry:
    """The registry of `add_registry_arguments`."""
    from em_core.storage import ModelRegistry

    uri = arguments.tracking_uri or os.environ.get("MLFLOW_TRACKING_URI") or "sqlite:///var/mlflow/mlflow.db"
    return ModelRegistry(
        uri, arguments.experiment, registry_uri=arguments.registry_uri or None, namespace=arguments.namespace
    )


def add_feed_arguments(parser: argparse.ArgumentParser) -> None:
    """Which feeds."""
    add = parser.add_argument
    add("--feed", action="append", default=[], metavar="FILE", help="name of a landed file; may be repeated")
    add("--feeds-file", type=Path, metavar="FILE", help="text file with such names, one on each line")
    add("--all-feeds", action="store_true", help="every feed that the tables hold")


def chosen_feeds(arguments: argparse.Namespace, store: TableStore) -> list[str]:
    """The feeds of `add_feed_arguments`, without repetitions. Raises `UserError` if none is named or the file cannot be read."""
    from em_core.feeds import stored_feeds

    feeds = list(arguments.feed)
    if arguments.feeds_file is not None:
        try:
            feeds += arguments.feeds_file.read_text(encoding="utf-8").splitlines()
        except OSError as error:
            raise UserError(f"{arguments.feeds_file}: cannot be read ({error.strerror})") from None
    if arguments.all_feeds:
        feeds += stored_feeds(store)
        if not feeds:
            raise UserError("the tables hold no feed yet")
    if not feeds:
        raise UserError("no feed is named: give --feed, --feeds-file or --all-feeds")
    return list(dict.fromkeys(feeds))


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
    if "run_id" in arguments and not arguments.run_id:
        arguments.run_id = uuid.uuid4().hex
    log = logging.getLogger(parser.prog)
    try:
        with pipes_context(arguments.dagster_pipes_context, arguments.dagster_pipes_messages) as pipes:
            outcome = _measured(parser.prog, arguments, work, log.info if pipes is None else pipes.log.info)
            if pipes is not None and pipes.is_asset_step:
                pipes.report_asset_materialization(
                    metadata=_for_pipes(outcome.metadata), data_version=outcome.data_version
                )
    except UserError as error:
        sys.stderr.write(f"{parser.prog}: {' '.join(str(error).split())}\n")
        raise SystemExit(2) from error
    sys.stdout.write(json.dumps({"data_version": outcome.data_version, **outcome.metadata}) + "\n")
    return 0


def _measured(
    step: str, arguments: argparse.Namespace, work: Callable[[argparse.Namespace, Say], Outcome], say: Say
) -> Outcome:
    """Do the work; what it cost is written beside the tables that it worked on."""
    from em_core.run_costs import RunCost, now, read_prices, record_cost

    prices = read_prices(getattr(arguments, "prices", None))
    started, clock = now(), time.perf_counter()
    outcome = work(arguments, say)
    if outcome.store is not None:
        seconds = round(time.perf_counter() - clock, 3)
        cost = RunCost(arguments.run_id, step, started, seconds, outcome.records, outcome.ditto_pairs)
        record_cost(outcome.store, cost, prices)
    return outcome


def _for_pipes(metadata: Mapping[str, Any]) -> dict[str, Any]:
    """Metadata as Dagster Pipes takes it: a mapping needs its type said."""
    return {
        name: {"raw_value": value, "type": "json"} if isinstance(value, dict) else value
        for name, value in metadata.items()
    }
