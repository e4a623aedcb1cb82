"""One optimisation step: loss, precision, accumulated and clipped gradients, AdamW, averaged weights."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from em_core.ditto.lessons import Step
from em_core.ditto.model import PairClassifier, has_bf16
from em_core.ditto.parallel import Processes
from em_core.ditto.settings import TrainSettings

MAX_GRADIENT = 1.0


class Learner:
    """Trains `classifier` in place, as `settings` say.

    `positive_weight` is the weight of a match in the loss.
    """

    def __init__(
        self, classifier: PairClassifier, settings: TrainSettings, positive_weight: float, group: Processes
    ) -> None:
        self.classifier = classifier
        self.settings = settings
        self.group = group
        self.positive_weight = torch.tensor(positive_weight, device=group.device)
        self.half = _half(settings.precision, group.device)
        self.parameters = [p for p in classifier.parameters() if p.requires_grad]
        groups = [
            {"params": [p for p in self.parameters if p.ndim > 1], "weight_decay": settings.weight_decay},
            {"params": [p for p in self.parameters if p.ndim < 2], "weight_decay": 0.0},  # biases and norms
        ]
        self.optimiser = torch.optim.AdamW(groups, lr=settings.learning_rate, fused=True)
        # Small gradients would be zero in float16; bfloat16 has the range of float32.
        self.scaler = torch.amp.GradScaler(group.device.type, enabled=self.half is torch.float16)
        self.averaged: AveragedModel | None = None
        if settings.ema is not None:
            self.averaged = AveragedModel(classifier, multi_avg_fn=get_ema_multi_avg_fn(settings.ema))

    @property
    def judged(self) -> PairClassifier:
        """The classifier to validate and to keep: the averaged weights, if there are any."""
        return self.classifier if self.averaged is None else cast(PairClassifier, self.averaged.module)

    def step(self, step: Step, progress: float) -> float:
        """Learn from one step at `progress` (0 to 1) of the run; the mean loss of all its pairs in nats."""
        for group in self.optimiser.param_groups:
            group["lr"] = self.settings.learning_rate * learning_rate_share(progress, self.settings.warmup)
        self.classifier.train()
        total = 0.0
        for inputs, labels in step.batches:
            loss = self._loss(inputs, torch.from_numpy(labels).to(self.group.device), step.mix) / step.pairs
            self.scaler.scale(loss).backward()
            total += loss.item()
        self.group.sum_gradients(self.parameters)
        self.scaler.unscale_(self.optimiser)
        nn.utils.clip_grad_norm_(self.parameters, MAX_GRADIENT)
        self.scaler.step(self.optimiser)
        self.scaler.update()
        self.optimiser.zero_grad(set_to_none=True)
        if self.averaged is not None:
            self.averaged.update_parameters(self.classifier)
        return self.group.sum(total)

    def _loss(self, inputs: Mapping[str, Tensor], labels: Tensor, mix: float | None) -> Tensor:
        """Sum over the pairs: cross entropy and, with R-Drop, how far two passes with other dropout lie apart."""
        logits = self._logits(inputs, mix)
        loss = self._cross_entropy(logits, labels)
        if self.settings.r_drop > 0:
            again = self._logits(inputs, mix)
            loss = (loss + self._cross_entropy(again, labels)) / 2 + self.settings.r_drop * divergence(logits, again)
        return loss

    def _logits(self, inputs: Mapping[str, Tensor], mix: float | None) -> Tensor:
        device = self.group.device
        with torch.autocast(device.type, dtype=self.half, enabled=self.half is not None):
            vectors = self.classifier.represent(**{name: ids.to(device) for name, ids in inputs.items()})
        if mix is not None:
            original, altered = vectors.chunk(2)
            vectors = mix * original + (1 - mix) * altered
        return self.classifier.judge(vectors)

    def _cross_entropy(self, logits: Tensor, labels: Tensor) -> Tensor:
        return nn.functional.binary_cross_entropy_with_logits(
            logits, labels, pos_weight=self.positive_weight, reduction="sum"
        )

    def state_dict(self) -> dict[str, Any]:
        """Everything that the next step depends on."""
        return {
            "classifier": self.classifier.state_dict(),
            "optimiser": self.optimiser.state_dict(),
            "scaler": self.scaler.state_dict(),
            "averaged": None if self.averaged is None else self.averaged.state_dict(),
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue from what `state_dict` gave under the same settings."""
        self.classifier.load_state_dict(state["classifier"])
        self.optimiser.load_state_dict(state["optimiser"])
        self.scaler.load_state_dict(state["scaler"])
        if self.averaged is not None:
            self.averaged.load_state_dict(state["averaged"])


def divergence(one: Tensor, other: Tensor) -> Tensor:
    """Mean of the two Kullback-Leibler divergences of the answers, summed over the pairs (R-Drop, Liang et al., 2021).

    For two answers, the sum of both directions is the difference of the probabilities times that of the logits.
    """
    return ((one.sigmoid() - other.sigmoid()) * (one - other)).sum() / 2


def learning_rate_share(progress: float, warmup: float) -> float:
    """Share of the peak learning rate at `progress` (0 to 1) of the run: linear rise, then linear fall to zero."""
    if progress < warmup:
        return (progress + 1e-3) / (warmup + 1e-3)
    return max(0.0, (1 - progress) / (1 - warmup))


def _half(precision: str, device: torch.device) -> torch.dtype | None:
    """The type of the matrix products, None for float32."""
    if precision == "bf16" or (precision == "auto" and has_bf16(device)):
        return torch.bfloat16
    return torch.float16 if precision == "fp16" or (precision == "auto" and device.type == "cuda") else None
