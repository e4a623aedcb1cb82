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
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NoReturn, get_args, get_origin

from pydantic import ValidationError
from pydantic.fields import FieldInfo

from em_core.ditto.launch import is_main_process
from em_core.ditto.settings import TrainSettings
from em_core.errors import UserError
from em_core.pipes import add_pipes_arguments

if TYPE_CHECKING:
    from em_core.ditto.checkpoint import Checkpoint
    from em_core.ditto.combine import Combined
    from em_core.ditto.data import Splits
    from em_core.ditto.manifest import Manifest
    from em_core.ditto.train import Trained

GROUPS = {
    "model": ("base_model", "layers", "max_length", "pooling"),
    "parts": ("encoder_only", "encoder_share", "symmetric"),
    "text": ("knowledge", "summarise", "markers"),
    "training": (
        *("epochs", "batch_size", "accumulate", "learning_rate", "warmup", "weight_decay", "select_by", "patience"),
        *("positive_weight", "r_drop", "ema", "seed"),
    ),
    "augmentation": ("augment", "augment_operators", "mixda", "mixda_alpha"),
    "speed": ("runtime", "precision", "frozen_embeddings", "threads", "max_train_seconds"),
}
DATA = ("training_data", "validation_data", "test_data", "output_path")
PATHS = (*DATA, "checkpoint_path")
TRACKING = ("mlflow_tracking_uri", "mlflow_experiment")
REQUIRED = ("training_data", "output_path")
SETTINGS = tuple(name for names in GROUPS.values() for name in names)


def parser() -> argparse.ArgumentParser:
    """The command line. Options of `TrainSettings` stay text here; the settings parse and check them."""
    out = argparse.ArgumentParser(
        prog="train_ditto",
        usage="train_ditto --training-data FILE --output-path FOLDER [options]\n       train_ditto --config FILE [options]",
        description="Train a matcher on labelled pairs of records, a transformer (Ditto) and a similarity model, and save it as a folder.",
        epilog="Prints the metrics as one JSON object. Exit codes: 0 done, 2 mistake in the input, 1 fault. On several GPUs: "
        "torchrun --nproc-per-node N -m em_core.ditto.entry_point OPTIONS (or accelerate launch -m ...).",
        allow_abbrev=False,
    )
    data = out.add_argument_group("data")
    data.add_argument(
        "--training-data",
        metavar="FILE",
        help="CSV or Parquet with left_entity, right_entity, label; or Ditto's .txt: left TAB right TAB label. Optional "
        "columns: split (train, valid, test), and left_key with right_key, the records that a split keeps apart",
    )
    data.add_argument(
        "--validation-data",
        metavar="FILE",
        help="pairs that choose epoch and threshold (default: a part of the training data, split by record)",
    )
    data.add_argument("--test-data", metavar="FILE", help="pairs that are scored once, at the end")
    data.add_argument(
        "--output-path",
        metavar="FOLDER",
        help="model folder; an older model there is replaced once the new one is complete",
    )
    data.add_argument(
        "--config",
        metavar="FILE",
        help="options as YAML, such as batch_size: 32; the command line wins. Every run writes its own as config.yaml into "
        "the model folder",
    )
    data.add_argument(
        "--checkpoint-path",
        metavar="FOLDER",
        help="save the run there after each epoch (about five times the model's size); the same command goes on from "
        "there and ends with the same weights. Removed in the end",
    )
    for title, names in GROUPS.items():
        group = out.add_argument_group(title)
        for name in names:
            _add_setting(group, name, TrainSettings.model_fields[name])
    tracking = out.add_argument_group("tracking")
    tracking.add_argument(
        "--mlflow-tracking-uri",
        metavar="URI",
        help="log parameters, metrics and model there (default: MLFLOW_TRACKING_URI, else nowhere)",
    )
    tracking.add_argument(
        "--mlflow-experiment", default="train_ditto", metavar="NAME", help="experiment (default: train_ditto)"
    )
    add_pipes_arguments(tracking)
    return out


