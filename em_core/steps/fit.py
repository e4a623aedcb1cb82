"""The step `em_fit_matcher`: scorer and thresholds are fitted, and the matcher is registered as `challenger`."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from em_core.steps.step import (
    Outcome,
    Say,
    add_registry_arguments,
    add_store_arguments,
    optional_path,
    registry_of,
    run_step,
)

if TYPE_CHECKING:
    from em_core.run_costs import RunCost


def parser() -> argparse.ArgumentParser:
    """The command line."""
    out = argparse.ArgumentParser(prog="em_fit_matcher", description=__doc__, allow_abbrev=False)
    add_store_arguments(out)
    add_registry_arguments(out)
    add = out.add_argument
    add("--index", type=Path, required=True, metavar="FOLDER", help="index folder that em_build_index wrote")
    add(
        "--ditto",
        type=optional_path,
        metavar="FOLDER",
        help="model folder that train_ditto wrote; without it the matcher has no transformer",
    )
    add("--output-path", type=Path, required=True, metavar="FOLDER", help="matcher folder")
    add("--config", type=optional_path, metavar="FILE", help="YAML file with settings; see docs/operations.md")
    return out


def main(argv: Sequence[str] | None = None) -> int:
    """Fit, register and return 0."""
    return run_step(parser(), _work, argv)


def _work(arguments: argparse.Namespace, say: Say) -> Outcome:
    from em_core.deploy import register_matcher
    from em_core.fit import fit_matcher
    from em_core.retrieval.index import CandidateIndex
    from em_core.run_costs import read_prices, record_cost
    from em_core.settings import load_settings
    from em_core.storage.names import QUERY_TABLE
    from em_core.storage.places import open_store

    settings, store, registry = load_settings(arguments.config), open_store(arguments.tables), registry_of(arguments)
    queries = store.read(QUERY_TABLE)
    say(f"fitting on {len(queries):,} records with known answers")
    fitted = fit_matcher(
        CandidateIndex.load(arguments.index, whole=True), queries, arguments.ditto, arguments.output_path, settings
    )
    if arguments.ditto is not None:
        record_cost(store, _training_cost(arguments.ditto), read_prices(arguments.prices))
    version = register_matcher(registry, arguments.output_path, fitted, settings, {"run_id": arguments.run_id})
    say(f"matcher {fitted.version} is version {version.version} of {version.name}, the challenger")
    report = fitted.report
    told = {
        "matcher_version": fitted.version,
        "registered_version": version.version,
        "top_1": report["top_1"],
        "recall_at_p99": report["recall_at_p99"],
        "candidate_recall": report["candidate_recall"],
        "promise": report["thresholds"],
    }
    return Outcome(fitted.version, told, store, len(queries))


def _training_cost(ditto: Path) -> RunCost:
    """What `train_ditto` measured, one row for each model: the GPU's machine has no access to the tables."""
    from em_core.ditto.folder import METRICS, read_manifest
    from em_core.run_costs import RunCost

    manifest, metrics = read_manifest(ditto), ditto / METRICS
    seconds = float(manifest.metrics["seconds"])
    started = datetime.fromtimestamp(metrics.stat().st_mtime - seconds, UTC)
    pairs = int(manifest.metrics["train"]["pairs"])
    return RunCost(f"model {manifest.digest[:12]}", "train_ditto", started, seconds, pairs)


if __name__ == "__main__":
    raise SystemExit(main())
