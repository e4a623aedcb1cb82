"""The one decision policy: thresholds with the evidence behind them, and what each outcome is called."""

from __future__ import annotations

import numpy as np
from pydantic import BaseModel, Field

from em_core.evaluation.intervals import lower_bound


class PolicySettings(BaseModel):
    """What the user asks for."""

    precision: float = Field(0.99, gt=0, lt=1, description="share of automatic matches that must be right")
    certainty: float = Field(0.95, gt=0, lt=1, description="certainty of the stated lower bound")
    max_missed: float = Field(
        0.01, ge=0, lt=1, description="share of known records whose right entity may end as no_match"
    )
    rung_precision: float = Field(
        0.995, gt=0, lt=1, description="measured precision that a rule of the exact stage needs to decide alone"
    )
    rung_labels: int = Field(100, ge=1, description="labelled records that such a rule must have hit")
    tie: float = Field(0.05, ge=0, le=1, description="two candidates closer than this are AMBIGUOUS")


class Evidence(BaseModel):
    """Labels behind a promise: how many were accepted, how many of them were wrong, and what that certifies."""

    labels: int
    errors: int
    precision: float | None
    lower_bound: float | None

    @classmethod
    def of(cls, right: np.ndarray, certainty: float) -> Evidence:
        """Evidence of n accepted labels, `right` (n,) bool; the bound is Clopper and Pearson's (Biometrika 26, 1934)."""
        labels, errors = len(right), int((~right).sum())
        if labels == 0:
            return cls(labels=0, errors=0, precision=None, lower_bound=None)
        return cls(
            labels=labels,
            errors=errors,
            precision=1 - errors / labels,
            lower_bound=float(lower_bound(labels - errors, labels, certainty)),
        )

    @property
    def expected(self) -> float:
        """Expected precision, Jeffreys' prior: what a single accepted record is worth."""
        return (self.labels - self.errors + 0.5) / (self.labels + 1)


class DecisionPolicy(BaseModel):
    """Fitted thresholds. `auto_threshold` None: no threshold reached the promise on the labels, so the scorer never decides alone."""

    settings: PolicySettings
    auto_threshold: float | None
    review_threshold: float
    auto_evidence: Evidence
    rungs: dict[str, Evidence]
    labels_from: str = Field(description="what the labels are: the noise model, the user's labels, or both")

    def automatic_rungs(self) -> set[str]:
        """Rungs of the exact stage that may decide alone: enough labels, and right on nearly all of them."""
        needed = max(self.settings.precision, self.settings.rung_precision)
        return {
            code
            for code, e in self.rungs.items()
            if e.precision is not None and e.labels >= self.settings.rung_labels and e.precision >= needed
        }

    def in_words(self) -> str:
        """The promise and its evidence, one sentence."""
        e = self.auto_evidence
        if self.auto_threshold is None or e.precision is None or e.lower_bound is None:
            return (
                f"No threshold reached a precision of {self.settings.precision:.2%} on {self.labels_from}: "
                "the scorer sends everything to review."
            )
        return (
            f"Automatic from a confidence of {self.auto_threshold:.3f}: on {self.labels_from}, {e.labels - e.errors:,} of "
            f"{e.labels:,} such matches were right ({e.precision:.2%}; at least {e.lower_bound:.2%} with "
            f"{self.settings.certainty:.0%} certainty)."
        )


def fit_thresholds(
    confidence: np.ndarray, right: np.ndarray, known: np.ndarray, settings: PolicySettings, all_known: int | None = None
) -> tuple[float | None, float, Evidence]:
    """(auto_threshold, review_threshold, evidence) from labelled records that the exact stage leaves to the scorer.

    `confidence` (n,) of the best candidate, `right` (n,) whether it is the right one (never for a true none), `known` (n,) whether
    the right entity is in the reference; `all_known` counts the exact stage's known records too: `max_missed` is a share of them all.
    The automatic threshold is the lowest whose accepted set keeps the precision;
    records of equal confidence are accepted together.
    """
    order = np.argsort(-confidence, kind="stable")
    sorted_confidence, sorted_right = confidence[order], right[order]
    precision = np.cumsum(sorted_right) / np.arange(1, len(order) + 1)
    block_end = np.r_[sorted_confidence[1:] != sorted_confidence[:-1], True] if len(order) else np.zeros(0, dtype=bool)
    keeps = np.flatnonzero(block_end & (precision >= settings.precision))
    accepted = keeps[-1] + 1 if len(keeps) else 0
    auto = float(sorted_confidence[accepted - 1]) if accepted else None
    found = np.sort(confidence[right & known])
    missed = int(settings.max_missed * max(1, int(known.sum()) if all_known is None else all_known))
    review = float(found[min(missed, len(found) - 1)]) if len(found) else 0.5
    if auto is not None:
        review = min(review, auto)
    return auto, review, Evidence.of(sorted_right[:accepted], settings.certainty)
