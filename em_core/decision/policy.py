"""The one decision policy: thresholds with the evidence behind them, and what each outcome is called."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import numpy as np
from pydantic import BaseModel, Field, model_validator

from em_core.decision.calibration import Calibration
from em_core.decision.costs import CostSettings
from em_core.evaluation.intervals import lower_bound


class PolicySettings(BaseModel):
    """What the user asks for."""

    precision: float = Field(0.99, gt=0, lt=1, description="share of automatic matches that must be right")
    certainty: float = Field(0.95, gt=0.75, lt=1, description="certainty of the promise and of every stated bound")
    weaker: tuple[float, ...] = Field(
        (0.98, 0.95, 0.9), description="precisions to promise instead where the labels cannot certify the one asked for"
    )
    certified_only: bool = Field(
        False, description="whether a threshold that the user's labels do not certify sends everything to review"
    )
    source_labels: int = Field(
        100,
        ge=1,
        description="labelled records of a source system from which its thresholds are looked at by themselves",
    )
    max_missed: float = Field(
        0.01, ge=0, lt=1, description="share of known records whose right entity may end as no_match"
    )
    rung_precision: float = Field(
        0.995, gt=0, lt=1, description="measured precision that a rule of the exact stage needs to decide alone"
    )
    rung_labels: int = Field(100, ge=1, description="labelled records that such a rule must have hit")
    tie: float = Field(
        0.05, ge=0, le=1, description="two candidates closer than this (before calibration) are AMBIGUOUS"
    )
    choose_by: Literal["precision", "cost"] = Field(
        "precision", description="thresholds that keep the precision, or those that cost least"
    )
    costs: CostSettings | None = Field(None, description="what mistakes and reviews cost; their report needs it too")

    @model_validator(mode="after")
    def _costs_are_given(self) -> PolicySettings:
        if self.choose_by == "cost" and self.costs is None:
            raise ValueError("choose_by: cost needs costs: {wrong_match: ..., review: ..., miss: ...}")
        if not all(0 < p < 1 for p in self.weaker):
            raise ValueError("weaker precisions must lie between 0 and 1")
        return self


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

    @property
    def counted(self) -> str:
        """`998 of 1,000 such matches were right (99.80%)`."""
        share = "" if self.precision is None else f" ({self.precision:.2%})"
        return f"{self.labels - self.errors:,} of {self.labels:,} such matches were right{share}"


#: certified: the user's labels certify the precision asked for. weaker: they certify a lower one. simulated: records of the noise model,
#: alone or among labels, keep it in the same test. estimated: the labels reach it, but nothing is certain. cost: chosen by cost.
#: none: no threshold reaches it.
PromiseKind = Literal["certified", "weaker", "simulated", "estimated", "cost", "none"]


class Promise(BaseModel):
    """What stands behind an automatic threshold."""

    kind: PromiseKind = "estimated"
    precision: float | None = Field(None, description="the precision that is certified or kept in the test")
    threshold: float | None = Field(None, description="the threshold it is about, whether or not it may act")
    labels_from: str = ""
    more_labels: int | None = Field(
        None,
        description="about so many more labels would certify the precision asked for; null: not known or none would",
    )

    @property
    def certified(self) -> bool:
        """Whether the user's own labels stand behind it with the stated certainty."""
        return self.kind in ("certified", "weaker")


class Thresholds(BaseModel):
    """Fitted thresholds. `auto_threshold` None: the scorer never decides alone."""

    auto_threshold: float | None
    review_threshold: float
    auto_evidence: Evidence
    promise: Promise = Field(default_factory=Promise)


