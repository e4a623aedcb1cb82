"""Fine-tuning: the encoder learns from labelled pairs, validation alone picks the epoch, threshold and temperature."""

from __future__ import annotations

import copy
import logging
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import torch
from scipy.special import expit
from tqdm import tqdm
from tqdm.contrib.logging import logging_redirect_tqdm

from em_core.ditto.calibrate import best_threshold, curve, figures, fit_temperature, log_loss
from em_core.ditto.checkpoint import Checkpoint
from em_core.ditto.data import Splits
from em_core.ditto.learner import Learner
from em_core.ditto.lessons import Lessons, Reader
from em_core.ditto.model import PairClassifier, load_base_model
from em_core.ditto.parallel import Processes, processes
from em_core.ditto.prepare import Preparation
from em_core.ditto.scoring import score
from em_core.ditto.settings import TrainSettings
from em_core.ditto.tokens import PairTokeniser

log = logging.getLogger(__name__)

Figures = dict[str, float]


@dataclass(frozen=True)
class Trained:
    """The best epoch's classifier, how to prepare its input and to read its score, and how it came about.

    `logits` are its logits on the held-out pairs, by part (`valid`, `test`).
    """

    classifier: PairClassifier
    tokenizer: Any
    preparation: Preparation
    max_length: int
    threshold: float
    temperature: float
    metrics: dict[str, Any]
    logits: dict[str, np.ndarray]


def train(
    settings: TrainSettings,
    splits: Splits,
    on_epoch: Callable[[Figures], None] | None = None,
    checkpoint: Checkpoint | None = None,
) -> Trained:
    """Fine-tune `settings.base_model` on `splits.train`.

    The epoch that is best at `settings.select_by` on `splits.valid` wins; F1 threshold and temperature come from there
    too. `splits.test` is scored once, at the end. `on_epoch` gets the figures of each epoch. With `checkpoint`, a run that
    was cut goes on after its last whole epoch, tells `on_epoch` of the earlier ones too, and ends with the weights that
    it would have had; the file stays for the caller to remove.

    On CPU the same seed, data, thread count and libraries give the same weights, unless `max_train_seconds` cuts the run.
    Started by `torchrun` or `accelerate launch`, the processes train one model; the main one validates and logs. Raises
    `UserError` if the base model cannot be had, or if the checkpoint is of another run.
    """
    began = time.monotonic()
    if settings.threads is not None:
        torch.set_num_threads(settings.threads)
    torch.manual_seed(settings.seed)
    held_out = {"valid": splits.valid} | ({} if splits.test is None else {"test": splits.test})
    labels = {name: pairs["label"].to_numpy() for name, pairs in held_out.items()}
    with processes() as group:
        classifier, tokenizer, max_length = _load(settings, group)
        texts = [*splits.train["left_entity"], *splits.train["right_entity"]]
        preparation = Preparation.fit(settings.model_copy(update={"max_length": max_length}), texts, tokenizer)
        reader = Reader(preparation, PairTokeniser(tokenizer, max_length, classifier.token_types))
        encoded = {
            name: reader.encode(pairs["left_entity"].tolist(), pairs["right_entity"].tolist())
            for name, pairs in held_out.items()
        }

        def scored(model: PairClassifier, name: str) -> np.ndarray:
            """The main process's logits, in every process."""
            logits = np.empty(0)
            if group.is_main:
                logits = score(model, reader.tokeniser, encoded[name], settings.symmetric)
            return group.from_main(logits)

        run = _Run(settings, labels["valid"], group, on_epoch or _tell_nobody, checkpoint, began)
        learner = Learner(classifier, settings, _positive_weight(settings, splits.train["label"]), group)
        lessons = Lessons(splits.train, reader, settings, group)
        history = _fit(run, learner, lessons, lambda: scored(learner.judged, "valid"))
        logits = {name: scored(classifier, name) for name in held_out}
    temperature = fit_temperature(logits["valid"], labels["valid"])
    probabilities = {name: (expit(logits[name] / temperature), labels[name]) for name in held_out}
    threshold = best_threshold(*probabilities["valid"])
    metrics: dict[str, Any] = {
        "train": {"pairs": len(splits.train), "positives": int(splits.train["label"].sum())},
        "valid": None,
        "test": None,
        **{part: figures(*known, threshold) for part, known in probabilities.items()},
        "threshold": threshold,
        "temperature": temperature,
        "split": splits.method,
        "shared_records": splits.shared_records(),
        "best_epoch": run.best(history)["epoch"],
        "history": history,
        "curves": {part: curve(*known) for part, known in probabilities.items()},
        "device": group.device.type,
        "processes": group.count,
        "seconds": round(time.monotonic() - began, 1),
    }
    return Trained(classifier, tokenizer, preparation, max_length, threshold, temperature, metrics, logits)


