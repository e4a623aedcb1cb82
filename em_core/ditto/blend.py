"""How the two halves of a trained matcher become one score: the blend of their logits, and the band that the encoder reads.

Everything here is chosen on validation pairs, which neither half was trained on.
"""

from __future__ import annotations

import numpy as np
from pydantic import BaseModel, ConfigDict
from scipy.special import expit
from sklearn.linear_model import LogisticRegression

from em_core.ditto.calibrate import best_threshold, figures, fit_temperature

MOST_IN_BAND = 0.15  # share of the pairs that the encoder may read in a cascade
_GRID = 41


class Blend(BaseModel):
    """logit = bias + similarity_weight * similarity + encoder_weight * encoder, where the encoder reads a pair.

    It reads the pairs whose calibrated similarity logit lies in [`low`, `high`]; the others keep that logit.
    """

    model_config = ConfigDict(frozen=True)

    similarity_temperature: float
    similarity_weight: float
    encoder_weight: float
    bias: float
    low: float
    high: float

    def alone(self, similarity: np.ndarray) -> np.ndarray:
        """Calibrated logits (n,) of the similarity model alone."""
        return similarity / self.similarity_temperature

    def open(self, similarity: np.ndarray) -> np.ndarray:
        """(n,) bool: pairs that the encoder should read."""
        alone = self.alone(similarity)
        return (alone >= self.low) & (alone <= self.high)

    def both(self, similarity: np.ndarray, encoder: np.ndarray) -> np.ndarray:
        """Blended logits (n,)."""
        return self.bias + self.similarity_weight * similarity + self.encoder_weight * encoder

    def cascade(self, similarity: np.ndarray, encoder: np.ndarray) -> np.ndarray:
        """Blended logits in the band, calibrated similarity logits outside; `encoder` is not read there (may be NaN)."""
        return np.where(self.open(similarity), self.both(similarity, encoder), self.alone(similarity))


def fit_blend(similarity: np.ndarray, encoder: np.ndarray, label: np.ndarray) -> Blend:
    """The blend with the least log loss, and the narrowest band that keeps its F1, on validation pairs (n,)."""
    table = np.column_stack([similarity, encoder])
    scale = table.std(axis=0) + 1e-9
    model = LogisticRegression(C=1.0, max_iter=1000).fit(table / scale, label)
    weights = np.maximum(model.coef_[0], 0.0) / scale  # a half that says the opposite of the truth is noise
    blend = Blend(
        similarity_temperature=fit_temperature(similarity, label),
        similarity_weight=float(weights[0]),
        encoder_weight=float(weights[1]),
        bias=float(model.intercept_[0]),
        low=-np.inf,
        high=np.inf,
    )
    return _narrowed(blend, similarity, encoder, label)


def _narrowed(blend: Blend, similarity: np.ndarray, encoder: np.ndarray, label: np.ndarray) -> Blend:
    """The band around the pairs in doubt: as narrow as it can be without losing F1, at most `MOST_IN_BAND` of the pairs."""
    alone = blend.alone(similarity)
    order = np.argsort(np.abs(alone), kind="stable")
    best, kept = -1.0, blend
    for size in np.unique(np.linspace(0, MOST_IN_BAND * len(alone), _GRID).astype(int)):
        width = float(np.abs(alone[order[size - 1]])) if size else -1.0
        tried = blend.model_copy(update={"low": -width, "high": width})
        probability = expit(tried.cascade(similarity, encoder))
        f1 = figures(probability, label, best_threshold(probability, label))["f1"]
        if f1 > best + 1e-9:
            best, kept = f1, tried
    return kept
