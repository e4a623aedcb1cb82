"""How the two halves of a trained matcher become one score: the blend of their logits, and the band that the encoder reads.

Everything here is chosen on validation pairs, which neither half was trained on.
"""

from __future__ import annotations

import numpy as np
from pydantic import BaseModel, ConfigDict
from scipy.special import expit
from sklearn.linear_model import LogisticRegression

from em_core.ditto.calibrate import figures, likely_threshold

_STEPS = 40
_WORTH = 0.001  # F1 that a wider band must add


class Blend(BaseModel):
    """logit = bias + similarity_weight * similarity + encoder_weight * encoder, for the pairs that the encoder reads.

    It reads the pairs whose calibrated similarity logit lies in [`low`, `high`]; the others keep that logit.
    """

    model_config = ConfigDict(frozen=True)

    alone_weight: float
    alone_bias: float
    similarity_weight: float
    encoder_weight: float
    bias: float
    low: float
    high: float

    def alone(self, similarity: np.ndarray) -> np.ndarray:
        """Calibrated logits (n,) of the similarity model alone."""
        return self.alone_bias + self.alone_weight * similarity

    def open(self, similarity: np.ndarray) -> np.ndarray:
        """(n,) bool: pairs that the encoder should read."""
        alone = self.alone(similarity)
        return (alone >= self.low) & (alone <= self.high)

    def both(self, similarity: np.ndarray, encoder: np.ndarray) -> np.ndarray:
        """Blended logits (n,)."""
        return self.bias + self.similarity_weight * similarity + self.encoder_weight * encoder

    def cascade(self, similarity: np.ndarray, encoder: np.ndarray) -> np.ndarray:
        """Blended logits in the band, calibrated similarity logits outside; `encoder` is not used there."""
        return np.where(self.open(similarity), self.both(similarity, encoder), self.alone(similarity))


def fit_blend(similarity: np.ndarray, encoder: np.ndarray, label: np.ndarray, most: float) -> Blend:
    """The blend with the least log loss and a band that keeps its F1, on validation pairs (n,).

    `most` is the largest share of the pairs that the encoder may read. Platt scaling of both (Platt, 1999): weights of the
    logits are never negative, for a half that says the opposite of the truth is noise.
    """
    alone, alone_bias = _platt(similarity[:, None], label)
    weights, bias = _platt(np.column_stack([similarity, encoder]), label)
    blend = Blend(
        alone_weight=alone[0], alone_bias=alone_bias,
        similarity_weight=weights[0], encoder_weight=weights[1], bias=bias,
        low=1.0, high=-1.0,
    )  # fmt: skip
    return _widened(blend, similarity, encoder, label, most)


def _platt(logits: np.ndarray, label: np.ndarray) -> tuple[list[float], float]:
    """Weights and bias of the columns of `logits` (n, k) by logistic regression, columns with a negative weight left out."""
    scale = logits.std(axis=0) + 1e-9
    kept = np.arange(logits.shape[1])
    while True:
        model = LogisticRegression(C=1.0, max_iter=1000).fit((logits / scale)[:, kept], label)
        if len(kept) == 1 or (model.coef_[0] >= 0).all():
            break
        kept = kept[model.coef_[0] > model.coef_[0].min()]
    weights = np.zeros(logits.shape[1])
    weights[kept] = np.maximum(model.coef_[0], 0) / scale[kept]
    return weights.tolist(), float(model.intercept_[0])


def _widened(blend: Blend, similarity: np.ndarray, encoder: np.ndarray, label: np.ndarray, most: float) -> Blend:
    """The band around the pairs in doubt, widened as long as F1 grows by it."""
    doubt = np.abs(blend.alone(similarity))
    order = np.sort(doubt)
    best, kept = _f1(blend, similarity, encoder, label), blend
    for share in np.linspace(0, most, _STEPS + 1)[1:]:
        size = round(share * len(order))
        if size == 0:
            continue
        width = float(order[size - 1])
        tried = blend.model_copy(update={"low": -width, "high": width})
        f1 = _f1(tried, similarity, encoder, label)
        if f1 > best + _WORTH:
            best, kept = f1, tried
    return kept


def _f1(blend: Blend, similarity: np.ndarray, encoder: np.ndarray, label: np.ndarray) -> float:
    probability = expit(blend.cascade(similarity, encoder))
    return figures(probability, label, likely_threshold(probability))["f1"]