class DecisionPolicy(Thresholds):
    """The common thresholds, those of source systems that have their own, rungs, and the calibration that all of them stand on."""

    settings: PolicySettings
    rungs: dict[str, Evidence]
    labels_from: str = Field(description="what the labels are: the noise model, the user's labels, or both")
    sources: dict[str, Thresholds] = Field(default_factory=dict)
    calibration: Calibration = Field(default_factory=Calibration)

    def automatic_rungs(self) -> set[str]:
        """Rungs of the exact stage that may decide alone."""
        return automatic_rungs(self.rungs, self.settings)

    def thresholds_of(self, systems: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """(automatic, review) thresholds (n,) of records by source system; automatic is infinite where the scorer never decides alone."""
        auto, review = np.full(len(systems), _or_never(self)), np.full(len(systems), self.review_threshold)
        for system, own in self.sources.items():
            mine = systems == system
            auto[mine], review[mine] = _or_never(own), own.review_threshold
        return auto, review

    def of_source(self, system: str) -> Thresholds:
        """The thresholds of a source system: its own where it has some, else the common ones."""
        return self.sources.get(system, self)

    def source_in_words(self, system: str) -> str:
        """The promise that holds for a source system."""
        return self._words(self.of_source(system))

    def in_words(self) -> str:
        """The common promise and its evidence, one sentence."""
        return self._words(self)

    def sources_in_words(self) -> dict[str, str]:
        """The promise of each source system that has its own thresholds, one sentence each."""
        return {system: self._words(own) for system, own in self.sources.items()}

    def multiplicity(self) -> str:
        """What the certainty means where several promises stand side by side, one sentence; empty for a single one."""
        promises = sum(t.promise.certified for t in (self, *self.sources.values()))
        if promises < 2:
            return ""
        together = max(0.0, 1 - promises * (1 - self.settings.certainty))
        return (
            f"Each of the {promises} promises holds with {self.settings.certainty:.0%} certainty by itself; all of them together "
            f"with at least {together:.0%}."
        )

    def _words(self, thresholds: Thresholds) -> str:
        promise, evidence, settings = thresholds.promise, thresholds.auto_evidence, self.settings
        asked, certainty = f"{settings.precision:.2%}", f"{settings.certainty:.0%}"
        where = promise.labels_from or self.labels_from
        more = self._more(promise)
        if promise.kind == "cost" and thresholds.auto_threshold is None:
            return "Chosen by cost, nothing is automatic: the scorer sends everything to review."
        if promise.kind == "none" or (promise.threshold is None and thresholds.auto_threshold is None):
            return (
                f"No threshold reached a precision of {asked} on {where}: the scorer sends everything to review{more}."
            )
        if thresholds.auto_threshold is None:
            return (
                f"Everything goes to review: the threshold {promise.threshold:.3f}, from which {evidence.counted} on {where}, "
                f"is not certified, and certified_only is set{more}."
            )
        start = f"Automatic from a confidence of {thresholds.auto_threshold:.3f}"
        on = f"on {where}, {evidence.counted}"
        if promise.kind == "certified":
            return f"{start}, certified: at least {promise.precision:.2%} of such matches are right with {certainty} certainty; {on}."
        if promise.kind == "weaker":
            return f"{start}, certified for {promise.precision:.2%} instead of {asked}, with {certainty} certainty: {on}{more}."
        bound = (
            "" if evidence.lower_bound is None else f", at least {evidence.lower_bound:.2%} with {certainty} certainty"
        )
        if promise.kind == "cost":
            return f"{start}, chosen by cost, {_certified_too(promise)}: {on}{bound}."
        if promise.kind == "simulated":
            return f"{start}, not certified by labels of yours: {on}, and the test that would certify {asked} passes there{more}."
        return f"{start}, not certified: {on}, which is an estimate{more}."

    def _more(self, promise: Promise) -> str:
        if promise.more_labels is None:
            return ""
        asked = f"{self.settings.precision:.2%}"
        return f"; about {promise.more_labels:,} more labelled records would certify {asked}, were errors as frequent as here"


def automatic_rungs(rungs: Mapping[str, Evidence], settings: PolicySettings) -> set[str]:
    """Rungs with enough labels that were right on nearly all of them."""
    needed = max(settings.precision, settings.rung_precision)
    return {
        code
        for code, e in rungs.items()
        if e.precision is not None and e.labels >= settings.rung_labels and e.precision >= needed
    }


def _certified_too(promise: Promise) -> str:
    return "not certified" if promise.precision is None else f"and certified for {promise.precision:.2%}"


def _or_never(thresholds: Thresholds) -> float:
    return np.inf if thresholds.auto_threshold is None else thresholds.auto_threshold
