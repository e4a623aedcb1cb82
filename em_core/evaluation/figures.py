"""What an evaluation says: plain, frozen figures that go to JSON and back without loss.

A figure that cannot be known (no labels, nothing accepted) is None; it is never filled with 0 or 1.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike
from pydantic import BaseModel, ConfigDict

from em_core.evaluation.intervals import clopper_pearson
from em_core.retrieval.folder import MANIFEST

PromiseStatus = Literal["shown", "open", "broken", "unlabelled"]
ErrorKind = Literal["wrong_match", "match_of_unseen", "missed", "wrong_suggestion"]


class _Figures(BaseModel):
    model_config = ConfigDict(frozen=True)


class Share(_Figures):
    """`hits` of `total` with an exact two-sided interval; `value`, `low`, `high` are None when `total` is 0."""

    hits: int
    total: int
    value: float | None = None
    low: float | None = None
    high: float | None = None

    @classmethod
    def of(cls, hits: int, total: int, level: float) -> Share:
        """One share. `level` is the two-sided confidence level of the interval."""
        return next(cls.each([hits], [total], level))

    @classmethod
    def each(cls, hits: ArrayLike, totals: ArrayLike, level: float) -> Iterator[Share]:
        """One share for each pair of counts; the intervals are computed together."""
        k, n = np.asarray(hits), np.asarray(totals)
        lows, highs = clopper_pearson(k, n, level)
        for hit, total, low, high in zip(k.tolist(), n.tolist(), lows.tolist(), highs.tolist(), strict=True):
            if total:
                yield cls(hits=int(hit), total=int(total), value=hit / total, low=low, high=high)
            else:
                yield cls(hits=0, total=0)


class Counts(_Figures):
    """Records in the results, and how many of them the truth speaks about."""

    records: int
    labelled: int
    known: int
    """labelled records whose entity is in the reference"""
    unseen: int
    """labelled records that are truly not in the reference"""
    truth_without_result: int
    """truth rows that name no record of the results"""
    truth_not_in_reference: int | None = None
    """labelled records whose entity is absent from the reference; None when no reference was given"""


class Outcome(_Figures):
    """What became of the records of one decision. The last five add up to `labelled`."""

    decision: str
    records: int
    labelled: int
    right: int
    """the right identifier"""
    wrong: int
    """an identifier, but of another entity"""
    invented: int
    """an identifier for a record that is not in the reference"""
    missed: int
    """no identifier, though the record is in the reference"""
    truly_none: int
    """no identifier, and none would be right"""


class Promise(_Figures):
    """What the labels say about a promised precision of automatic matches."""

    target: float
    certainty: float
    labels: int
    errors: int
    lower_bound: float | None
    """with `certainty`, precision is at least this"""
    upper_bound: float | None
    """with `certainty`, precision is at most this"""
    status: PromiseStatus
    """shown: the labels prove it; broken: they prove the contrary; open: too few labels to say"""
    labels_needed: int
    """labels that would prove the target, were no further error found"""


class OperatingPoint(_Figures):
    """The lowest confidence threshold whose accepted set is right often enough."""

    target: float
    recall: float | None
    """share of known records accepted with the right identifier; 0 if no threshold reaches the target"""
    low: float | None = None
    high: float | None = None
    """bootstrap interval of `recall`: the threshold is drawn anew in each resample"""
    threshold: float | None
    accepted: int
    right: int


class Costs(_Figures):
    """What the user says an outcome costs, in any one unit. The defaults count in reviews; they are an example, not a finding."""

    wrong_match: float = 20.0
    """an automatic match that is wrong"""
    review: float = 1.0
    """a record that a steward looks at"""
    miss: float = 5.0
    """a record of the reference that gets no identifier"""

    @classmethod
    def of_matcher(cls, folder: Path) -> Costs:
        """The costs that a matcher's policy was fitted with (setting `policy.costs`), or the defaults where it had none."""
        policy = json.loads((Path(folder) / MANIFEST).read_text(encoding="utf-8"))["policy"]
        return cls(**(policy["settings"]["costs"] or {}))


class ThresholdRow(_Figures):
    """What would happen if every identifier at or above `threshold` were accepted and every other went to review."""

    threshold: float
    accepted: int
    wrong: int
    precision: Share
    recall: Share
    review: int
    """identifiers that would go to review"""
    cost: float
    """cost of 1,000 such records"""


class CurvePoint(_Figures):
    threshold: float
    precision: float
    recall: float


class ReliabilityBin(_Figures):
    """Labelled identifiers of similar confidence; `low` and `high` are the least and greatest confidence met."""

    low: float
    high: float
    stated: float
    """mean confidence"""
    found: Share
    """share that was right"""


class Calibration(_Figures):
    """Does confidence mean what it says? Over labelled records that got an identifier."""

    count: int
    bins: list[ReliabilityBin]
    ece: float
    """expected calibration error: mean distance of stated and found, weighted by bin"""
    brier: float
    """mean squared distance of confidence and outcome (Brier, Monthly Weather Review 78(1), 1950)"""