def _load(settings: TrainSettings, group: Processes) -> tuple[PairClassifier, Any, int]:
    """(classifier, tokenizer, tokens of a pair), the same in every process."""
    classifier, tokenizer = load_base_model(settings.base_model, settings.pooling, settings.layers)
    group.same_weights(classifier.to(group.device))
    if settings.frozen_embeddings:
        classifier.encoder.get_input_embeddings().requires_grad_(False)
    longest = min(tokenizer.model_max_length, getattr(classifier.encoder.config, "max_position_embeddings", 2**31))
    return classifier, tokenizer, min(settings.max_length, longest)


@dataclass(frozen=True)
class _Run:
    """What the epochs of one run have in common; `began` is the start on the monotonic clock, in seconds."""

    settings: TrainSettings
    labels: np.ndarray
    group: Processes
    tell: Callable[[Figures], None]
    checkpoint: Checkpoint | None
    began: float

    def best(self, history: list[Figures]) -> Figures:
        """The best epoch; where two are level, as on a solved validation set, that with the lower loss."""
        quality = f"valid_{self.settings.select_by}"
        return max(history, key=lambda epoch: (round(epoch[quality], 5), -epoch["valid_loss"]))

    def end(self, history: list[Figures]) -> str | None:
        """Why no epoch follows, None if one does."""
        if not history:
            return None
        if history[-1]["seconds"] >= (self.settings.max_train_seconds or np.inf):
            return "out of time"
        if len(history) - self.best(history)["epoch"] >= self.settings.patience:
            return "validation got no better"
        return "all epochs done" if len(history) >= self.settings.epochs else None


def _fit(run: _Run, learner: Learner, lessons: Lessons, validate: Callable[[], np.ndarray]) -> list[Figures]:
    """Train in place and leave the weights of the best epoch in the classifier; the figures of every epoch.

    `validate` gives the logits of the validation pairs.
    """
    history: list[Figures] = []
    best: dict[str, torch.Tensor] = {}
    saved = None if run.checkpoint is None else run.checkpoint.load()
    if saved is not None:
        learner.load_state_dict(saved["learner"])
        history, best = saved["history"], saved["best"]
        log.info("going on after epoch %d", len(history))
        for epoch in history:
            run.tell(epoch)
    began = run.began - (history[-1]["seconds"] if history else 0.0)
    bar = tqdm(
        total=lessons.steps * run.settings.epochs,
        initial=lessons.steps * len(history),
        desc="training",
        unit="step",
        mininterval=0.5 if sys.stderr.isatty() else 10,
        disable=not run.group.is_main,
    )
    with bar, logging_redirect_tqdm():
        while (reason := run.end(history)) is None:
            number = len(history) + 1
            loss = _train_epoch(run, learner, lessons, number, began, bar)
            entry = _epoch_figures(number, loss, validate(), run.labels, time.monotonic() - began)
            history.append(run.group.from_main(entry))
            log.info("epoch %(epoch)d: loss %(train_loss).4f, validation AP %(valid_average_precision).4f", history[-1])
            if run.best(history) is history[-1]:
                best = copy.deepcopy(learner.judged.state_dict())
            if run.checkpoint is not None and run.group.is_main:
                run.checkpoint.save({"learner": learner.state_dict(), "best": best, "history": history})
            run.tell(history[-1])
    log.info("training ended: %s", reason)
    learner.classifier.load_state_dict(best)
    run.group.same_weights(learner.classifier)
    return history


def _train_epoch(run: _Run, learner: Learner, lessons: Lessons, number: int, began: float, bar: tqdm) -> float:
    """One pass over the training pairs, or less where the time is up; the mean loss in nats."""
    # Seeded for itself, so that a run that goes on here is the same; dropout differs between processes.
    seeds = np.random.SeedSequence([run.settings.seed, number, run.group.rank])
    torch.manual_seed(int(seeds.generate_state(1)[0]))
    losses: list[float] = []
    for step in lessons.epoch(number):
        share = ((number - 1) * lessons.steps + len(losses)) / (lessons.steps * run.settings.epochs)
        if run.settings.max_train_seconds is not None:
            elapsed = run.group.from_main(time.monotonic() - began)
            share = max(share, elapsed / run.settings.max_train_seconds)
            if share >= 1 and losses:
                break
        losses.append(learner.step(step, share))
        bar.update()
        bar.set_postfix(epoch=number, loss=f"{np.mean(losses[-20:]):.4f}", refresh=False)
    return float(np.mean(losses))


def _epoch_figures(number: int, loss: float, logits: np.ndarray, labels: np.ndarray, seconds: float) -> Figures:
    probabilities = expit(logits)
    judged = figures(probabilities, labels, best_threshold(probabilities, labels))
    return {
        "epoch": number,
        "train_loss": loss,
        "valid_loss": log_loss(logits, labels),
        "valid_average_precision": judged["average_precision"],
        "valid_f1": judged["f1"],
        "seconds": round(seconds, 2),
    }


def _positive_weight(settings: TrainSettings, labels: pd.Series) -> float:
    if settings.positive_weight == "auto":
        return float((labels == 0).sum() / (labels == 1).sum())
    return 1.0 if settings.positive_weight is None else settings.positive_weight


def _tell_nobody(_: Figures) -> None:
    """The `on_epoch` of a run without a listener."""
