"""The console script `train_ditto`, also the entry point of the wheel task on Databricks.

Exit codes: 0 done, 2 the user's mistake (one line on stderr), 1 a fault. Importing this module, or asking for `--help`,
loads neither torch nor pandas.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import logging
import os
import signal
import sys
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NoReturn

from pydantic import ValidationError

from em_core.ditto.settings import TrainSettings
from em_core.errors import UserError

GROUPS = {
    "model": ("base_model", "layers", "max_length", "pooling"),
    "training": (
        *("epochs", "batch_size", "learning_rate", "warmup", "weight_decay"),
        *("patience", "augment", "seed"),
    ),
    "speed": ("precision", "frozen_embeddings", "threads", "max_train_seconds"),
}


def parser() -> argparse.ArgumentParser:
    """The command line. Options of `TrainSettings` stay text here; the settings parse and check them."""
    out = argparse.ArgumentParser(
        prog="train_ditto",
        description="Train the Ditto pair classifier on labelled pairs of records and save it as a folder.",
        epilog="Prints the metrics as one JSON object. Exit codes: 0 done, 2 mistake in the input, 1 fault.",
        allow_abbrev=False,
    )
    data = out.add_argument_group("data")
    data.add_argument(
        "--training-data",
        type=Path,
        required=True,
        metavar="FILE",
        help="CSV or Parquet with left_entity, right_entity, label; or Ditto's .txt: left TAB right TAB label. Optional "
        "columns: split (train, valid, test), and left_key with right_key, the records that a split keeps apart",
    )
    data.add_argument(
        "--validation-data",
        type=Path,
        metavar="FILE",
        help="pairs that choose checkpoint and threshold (default: a part of the training data, split by record)",
    )
    data.add_argument("--test-data", type=Path, metavar="FILE", help="pairs that are scored once, at the end")
    data.add_argument(
        "--output-path",
        type=Path,
        required=True,
        metavar="FOLDER",
        help="model folder; an older model there is replaced once the new one is complete",
    )
    for title, names in GROUPS.items():
        group = out.add_argument_group(title)
        for name in names:
            field = TrainSettings.model_fields[name]
            flag = "--" + name.replace("_", "-")
            if field.annotation is bool:
                group.add_argument(flag, action="store_true", help=field.description)
            else:
                default = "" if field.default is None else f" (default: {field.default})"
                group.add_argument(flag, default=field.default, metavar="X", help=f"{field.description}{default}")
    tracking = out.add_argument_group("tracking")
    tracking.add_argument(
        "--mlflow-tracking-uri",
        metavar="URI",
        help="log parameters, metrics and model there (default: MLFLOW_TRACKING_URI, else nowhere)",
    )
    tracking.add_argument(
        "--mlflow-experiment", default="train_ditto", metavar="NAME", help="experiment (default: train_ditto)"
    )
    # Dagster appends these two to the arguments of a job that it launches.
    tracking.add_argument("--dagster-pipes-context", help=argparse.SUPPRESS)
    tracking.add_argument("--dagster-pipes-messages", help=argparse.SUPPRESS)
    return out


def main(argv: Sequence[str] | None = None) -> int:
    """Train as the arguments say (default: those of the process) and return 0.

    Raises SystemExit(2) for bad input, after one line on stderr; a fault raises as itself. So a job that calls this
    function fails just as one that runs the script.
    """
    args = parser().parse_args(argv)
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    try:
        settings = TrainSettings(**{name: getattr(args, name) for names in GROUPS.values() for name in names})
    except ValidationError as error:
        first = error.errors()[0]
        _refuse(f"--{str(first['loc'][0]).replace('_', '-')} {first['input']}: {first['msg']}")
    try:
        with _unwound_by_sigterm():
            metrics = _run(args, settings)
    except UserError as error:
        _refuse(str(error))
    sys.stdout.write(json.dumps(metrics) + "\n")
    return 0


def _run(args: argparse.Namespace, settings: TrainSettings) -> dict[str, Any]:
    """From files to a model folder. The input is checked before torch is loaded."""
    # Idle threads that sleep instead of spinning: on a busy machine training is several times faster. Read at torch's import.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    from em_core.ditto.base_model import resolve_base_model
    from em_core.ditto.data import fingerprint, load_splits
    from em_core.ditto.folder import Manifest, library_versions, save_folder, staged_folder
    from em_core.ditto.serialise import attributes_in
    from em_core.ditto.tracking import mlflow_run, pipes_session

    with pipes_session(args.dagster_pipes_context, args.dagster_pipes_messages) as pipes:
        resolve_base_model(settings.base_model)
        splits = load_splits(args.training_data, args.validation_data, args.test_data, settings.seed)
        files = {"train": args.training_data, "valid": args.validation_data, "test": args.test_data}
        data = {role: fingerprint(path) for role, path in files.items() if path is not None}
        parameters = settings.model_dump() | {f"data_{role}": digest for role, digest in data.items()}
        with mlflow_run(args.mlflow_tracking_uri, args.mlflow_experiment, parameters) as mlflow:

            def on_epoch(figures: dict[str, float]) -> None:
                pipes.epoch(figures)
                mlflow.epoch(figures)

            with staged_folder(args.output_path) as new:
                from transformers.utils import logging as transformers_logging

                from em_core.ditto.train import train

                transformers_logging.set_verbosity_error()  # its notes on unused heads of a checkpoint mislead here
                trained = train(settings, splits, on_epoch)
                manifest = Manifest(
                    attributes=attributes_in([*splits.train["left_entity"], *splits.train["right_entity"]]),
                    max_length=trained.max_length,
                    pooling=settings.pooling,
                    threshold=trained.threshold,
                    temperature=trained.temperature,
                    base_model=settings.base_model,
                    settings=settings,
                    data=data,
                    metrics=trained.metrics,
                    libraries=library_versions(),
                )
                manifest = save_folder(new, trained.classifier, trained.tokenizer, manifest)
            mlflow.done(args.output_path, manifest.metrics, manifest.digest)
            pipes.done(args.output_path, manifest.metrics, manifest.digest)
    return manifest.metrics


@contextlib.contextmanager
def _unwound_by_sigterm() -> Iterator[None]:
    """Let a cancelled job unwind (exit code 143): the half-written folder goes, MLflow and Dagster hear of the end."""
    if threading.current_thread() is not threading.main_thread():  # only there may a handler be set
        yield
        return

    def stop(*_: object) -> NoReturn:
        raise SystemExit(128 + signal.SIGTERM)

    before = signal.signal(signal.SIGTERM, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _refuse(sentence: str) -> NoReturn:
    sys.stderr.write(f"train_ditto: {' '.join(sentence.split())}\n")
    raise SystemExit(2)


if __name__ == "__main__":
    main()
