"""Fine-tuning: the encoder learns from labelled pairs, validation alone picks the checkpoint, threshold and temperature."""

from __future__ import annotations

import copy
import logging
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import torch
from scipy.special import expit
from torch import nn
from tqdm import tqdm
from tqdm.contrib.logging import logging_redirect_tqdm

from em_core.ditto.augment import augment
from em_core.ditto.calibrate import best_threshold, figures, fit_temperature, log_loss
from em_core.ditto.data import Splits
from em_core.ditto.model import PairClassifier, best_device, has_bf16, load_base_model
from em_core.ditto.predict import score
from em_core.ditto.settings import TrainSettings
from em_core.ditto.tokens import PairTokeniser

log = logging.getLogger(__name__)

MAX_GRADIENT = 1.0
SORTED_SPAN = 50  # batches whose pairs are sorted by length together


@dataclass(frozen=True)
class Trained:
    """The best checkpoint, how to read its score, and how it came about."""

    classifier: PairClassifier
    tokenizer: Any
    max_length: int
    threshold: float
    temperature: float
    metrics: dict[str, Any]


def train(
    settings: TrainSettings, splits: Splits, on_epoch: Callable[[dict[str, float]], None] | None = None
) -> Trained:
    """Fine-tune `settings.base_model` on `splits.train`.

    The epoch with the best average precision on `splits.valid` wins; F1 threshold and temperature come from there too.
    `splits.test` is scored once, at the end. `on_epoch` gets the figures of each epoch. On CPU the same seed, data, thread
    count and libraries give the same weights, unless `max_train_seconds` cuts the run. Raises `UserError` if the base
    model cannot be had.
    """
    began = time.monotonic()
    if settings.threads is not None:
        torch.set_num_threads(settings.threads)
    torch.manual_seed(settings.seed)
    rng = np.random.default_rng(settings.seed)
    classifier, tokenizer = load_base_model(settings.base_model, settings.pooling, settings.layers)
    classifier.to(best_device())
    if settings.frozen_embeddings:
        classifier.encoder.get_input_embeddings().requires_grad_(False)
    longest = min(tokenizer.model_max_length, getattr(classifier.encoder.config, "max_position_embeddings", 2**31))
    max_length = min(settings.max_length, longest)
    tokeniser = PairTokeniser(tokenizer, max_length, classifier.token_types)

    def scored(pairs: pd.DataFrame) -> tuple[np.ndarray, np.ndarray]:
        encoded = tokeniser.encode(pairs["left_entity"], pairs["right_entity"])
        return score(classifier, tokeniser, encoded), pairs["label"].to_numpy()

    history = _fit(classifier, tokeniser, splits, settings, rng, began, on_epoch)
    logits, labels = scored(splits.valid)
    temperature = fit_temperature(logits, labels)
    threshold = best_threshold(expit(logits / temperature), labels)
    metrics: dict[str, Any] = {
        "train": {"pairs": len(splits.train), "positives": int(splits.train["label"].sum())},
        "valid": figures(expit(logits / temperature), labels, threshold),
        "test": None,
        "threshold": threshold,
        "temperature": temperature,
        "split": splits.method,
        "shared_records": splits.shared_records(),
        "best_epoch": max(history, key=_merit)["epoch"],
        "history": history,
        "seconds": round(time.monotonic() - began, 1),
    }
    if splits.test is not None:
        logits, labels = scored(splits.test)
        metrics["test"] = figures(expit(logits / temperature), labels, threshold)
    return Trained(classifier, tokenizer, max_length, threshold, temperature, metrics)