def _add_setting(group: argparse._ArgumentGroup, name: str, field: FieldInfo) -> None:
    flag, about = "--" + name.replace("_", "-"), field.description
    if field.annotation is bool:
        group.add_argument(flag, action=argparse.BooleanOptionalAction, default=field.default, help=about)
        return
    choices = get_args(field.annotation) if get_origin(field.annotation) is Literal else None
    default = ", ".join(field.default) if isinstance(field.default, tuple) else field.default
    shown = "" if default is None else f" (default: {default})"
    metavar = "{" + ",".join(choices) + "}" if choices else "X"
    group.add_argument(flag, default=default, metavar=metavar, help=f"{about}{shown}")


def main(argv: Sequence[str] | None = None) -> int:
    """Train as the arguments say (default: those of the process) and return 0.

    Raises SystemExit(2) for bad input, after one line on stderr; a fault raises as itself. So a job that calls this
    function fails just as one that runs the script. Of several processes of one run only the main one says anything.
    """
    logging.basicConfig(level=logging.INFO if is_main_process() else logging.ERROR, format="%(message)s")
    try:
        args, settings = _options(argv)
        with _unwound_by_sigterm():
            metrics = _run(args, settings)
    except UserError as error:
        if is_main_process():
            sys.stderr.write(f"train_ditto: {' '.join(str(error).split())}\n")
        raise SystemExit(2) from error
    if metrics is not None:
        sys.stdout.write(json.dumps(metrics) + "\n")
    return 0


def _options(argv: Sequence[str] | None) -> tuple[argparse.Namespace, TrainSettings]:
    """The options: the command line, then the config file, then the defaults."""
    reader = parser()
    args = reader.parse_args(argv)
    given: dict[str, Any] = {}
    if args.config is not None:
        from em_core.ditto.config import read_config

        given = read_config(Path(args.config), (*PATHS, *SETTINGS, *TRACKING))
        args = reader.parse_args(argv, argparse.Namespace(**given))
    values = vars(args)

    def origin(name: str) -> str:
        """How the user named the option that has this value."""
        return f"{args.config}: {name}" if values[name] is given.get(name, ...) else f"--{name.replace('_', '-')}"

    for name in REQUIRED:
        if values[name] is None:
            raise UserError(f"--{name.replace('_', '-')} is missing; see --help")
    for name in (*PATHS, *TRACKING):
        if values[name] is not None and (not isinstance(values[name], str) or not values[name].strip()):
            raise UserError(f"{origin(name)} {values[name]!r}: is no text")
    args = argparse.Namespace(**values | {name: Path(values[name]) for name in PATHS if values[name] is not None})
    try:
        return args, TrainSettings(**{name: values[name] for name in SETTINGS})
    except ValidationError as error:
        first = error.errors()[0]
        name = str(first["loc"][0])
        raise UserError(f"{origin(name)} {values[name]}: {first['msg']}") from error


def _run(args: argparse.Namespace, settings: TrainSettings) -> dict[str, Any] | None:
    """From files to a model folder; the metrics, or None in a further process of the run, which only helps to train.

    The input is checked before torch is loaded.
    """
    # Idle threads that sleep instead of spinning: on a busy machine training is several times faster. Read at torch's import.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    from em_core.ditto.base_model import resolve_base_model
    from em_core.ditto.data import fingerprint, load_splits
    from em_core.ditto.folder import staged_folder
    from em_core.ditto.tracking import mlflow_run, pipes_session

    if not is_main_process():
        data = {role: fingerprint(path) for role, path in _files(args).items()}
        splits = load_splits(args.training_data, args.validation_data, args.test_data, settings.seed)
        _train(settings, splits, None, _checkpoint(args, settings, data))
        return None
    with pipes_session(args.dagster_pipes_context, args.dagster_pipes_messages) as pipes:
        resolve_base_model(settings.base_model)
        splits = load_splits(args.training_data, args.validation_data, args.test_data, settings.seed)
        data = {role: fingerprint(path) for role, path in _files(args).items()}
        checkpoint = _checkpoint(args, settings, data)
        parameters = settings.model_dump() | {f"data_{role}": digest for role, digest in data.items()}
        with mlflow_run(args.mlflow_tracking_uri, args.mlflow_experiment, parameters) as mlflow:

            def on_epoch(figures: dict[str, float]) -> None:
                pipes.epoch(figures)
                mlflow.epoch(figures)

            with staged_folder(args.output_path) as new:
                trained = _train(settings, splits, on_epoch, checkpoint)
                combined = None if settings.encoder_only else _combine(settings, splits, trained)
                manifest = _save(new, trained, combined, args, settings, splits, data)
            if checkpoint is not None:
                checkpoint.remove()
            mlflow.done(args.output_path, manifest.metrics, manifest.digest)
            pipes.done(args.output_path, manifest.metrics, manifest.digest)
    return manifest.metrics


