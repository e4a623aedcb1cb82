"""Both halves of a matcher together: the similarity model is cross-fitted beside the trained encoder, and each part is judged."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from scipy.special import expit

from em_core.ditto.blend import Blend, fit_blend
from em_core.ditto.boosting import SimilarityModel
from em_core.ditto.calibrate import best_threshold, curve, figures, likely_threshold
from em_core.ditto.data import Splits
from em_core.ditto.settings import TrainSettings

Metrics = dict[str, Any]


@dataclass(frozen=True)
class Combined:
    """The similarity model, the blend with the encoder, the threshold of the cascade, and the run's metrics with these parts in."""

    similarity: SimilarityModel
    blend: Blend
    threshold: float
    metrics: Metrics


def combine(
    settings: TrainSettings, splits: Splits, encoder: dict[str, np.ndarray], temperature: float, metrics: Metrics
) -> Combined:
    """Fit the similarity model, blend and band.

    `encoder` holds the encoder's logits on the held-out pairs by part, `metrics` its figures. In the new metrics `valid`, `test`,
    `threshold` and `curves` are the cascade's; `methods` has every part's.
    """
    held_out = {"valid": splits.valid} | ({} if splits.test is None else {"test": splits.test})
    model, valid = SimilarityModel.fit(splits, settings.seed)
    similarity = {"valid": valid} | ({} if splits.test is None else {"test": model.logits(*_texts(splits.test))})
    labels = {part: pairs["label"].to_numpy() for part, pairs in held_out.items()}
    blend = fit_blend(similarity["valid"], encoder["valid"], labels["valid"], settings.encoder_share)
    logits = {
        "similarity": {part: blend.alone(similarity[part]) for part in held_out},
        "encoder": {part: encoder[part] / temperature for part in held_out},
        "blend": {part: blend.both(similarity[part], encoder[part]) for part in held_out},
        "cascade": {part: blend.cascade(similarity[part], encoder[part]) for part in held_out},
    }
    methods = {name: _judged(scores, labels, calibrated=name != "encoder") for name, scores in logits.items()}
    for part in held_out:
        methods["cascade"][part]["encoder_share"] = float(blend.open(similarity[part]).mean())
    cascade = methods["cascade"]
    probabilities = {part: expit(logits["cascade"][part]) for part in held_out}
    return Combined(
        model,
        blend,
        cascade["threshold"],
        metrics
        | {part: cascade[part] for part in held_out}
        | {
            "threshold": cascade["threshold"],
            "curves": {part: curve(probabilities[part], labels[part]) for part in held_out},
            "blend": blend.model_dump(),
            "methods": methods,
        },
    )


def _texts(pairs: pd.DataFrame) -> tuple[list[str], list[str]]:
    return pairs["left_entity"].tolist(), pairs["right_entity"].tolist()


def _judged(logits: dict[str, np.ndarray], labels: dict[str, np.ndarray], calibrated: bool) -> Metrics:
    """Figures of one method on each part, at the threshold that its validation scores give."""
    probabilities = {part: expit(values) for part, values in logits.items()}
    valid = probabilities["valid"]
    threshold = likely_threshold(valid) if calibrated else best_threshold(valid, labels["valid"])
    return {"threshold": threshold} | {part: figures(p, labels[part], threshold) for part, p in probabilities.items()}
