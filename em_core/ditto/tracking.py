"""Where a run reports to besides its own output: MLflow and Dagster Pipes, each only if the run was started under it."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from em_core.pipes import pipes_context
from em_core.storage.registry import ModelRegistry, TrackedRun


class Tracker:
    """Takes the news of one training run; this one keeps it to itself."""

    def epoch(self, figures: Mapping[str, float]) -> None:
        """The figures of one epoch, `epoch` (1, 2, ...) among them."""

    def done(self, folder: Path, metrics: Mapping[str, Any], digest: str) -> None:
        """The model stands in `folder`; `digest` is the SHA-256 of its weights."""


class MlflowTracker(Tracker):
    """Logs to an MLflow run: metrics of each epoch, final metrics, the model folder as artifact `ditto`."""

    def __init__(self, run: TrackedRun) -> None:
        self.run = run

    def epoch(self, figures: Mapping[str, float]) -> None:
        self.run.log_metrics({k: v for k, v in figures.items() if k != "epoch"}, step=int(figures["epoch"]))

    def done(self, folder: Path, metrics: Mapping[str, Any], digest: str) -> None:
        self.run.log_metrics(headline(metrics))
        self.run.set_tags({"digest": digest})
        self.run.log_artifacts(folder, "ditto")


class PipesTracker(Tracker):
    """Tells Dagster about each epoch and reports the materialization of the asset that launched the run."""

    def __init__(self, pipes: Any) -> None:
        self.pipes = pipes

    def epoch(self, figures: Mapping[str, float]) -> None:
        self.pipes.log.info(", ".join(f"{name} {value:.4g}" for name, value in figures.items()))

    def done(self, folder: Path, metrics: Mapping[str, Any], digest: str) -> None:
        if self.pipes.is_asset_step:
            metadata = {**headline(metrics), "split": metrics["split"], "path": str(folder)}
            self.pipes.report_asset_materialization(metadata=metadata, data_version=digest)


def headline(metrics: Mapping[str, Any]) -> dict[str, float]:
    """The numbers of `metrics.json` as one flat table: `valid_f1`, `test_average_precision`, `threshold` ..."""
    flat = {k: v for k, v in metrics.items() if isinstance(v, int | float)}
    for part in ("train", "valid", "test"):
        flat |= {f"{part}_{name}": value for name, value in (metrics[part] or {}).items()}
    return flat


@contextlib.contextmanager
def mlflow_run(uri: str | None, experiment: str, parameters: Mapping[str, Any]) -> Iterator[Tracker]:
    """An MLflow run around the block, if a tracking URI is given here or by MLFLOW_TRACKING_URI; it fails with the block."""
    uri = uri or os.environ.get("MLFLOW_TRACKING_URI")
    if not uri:
        yield Tracker()
        return
    with ModelRegistry(uri, experiment).start_run("train_ditto") as run:
        run.log_params(dict(parameters))
        yield MlflowTracker(run)


@contextlib.contextmanager
def pipes_session(context: str | None, messages: str | None) -> Iterator[Tracker]:
    """A Dagster Pipes session around the block, if the process was launched by Dagster (see `em_core.pipes`)."""
    with pipes_context(context, messages) as pipes:
        yield Tracker() if pipes is None else PipesTracker(pipes)