def _files(args: argparse.Namespace) -> dict[str, Path]:
    """The files of pairs by their role."""
    files = {"train": args.training_data, "valid": args.validation_data, "test": args.test_data}
    return {role: path for role, path in files.items() if path is not None}


def _checkpoint(args: argparse.Namespace, settings: TrainSettings, data: dict[str, str]) -> Checkpoint | None:
    from em_core.ditto.checkpoint import Checkpoint

    folder = args.checkpoint_path
    if folder is None:
        return None
    if folder.resolve().is_relative_to(args.output_path.resolve()):
        raise UserError(f"--checkpoint-path {folder}: lies in --output-path, which is replaced in the end")
    digests = {f"the SHA-256 of the {role} file": digest for role, digest in data.items()}
    return Checkpoint(folder, settings.model_dump(mode="json") | digests)


def _train(
    settings: TrainSettings,
    splits: Splits,
    on_epoch: Callable[[dict[str, float]], None] | None,
    checkpoint: Checkpoint | None,
) -> Trained:
    from transformers.utils import logging as transformers_logging

    from em_core.ditto.train import train

    transformers_logging.set_verbosity_error()  # its notes on unused heads of a checkpoint mislead here
    return train(settings, splits, on_epoch, checkpoint)


def _combine(settings: TrainSettings, splits: Splits, trained: Trained) -> Combined:
    from em_core.ditto.combine import combine

    return combine(settings, splits, trained.logits, trained.temperature, trained.metrics)


def _save(
    folder: Path,
    trained: Trained,
    combined: Combined | None,
    args: argparse.Namespace,
    settings: TrainSettings,
    splits: Splits,
    data: dict[str, str],
) -> Manifest:
    """Write the model into `folder`; its manifest."""
    import torch

    from em_core.ditto.config import write_config
    from em_core.ditto.export import export_runtimes
    from em_core.ditto.folder import library_versions, save_folder
    from em_core.ditto.manifest import Manifest
    from em_core.ditto.serialise import attributes_in

    paths = {name: str(path.absolute()) for name in DATA if (path := getattr(args, name)) is not None}
    base_model = Path(settings.base_model)
    absolute = {"base_model": str(base_model.absolute())} if base_model.is_dir() else {}
    write_config(folder, paths | settings.model_dump(mode="json") | absolute)
    trained.preparation.save(folder)
    if combined is not None:
        combined.similarity.save(folder)
    best = trained if combined is None else combined
    manifest = Manifest(
        attributes=attributes_in([*splits.train["left_entity"], *splits.train["right_entity"]]),
        max_length=trained.max_length,
        pooling=settings.pooling,
        threshold=best.threshold,
        temperature=trained.temperature,
        encoder_threshold=trained.threshold,
        blend=None if combined is None else combined.blend,
        base_model=settings.base_model,
        settings=settings,
        data=data,
        metrics=best.metrics,
        libraries=library_versions(),
    )
    manifest = save_folder(folder, trained.classifier, trained.tokenizer, manifest)
    if settings.runtime == "auto" and not torch.cuda.is_available():
        export_runtimes(folder, splits.train, splits.valid)
    return manifest


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


if __name__ == "__main__":
    main()
