"""Thresholds by cost: the cheapest of all, and the formula where confidence is calibrated."""

from __future__ import annotations

from collections.abc import Callable

import hypothesis
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from em_core.decision.costs import NEVER, CostSettings, cheapest, costs_of, formula_thresholds, report_costs
from em_core.decision.labelled import Labelled

Make = Callable[..., Labelled]
COSTS = CostSettings(wrong_match=20, review=1, miss=5)


@hypothesis.settings(deadline=None, max_examples=60)
@given(
    st.lists(st.tuples(st.integers(0, 5), st.booleans(), st.booleans(), st.booleans()), min_size=1, max_size=25),
    st.floats(0.5, 30),
    st.floats(0.5, 30),
    st.floats(0.5, 30),
)
def test_no_other_pair_of_thresholds_is_cheaper(
    make_labelled: Make, rows: list[tuple[int, bool, bool, bool]], wrong: float, review: float, miss: float
) -> None:
    table = np.array(rows)
    known = table[:, 2].astype(bool)
    records = make_labelled(
        table[:, 0] / 5, table[:, 1].astype(bool) & known, known=known, stands=table[:, 3].astype(bool)
    )
    costs = CostSettings(wrong_match=wrong, review=review, miss=miss)
    auto, least_review = cheapest(records, costs)
    assert auto is None or least_review <= auto
    least = costs_of(records, auto, least_review, costs).sum()
    steps = [*np.unique(records.confidence[records.confidence > 0]), NEVER]
    every = [costs_of(records, a, r, costs).sum() for a in steps for r in steps if r <= a]
    assert least == pytest.approx(min(every))


def test_the_formula_agrees_with_the_cheapest_where_confidence_is_true(make_labelled: Make) -> None:
    rng = np.random.default_rng(2)
    confidence = rng.random(60_000)
    right = rng.random(60_000) < confidence
    records = make_labelled(confidence, right, known=right)
    auto, review = formula_thresholds(COSTS)
    assert (auto, review) == (0.95, 0.2)
    found = cheapest(records, COSTS)
    assert found == (pytest.approx(auto, abs=0.02), pytest.approx(review, abs=0.02))
    by_formula = costs_of(records, auto, review, COSTS).mean()
    assert costs_of(records, *found, COSTS).mean() == pytest.approx(by_formula, rel=0.01)


def test_review_that_never_pays_leaves_one_threshold() -> None:
    auto, review = formula_thresholds(CostSettings(wrong_match=3, review=10, miss=1))
    assert auto == review == 0.75


def test_the_report_counts_chosen_thresholds_on_other_entities(make_labelled: Make) -> None:
    rng = np.random.default_rng(3)
    confidence = rng.random(300)
    records = make_labelled(confidence, rng.random(300) < confidence)
    auto, review = cheapest(records, COSTS)
    inside = report_costs(records, COSTS, auto, review, chosen_by_cost=False)
    outside = report_costs(records, COSTS, auto, review, chosen_by_cost=True)
    assert outside.cross_fitted and outside.per_thousand > inside.per_thousand
    assert inside.all_to_review == 1000 and f"{inside.per_thousand:,.1f}" in inside.in_words()
