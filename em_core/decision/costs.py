"""Thresholds by what mistakes cost: the cheapest on labelled records, and those that calibrated confidence gives by a formula."""

from __future__ import annotations

import numpy as np
from pydantic import BaseModel, Field
from sklearn.model_selection import GroupKFold

from em_core.decision.labelled import Labelled

# Above every confidence: nothing is reviewed.
NEVER = 1.01
_FOLDS = 5


class CostSettings(BaseModel):
    """What the user pays, in any one unit. A reviewed record costs `review` and is then taken as right."""

    wrong_match: float = Field(gt=0, description="an automatic match with the wrong identifier")
    review: float = Field(gt=0, description="a steward's look at one record")
    miss: float = Field(gt=0, description="a record that ends as no_match though its entity is in the reference")


class CostReport(BaseModel):
    """Cost per 1,000 records that the rules leave open, on `records` labelled ones."""

    records: int
    auto_threshold: float | None
    review_threshold: float
    per_thousand: float
    cross_fitted: bool = Field(description="whether the thresholds of `per_thousand` were chosen on other entities")
    all_to_review: float
    formula_auto: float
    formula_review: float
    formula_per_thousand: float

    def in_words(self) -> str:
        """One sentence."""
        auto = "nothing automatic" if self.auto_threshold is None else f"automatic from {self.auto_threshold:.3f}"
        where = " on entities that the thresholds were not chosen on" if self.cross_fitted else ""
        return (
            f"With {auto} and review from {self.review_threshold:.3f}, 1,000 records that the rules leave open cost "
            f"{self.per_thousand:,.1f}{where}, against {self.all_to_review:,.1f} with everything reviewed and "
            f"{self.formula_per_thousand:,.1f} by the formula of calibrated confidence (automatic from {self.formula_auto:.3f}, "
            f"review from {self.formula_review:.3f})."
        )


def costs_of(records: Labelled, auto: float | None, review: float, costs: CostSettings) -> np.ndarray:
    """(n,) cost of each record under an automatic (None = never) and a review threshold."""
    matched = records.accepted(auto)
    reviewed = ~matched & (records.confidence > 0) & (records.confidence >= review)
    unmatched = np.where(records.known, costs.miss, 0.0)
    return np.select([matched, reviewed], [np.where(records.right, 0.0, costs.wrong_match), costs.review], unmatched)


def cheapest(records: Labelled, costs: CostSettings) -> tuple[float | None, float]:
    """(automatic or None, review) thresholds with the least cost on labelled records; of equally cheap ones the strictest.

    Review is never above automatic.
    """
    # Both parts of the cost are sums over the records above a threshold, so one pass over the sorted records finds the pair.
    order = np.argsort(-records.confidence, kind="stable")
    ordered = records.confidence[order]
    ends = np.flatnonzero(np.diff(ordered, append=-1.0) != 0)
    ends = ends[ordered[ends] > 0]
    thresholds = np.r_[NEVER, ordered[ends]]
    missed = np.where(records.known, costs.miss, 0.0)
    matching = np.where(records.stands, np.where(records.right, 0.0, costs.wrong_match) - costs.review, 0.0)[order]
    match_cost = np.r_[0.0, np.cumsum(matching)[ends]]
    review_cost = np.r_[0.0, np.cumsum((costs.review - missed)[order])[ends]]
    review = int(np.argmin(review_cost + np.minimum.accumulate(match_cost)))
    auto = int(np.argmin(match_cost[: review + 1]))
    return (float(thresholds[auto]) if auto else None), float(thresholds[review])


def formula_thresholds(costs: CostSettings) -> tuple[float, float]:
    """(automatic, review) where the next action gets cheaper if confidence is the probability that the identifier is right.

    Chow's rule (IEEE Transactions on Information Theory 16(1), 1970): a match costs (1 - p) `wrong_match`, no match costs p `miss`.
    """
    auto, review = 1 - costs.review / costs.wrong_match, costs.review / costs.miss
    if review >= auto:
        both = costs.wrong_match / (costs.wrong_match + costs.miss)
        return both, both
    return auto, review


def report_costs(
    records: Labelled, costs: CostSettings, auto: float | None, review: float, chosen_by_cost: bool
) -> CostReport:
    """What thresholds cost on labelled records, beside everything to review and the formula.

    Thresholds that were chosen by cost are counted on five folds of whole entities, each with those that the other folds choose.
    """
    formula = formula_thresholds(costs)
    crossed = chosen_by_cost and len(np.unique(records.group)) >= _FOLDS
    paid = costs_of(records, auto, review, costs)
    if crossed:
        folds = GroupKFold(_FOLDS).split(records.confidence, groups=records.group)
        for test in (test for _, test in folds):
            held_out = np.isin(np.arange(len(paid)), test)
            paid[test] = costs_of(records.only(held_out), *cheapest(records.only(~held_out), costs), costs)
    by_formula = costs_of(records, *formula, costs)
    return CostReport(
        records=len(paid),
        auto_threshold=auto,
        review_threshold=review,
        per_thousand=1000 * float(paid.mean()),
        cross_fitted=crossed,
        all_to_review=1000 * costs.review,
        formula_auto=formula[0],
        formula_review=formula[1],
        formula_per_thousand=1000 * float(by_formula.mean()),
    )