class Histogram(_Figures):
    """Identifiers by confidence: counts of each interval between `edges`."""

    edges: list[float]
    right: list[int]
    wrong: list[int]
    unlabelled: list[int]


class Group(_Figures):
    """One line of a breakdown. `value` None gathers the records where the attribute is missing."""

    value: str | None
    records: int
    labelled: int
    known: int
    auto_match: int
    review: int
    no_match: int
    precision: Share
    recall: Share
    reason: str | None
    """the most frequent reason, as an example"""


class Stage(_Figures):
    """What one stage decided, and what the stages up to it decided together."""

    stage: str
    records: int
    auto_match: int
    review: int
    no_match: int
    labelled: int
    """labelled automatic matches of this stage"""
    precision: Share
    """of its labelled automatic matches, the right ones"""
    none_precision: Share
    """of its labelled no_match records, those that are truly not in the reference"""
    total_auto_match: int
    """automatic matches of this stage and those before it"""
    coverage: float
    """these as a share of all records"""
    total_precision: Share
    total_recall: Share
    """right ones of these, of all known records"""
    methods: list[Group]
    """the stage's methods, most records first"""


class LeakLine(_Figures):
    """The headline figures over one part of the labelled records."""

    records: str
    labelled: int
    known: int
    precision: Share
    recall: Share
    suggestion_accuracy: Share
    none_precision: Share


class Leaks(_Figures):
    """Which labelled records the matcher had seen when it was fitted, and what the figures are without them."""

    labels: int
    """labelled records that it learned from; 0 = it learned from copies of the reference alone"""
    by_key: int
    """judged records with the source system and id of such a label"""
    by_name: int
    """judged records with the name and the answer of such a label, by key or not"""
    seen: int
    """either"""
    seen_entity: int
    """judged records that were not seen, but whose entity was, under another name"""
    copies: int
    """judged records whose name and answer the noise model happened to write: no leak"""
    without_name: int
    """judged records whose name is not known here: only their key was compared"""
    lines: list[LeakLine]
    """all, without the seen records, without seen entities, the seen records alone; parts without records are left out"""


class ErrorCase(_Figures):
    """One record where the answer was wrong or missing, with what is needed to see why."""

    kind: ErrorKind
    source_system: str
    source_id: str
    source_name: str | None
    decision: str
    confidence: float | None
    matched_entity_id: str | None
    matched_name: str | None
    truth_entity_id: str | None
    truth_name: str | None
    runner_up_right: bool
    stage: str | None
    method: str | None
    reason: str | None
    evidence: str | None


class Evaluation(_Figures):
    """Everything that results and truth say together. Without truth only counts, decisions and groups speak."""

    level: float
    """confidence level of every two-sided interval"""
    counts: Counts
    outcomes: list[Outcome]
    review_share: float
    """share of all records that go to a steward"""
    precision: Share
    """automatic matches with the right identifier, of all labelled automatic matches"""
    recall: Share
    """automatic matches with the right identifier, of all known records"""
    suggestion_accuracy: Share
    """right identifier, matched or put to review, of all known records (top-1 accuracy)"""
    none_precision: Share
    """truly not in the reference, of all labelled no_match records"""
    none_recall: Share
    """decided no_match, of all records that are truly not in the reference"""
    promise: Promise
    operating_points: list[OperatingPoint]
    thresholds: list[ThresholdRow]
    costs: Costs
    cost_as_decided: float | None
    """cost of 1,000 records as they were decided; None without labels"""
    cost_all_review: float | None
    """cost of 1,000 records if every one went to review"""
    curve: list[CurvePoint]
    calibration: Calibration | None
    histogram: Histogram
    groups: dict[str, list[Group]]
    """dimension (source_system, stage, method, country) -> lines, most records first"""
    stages: list[Stage]
    """in the order in which they are asked"""
    leaks: Leaks | None
    """None where the matcher's training records were not given"""
    error_counts: dict[ErrorKind, int]
    errors: list[ErrorCase]
    """wrong automatic matches first, the most confident first; may be cut, `error_counts` is not"""

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON types; `Evaluation.model_validate` reads them back."""
        return self.model_dump(mode="json")

    def headline(self) -> dict[str, float]:
        """The few numbers that runs are compared by, flat, for run trackers and gates; unknown ones are left out."""
        decided = {outcome.decision: outcome.records for outcome in self.outcomes}
        figures: dict[str, float | None] = {
            "records": self.counts.records,
            "labelled": self.counts.labelled,
            **decided,
            "review_share": self.review_share,
        }
        for name in ("precision", "recall", "suggestion_accuracy", "none_precision", "none_recall"):
            figures[name] = getattr(self, name).value
        figures["precision_low"] = self.precision.low
        for point in self.operating_points:
            figures[f"recall_at_p{point.target * 100:g}"] = point.recall
        figures["cost_per_1000"] = self.cost_as_decided
        if self.leaks is not None:
            figures["seen_in_training"] = self.leaks.seen
        if self.calibration is not None:
            figures |= {"ece": self.calibration.ece, "brier": self.calibration.brier}
        return {name: float(value) for name, value in figures.items() if value is not None}