def _fit(
    classifier: PairClassifier,
    tokeniser: PairTokeniser,
    splits: Splits,
    settings: TrainSettings,
    rng: np.random.Generator,
    began: float,
    on_epoch: Callable[[dict[str, float]], None] | None,
) -> list[dict[str, float]]:
    """Train in place and leave the weights of the best epoch in `classifier`; the figures of every epoch."""
    learner = _Learner(classifier, settings)
    left, right = splits.train["left_entity"].tolist(), splits.train["right_entity"].tolist()
    label = splits.train["label"].to_numpy(dtype=np.float32)
    valid = tokeniser.encode(splits.valid["left_entity"], splits.valid["right_entity"])
    total = settings.epochs * -(-len(label) // settings.batch_size)
    history: list[dict[str, float]] = []
    best: dict[str, torch.Tensor] = {}
    step, progress, best_epoch = 0, 0.0, 0
    bar = tqdm(total=total, desc="training", unit="batch", mininterval=0.5 if sys.stderr.isatty() else 10)
    with bar, logging_redirect_tqdm():
        for epoch in range(1, settings.epochs + 1):
            pairs = tokeniser.encode(*augment(left, right, settings.augment, rng))
            losses: list[float] = []
            for rows in _batches(tokeniser.lengths(pairs), settings.batch_size, rng):
                progress = max(step / total, (time.monotonic() - began) / (settings.max_train_seconds or np.inf))
                if progress >= 1 and losses:
                    break
                losses.append(learner.step(tokeniser.batch(pairs, rows), label[rows], progress))
                step += 1
                bar.update()
                bar.set_postfix(epoch=epoch, loss=f"{np.mean(losses[-20:]):.4f}", refresh=False)
            logits = score(classifier, tokeniser, valid)
            history.append(_epoch_figures(epoch, losses, logits, splits.valid["label"].to_numpy(), began))
            log.info("epoch %(epoch)d: loss %(train_loss).4f, validation AP %(valid_average_precision).4f", history[-1])
            if on_epoch is not None:
                on_epoch(history[-1])
            if history[-1] is max(history, key=_merit):
                best, best_epoch = copy.deepcopy(classifier.state_dict()), epoch
            if progress >= 1 or epoch - best_epoch >= settings.patience:
                log.info("stopped early, %s", "out of time" if progress >= 1 else "validation got no better")
                break
    classifier.load_state_dict(best)
    return history


class _Learner:
    """One optimisation step at a time: AdamW, linear warm-up and decay, clipped gradients, bfloat16 where it pays."""

    def __init__(self, classifier: PairClassifier, settings: TrainSettings) -> None:
        self.classifier = classifier
        self.settings = settings
        self.device = next(classifier.parameters()).device
        self.bf16 = settings.precision == "bf16" or (settings.precision == "auto" and has_bf16(self.device))
        trained = [p for p in classifier.parameters() if p.requires_grad]
        groups = [
            {"params": [p for p in trained if p.ndim > 1], "weight_decay": settings.weight_decay},
            {"params": [p for p in trained if p.ndim < 2], "weight_decay": 0.0},  # biases and norms
        ]
        self.optimiser = torch.optim.AdamW(groups, lr=settings.learning_rate, fused=True)

    def step(self, batch: Mapping[str, torch.Tensor], label: np.ndarray, progress: float) -> float:
        """Learn from one batch at `progress` (0 to 1) of the run; its mean loss in nats."""
        for group in self.optimiser.param_groups:
            group["lr"] = self.settings.learning_rate * _rate(progress, self.settings.warmup)
        self.classifier.train()
        with torch.autocast(self.device.type, dtype=torch.bfloat16, enabled=self.bf16):
            logits = self.classifier(**{name: ids.to(self.device) for name, ids in batch.items()})
        loss = nn.functional.binary_cross_entropy_with_logits(logits, torch.from_numpy(label).to(self.device))
        loss.backward()
        nn.utils.clip_grad_norm_(self.classifier.parameters(), MAX_GRADIENT)
        self.optimiser.step()
        self.optimiser.zero_grad(set_to_none=True)
        return loss.item()


def _epoch_figures(
    epoch: int, losses: list[float], logits: np.ndarray, labels: np.ndarray, began: float
) -> dict[str, float]:
    probabilities = expit(logits)
    judged = figures(probabilities, labels, best_threshold(probabilities, labels))
    return {
        "epoch": epoch,
        "train_loss": float(np.mean(losses)),
        "valid_loss": log_loss(logits, labels),
        "valid_average_precision": judged["average_precision"],
        "valid_f1": judged["f1"],
        "seconds": round(time.monotonic() - began, 1),
    }


def _merit(epoch: dict[str, float]) -> tuple[float, float]:
    """Average precision first; where that is level, as on a solved validation set, the lower loss."""
    return round(epoch["valid_average_precision"], 5), -epoch["valid_loss"]


def _rate(progress: float, warmup: float) -> float:
    """Share of the peak learning rate at `progress` (0 to 1) of the run: linear rise, then linear fall to zero."""
    if progress < warmup:
        return (progress + 1e-3) / (warmup + 1e-3)
    return max(0.0, (1 - progress) / (1 - warmup))


def _batches(lengths: np.ndarray, size: int, rng: np.random.Generator) -> Iterator[np.ndarray]:
    """Random batches of pairs of like length: shuffle, sort within long spans, shuffle the batches."""
    shuffled = rng.permutation(len(lengths))
    spans = np.split(shuffled, range(size * SORTED_SPAN, len(shuffled), size * SORTED_SPAN))
    batches = [
        span[start : start + size]
        for span in (part[np.argsort(lengths[part], kind="stable")] for part in spans)
        for start in range(0, len(span), size)
    ]
    return (batches[i] for i in rng.permutation(len(batches)))
