"""How the two halves of a trained matcher become one score: the blend of their logits, and the band that the encoder reads.

Everything here is chosen on validation pairs, which neither half was trained on.
"""

from __future__ import annotations

import numpy as np
from pydantic import BaseModel, ConfigDict
from scipy.optimize import minimize
from scipy.special import expit

from em_core.ditto.calibrate import log_loss, pair_losses

_STEPS = 40
_PRICE = 0.015  # log loss (nats) that a pair must save on the mean to be worth the encoder's reading


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
    """The blend with the least log loss on validation pairs (n,), and the band in which that is worth the reading.

    `most` is the largest share of the pairs that the encoder may read. Platt scaling of both (Platt, 1999): weights of the
    logits are never negative, for a half that says the opposite of the truth is noise. Before any pair is seen, the similarity
    model is taken at its word and the encoder at none; nor is it where its gain is within a standard error of nothing, for these
    pairs have picked its best epoch too.
    """
    alone, alone_bias = _platt(similarity[:, None], label, [1.0], 0.0)
    weights, bias = _platt(np.column_stack([similarity, encoder]), label, [*alone, 0.0], alone_bias)
    again, again_bias = _platt(similarity[:, None], label, alone, alone_bias)  # fitted as often, without the encoder
    gain = pair_losses(again_bias + again[0] * similarity, label) - pair_losses(
        bias + np.column_stack([similarity, encoder]) @ weights, label
    )
    if gain.mean() * np.sqrt(len(gain)) <= gain.std():
        weights, bias = [*alone, 0.0], alone_bias
    blend = Blend(
        alone_weight=alone[0], alone_bias=alone_bias,
        similarity_weight=weights[0], encoder_weight=weights[1], bias=bias,
        low=1.0, high=-1.0,
    )  # fmt: skip
    return _widened(blend, similarity, encoder, label, most)


def _platt(logits: np.ndarray, label: np.ndarray, weights: list[float], bias: float) -> tuple[list[float], float]:
    """Weights, none negative, and bias of the columns of `logits` (n, k) with the least log loss.

    A pull towards the given weights and bias, as strong as one pair is, keeps few pairs from saying too much.
    """
    scale = logits.std(axis=0) + 1e-9
    before = np.r_[weights * scale, bias]
    columns = np.column_stack([logits / scale, np.ones(len(logits))])

    def loss(now: np.ndarray) -> tuple[float, np.ndarray]:
        z, pull = columns @ now, now - before
        return (
            len(label) * log_loss(z, label) + 0.5 * float(pull @ pull),
            columns.T @ (expit(z) - label) + pull,
        )

    bounds = [(0.0, None)] * len(scale) + [(None, None)]
    found = minimize(loss, before, jac=True, bounds=bounds, method="L-BFGS-B").x
    return (found[:-1] / scale).tolist(), float(found[-1])


def _widened(blend: Blend, similarity: np.ndarray, encoder: np.ndarray, label: np.ndarray, most: float) -> Blend:
    """The band around the pairs in doubt, at most `most` of all, with the least log loss and price of the pairs read.

    Log loss, not F1: on validation sets of a few thousand pairs F1 goes up and down by chance as the band grows. Without a price the
    encoder would read all that it may wherever it says with more certainty what is clear already.
    """
    doubt = np.sort(np.abs(blend.alone(similarity)))
    sizes = np.unique(np.round(np.linspace(0, most, _STEPS + 1) * len(doubt)).astype(int))
    widths = [doubt[size - 1] if size else -1.0 for size in sizes]
    bands = [blend.model_copy(update={"low": -float(width), "high": float(width)}) for width in widths]
    costs = [
        log_loss(band.cascade(similarity, encoder), label) + _PRICE * float(band.open(similarity).mean())
        for band in bands
    ]
    return bands[int(np.argmin(costs))]
