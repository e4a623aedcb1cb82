"""Calibration: a strictly rising map from the scorer's probability to how often such a best candidate is right.

Applied only where it is better on entities that it did not see.
"""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field
from scipy.optimize import minimize
from scipy.special import expit
from scipy.stats import t as student
from sklearn.model_selection import GroupKFold

from em_core.evaluation.curves import calibration as reliability

Method = Literal["none", "platt", "beta"]
_NAMES: dict[str, str] = {"none": "none", "platt": "Platt's method", "beta": "beta calibration"}
_TRIED: tuple[Method, ...] = ("platt", "beta")
_SLOPES, _SHIFTS = (0.01, 100.0), (-50.0, 50.0)
_SMALLEST = 1e-12
_FOLDS = 5
_FEWEST = 30  # right and wrong labels each: fewer say nothing about a curve
_CHANCE = 0.05


class Calibration(BaseModel):
    """Log odds of the calibrated probability: `a` ln p - `b` ln(1 - p) + `c`; `a` and `b` above 0, so the order of records stays.

    Beta calibration (Kull, Silva Filho and Flach, AISTATS 2017); with `a` equal to `b` Platt's (1999) on the scorer's log odds; (1, 1, 0)
    changes nothing.
    """

    model_config = ConfigDict(frozen=True)

    method: Method = "none"
    a: float = Field(1.0, gt=0)
    b: float = Field(1.0, gt=0)
    c: float = 0.0

    def __call__(self, probability: np.ndarray) -> np.ndarray:
        """(n,) calibrated probabilities; 0 (no candidate) stays 0 and NaN stays NaN."""
        if self.method == "none":
            return probability
        up, down = _odds(probability)
        return np.where(probability == 0, 0.0, expit(self.a * up - self.b * down + self.c))


class CalibrationReport(BaseModel):
    """What was chosen and why; log loss in nats a record, on entities that the map was not fitted on."""

    labels: int
    log_loss: dict[str, float]
    gain: dict[str, float]
    standard_error: dict[str, float]
    chosen: Calibration
    before: dict[str, Any] | None
    after: dict[str, Any] | None

    def in_words(self) -> str:
        """The choice and its numbers, one sentence."""
        if not self.log_loss:
            return (
                f"Confidence stays as the scorer gives it: calibration needs {_FEWEST} right and {_FEWEST} wrong best candidates among "
                f"the labels, and the {self.labels:,} there are hold fewer of one kind."
            )
        raw = self.log_loss["none"]
        if self.chosen.method == "none":
            tried = " nor ".join(f"{_NAMES[name]} ({self.log_loss[name]:.4f})" for name in _TRIED)
            return (
                f"Confidence stays as the scorer gives it: on {self.labels:,} labels of unseen entities its log loss is "
                f"{raw:.4f}, and neither {tried} is better by more than chance."
            )
        name = self.chosen.method
        return (
            f"Confidence is calibrated by {_NAMES[name]}: on {self.labels:,} labels of unseen entities the log loss fell from "
            f"{raw:.4f} to {self.log_loss[name]:.4f} (by {self.gain[name]:.4f} with a standard error of {self.standard_error[name]:.4f})."
        )


def _odds(probability: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    clipped = np.clip(probability, _SMALLEST, 1 - _SMALLEST)
    return np.log(clipped), np.log1p(-clipped)


def _losses(probability: np.ndarray, right: np.ndarray) -> np.ndarray:
    up, down = _odds(probability)
    return -np.where(right, up, down)


def fit_map(probability: np.ndarray, right: np.ndarray, method: Method) -> Calibration:
    """The map with the least log loss on `probability` (n,) and `right` (n,) bool, with Platt's smoothed targets."""
    if method == "none":
        return Calibration()
    up, down = _odds(probability)
    hits, misses = int(right.sum()), int((~right).sum())
    target = np.where(right, (hits + 1) / (hits + 2), 1 / (misses + 2))
    columns = np.column_stack([up - down, np.ones_like(up)] if method == "platt" else [up, -down, np.ones_like(up)])

    def loss(weights: np.ndarray) -> tuple[float, np.ndarray]:
        z = columns @ weights
        return float(np.mean(np.logaddexp(0, z) - target * z)), columns.T @ (expit(z) - target) / len(z)

    slopes = columns.shape[1] - 1
    found = minimize(
        loss, np.r_[np.ones(slopes), 0.0], jac=True, method="L-BFGS-B", bounds=[_SLOPES] * slopes + [_SHIFTS]
    ).x
    a, b, c = (round(float(x), 6) for x in (found[0], found[slopes - 1], found[-1]))
    return Calibration(method=method, a=a, b=b, c=c)


def calibration_records(judged: np.ndarray, own: np.ndarray, right: np.ndarray) -> np.ndarray:
    """(n,) bool: the `judged` records to calibrate on: the user's labels (`own`) where there are enough of them, else all."""
    mine = judged & own
    return mine if min((mine & right).sum(), (mine & ~right).sum()) >= _FEWEST else judged


def choose_calibration(
    probability: np.ndarray, right: np.ndarray, group: np.ndarray, level: float = 0.95
) -> CalibrationReport:
    """No map, Platt's or beta calibration for best candidates of n labelled records.

    Each map is cross-fitted: five folds of whole entities (`group` (n,)), log loss on the fold left out. It may be chosen if the gain
    over entities is above 0 by a one-sided t-test at 5 %, shared by the two maps (Bonferroni); of those the one that gains most.
    `level` is that of the intervals in the reliability tables, which show cross-fitted probabilities.
    """
    before = reliability(probability, right, level)
    table = None if before is None else before.model_dump(mode="json")
    groups = len(np.unique(group))
    if min(right.sum(), (~right).sum()) < _FEWEST or groups < 2 * _FOLDS:
        return CalibrationReport(
            labels=len(right), log_loss={}, gain={}, standard_error={}, chosen=Calibration(), before=table, after=None
        )
    raw = _losses(probability, right)
    mapped = {method: np.empty_like(probability) for method in _TRIED}
    for train, test in GroupKFold(_FOLDS).split(probability, groups=group):
        for method in _TRIED:
            mapped[method][test] = fit_map(probability[train], right[train], method)(probability[test])
    log_loss, gain, error = {"none": float(raw.mean())}, {}, {}
    for method in _TRIED:
        losses = _losses(mapped[method], right)
        log_loss[method], gain[method] = float(losses.mean()), float((raw - losses).mean())
        per_entity = np.bincount(np.unique(group, return_inverse=True)[1], weights=raw - losses)
        error[method] = float(per_entity.std(ddof=1) * np.sqrt(groups) / len(raw))
    needed = float(student.isf(_CHANCE / len(_TRIED), groups - 1))
    better = [method for method in _TRIED if gain[method] > needed * error[method]]
    best: Method = max(better, key=lambda method: gain[method], default="none")
    after = None if best == "none" else reliability(mapped[best], right, level)
    return CalibrationReport(
        labels=len(right),
        log_loss=log_loss,
        gain=gain,
        standard_error=error,
        chosen=fit_map(probability, right, best),
        before=table,
        after=None if after is None else after.model_dump(mode="json"),
    )
