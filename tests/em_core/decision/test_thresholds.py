"""Thresholds out of labels: certified if they can be, weaker or estimated and called so if not, by source where labels allow."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import hypothesis
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from em_core.decision.calibration import Calibration
from em_core.decision.costs import CostSettings
from em_core.decision.labelled import Labelled
from em_core.decision.policy import DecisionPolicy, PolicySettings
from em_core.decision.thresholds import fit_policy, report_policy_costs, review_threshold

Make = Callable[..., Labelled]


def fitted(records: Labelled, given: dict[str, int] | None = None, **settings: Any) -> DecisionPolicy:
    counts = {str(s): 4 * int((records.system == s).sum()) for s in set(records.system)} if given is None else given
    return fit_policy(
        records, PolicySettings(**settings), {}, Calibration(), "labels and noise", 4 * len(records.right), counts
    )


def falling(size: int, errors: tuple[int, ...] = ()) -> tuple[np.ndarray, np.ndarray]:
    right = np.ones(size, dtype=bool)
    right[list(errors)] = False
    return np.linspace(0.99, 0.01, size), right


@hypothesis.settings(deadline=None, max_examples=60)
@given(st.lists(st.tuples(st.integers(0, 10), st.booleans(), st.booleans()), min_size=1, max_size=80))
def test_the_accepted_set_keeps_the_precision(make_labelled: Make, rows: list[tuple[int, bool, bool]]) -> None:
    known = np.array([k for _, _, k in rows])
    right = np.array([r for _, r, _ in rows]) & known
    records = make_labelled([c / 10 for c, _, _ in rows], right, known=known)
    policy = fitted(records, precision=0.9, weaker=())
    if policy.auto_threshold is None:
        assert policy.auto_evidence.labels == 0
        return
    accepted = records.accepted(policy.auto_threshold)
    assert policy.auto_evidence.labels == accepted.sum() and right[accepted].mean() >= 0.9
    assert policy.review_threshold <= policy.auto_threshold


def test_enough_labels_certify(make_labelled: Make) -> None:
    policy = fitted(make_labelled(*falling(600)))
    assert policy.promise.kind == "certified" and policy.promise.precision == 0.99
    assert policy.auto_evidence.labels == 600 and policy.auto_evidence.lower_bound >= 0.99


def test_too_few_labels_promise_less_and_say_how_many_more_are_needed(make_labelled: Make) -> None:
    policy = fitted(make_labelled(*falling(200)))
    assert (policy.promise.kind, policy.promise.precision) == ("weaker", 0.98)
    # 299 accepted labels, of which a quarter of all labels counts here.
    assert policy.promise.more_labels == 400
    assert "certified for 98.00% instead of 99.00%" in policy.in_words()
    assert fitted(make_labelled(*falling(200)), certified_only=True).auto_threshold is not None


def test_a_weaker_promise_is_no_licence_to_match_more(make_labelled: Make) -> None:
    confidence, right = falling(250, errors=tuple(range(150, 250, 4)))
    policy = fitted(make_labelled(confidence, right))
    assert policy.promise.kind == "weaker"
    taken = confidence >= policy.auto_threshold
    assert taken.sum() <= 152 and right[taken].mean() >= 0.99


def test_what_nothing_certifies_is_an_estimate_that_may_be_kept_from_acting(make_labelled: Make) -> None:
    records = make_labelled(*falling(20))
    policy = fitted(records)
    assert (
        policy.promise.kind == "estimated"
        and policy.auto_threshold is not None
        and "not certified" in policy.in_words()
    )
    strict = fitted(records, certified_only=True)
    assert strict.auto_threshold is None and strict.auto_evidence.labels == 20
    wrong = fitted(make_labelled([0.9, 0.8], [False, False]))
    assert wrong.promise.kind == "none" and wrong.auto_threshold is None


def test_records_of_the_noise_model_certify_nothing(make_labelled: Make) -> None:
    policy = fitted(make_labelled(*falling(1000), own=np.zeros(1000, dtype=bool)), given={})
    assert policy.promise.kind == "simulated" and not policy.promise.certified
    assert "not certified by labels of yours" in policy.in_words() and policy.promise.labels_from == "labels and noise"
    few = fitted(make_labelled(*falling(1000), own=np.arange(1000) % 100 == 0), given={"crm": 40})
    assert few.promise.kind == "simulated"


def sources(make_labelled: Make, **sizes: tuple[int, int]) -> Labelled:
    """Sources with so many labels, of which every k-th (0 = none) is wrong."""
    parts = [(name, *falling(size, tuple(range(0, size, k)) if k else ())) for name, (size, k) in sizes.items()]
    return make_labelled(
        np.concatenate([c for _, c, _ in parts]),
        np.concatenate([r for _, _, r in parts]),
        system=np.concatenate([np.full(len(c), name, dtype=object) for name, c, _ in parts]),
    )


def test_a_source_with_enough_labels_stands_on_its_own(make_labelled: Make) -> None:
    policy = fitted(sources(make_labelled, crm=(400, 0), feed=(4000, 0), small=(50, 2)))
    assert set(policy.sources) == {"crm", "feed"}
    assert policy.sources["crm"].promise.kind == "certified" and policy.sources["crm"].auto_evidence.labels <= 400
    assert "3 promises" in policy.multiplicity()


def test_a_source_that_breaks_the_common_promise_is_stricter_or_reviewed(make_labelled: Make) -> None:
    policy = fitted(sources(make_labelled, clean=(6000, 0), dirty=(150, 5)))
    assert policy.promise.kind == "certified"
    assert policy.sources["dirty"].auto_threshold is None and policy.sources["dirty"].promise.kind == "none"
    late = sources(make_labelled, clean=(6000, 0), dirty=(150, 0))
    late.right[(late.system == "dirty") & (late.confidence < 0.5) & (np.arange(6150) % 3 == 0)] = False
    policy = fitted(late)
    assert policy.sources["dirty"].auto_threshold > policy.auto_threshold
    # What a stricter threshold accepts is right as often as promised.
    mine = late.only(late.system == "dirty")
    assert mine.right[mine.accepted(policy.sources["dirty"].auto_threshold)].mean() >= 0.99


def test_one_unlucky_label_gives_a_small_source_no_threshold_of_its_own(make_labelled: Make) -> None:
    policy = fitted(sources(make_labelled, clean=(6000, 0), small=(120, 120)))
    assert "small" not in policy.sources


def test_the_cheapest_thresholds_act_if_cost_chooses(make_labelled: Make) -> None:
    rng = np.random.default_rng(4)
    confidence = rng.random(800)
    records = make_labelled(confidence, rng.random(800) < confidence)
    costs = CostSettings(wrong_match=20, review=1, miss=5)
    policy = fitted(records, choose_by="cost", costs=costs)
    assert policy.promise.kind == "cost" and policy.sources == {}
    report = report_policy_costs(records, policy)
    assert report.cross_fitted and report.per_thousand < report.all_to_review == 1000
    assert report_policy_costs(records, fitted(records)) is None
    assert fitted(records, choose_by="cost", costs=costs, certified_only=True).auto_threshold is None
    sure = fitted(make_labelled(*falling(600)), choose_by="cost", costs=costs, certified_only=True)
    assert sure.auto_threshold is not None


def test_the_share_that_may_be_missed_is_of_all_known_records(make_labelled: Make) -> None:
    confidence, right = np.linspace(0.01, 1, 100), np.arange(100) % 2 == 1
    alone = make_labelled(confidence, right, known=right)
    assert review_threshold(alone, 0.02, None) == pytest.approx(0.04)
    by_rule = np.arange(1050) >= 100
    more = make_labelled(
        np.r_[confidence, np.zeros(950)], np.r_[right, np.zeros(950, dtype=bool)], known=np.r_[right, by_rule[100:]],
        judged=~by_rule, stands=~by_rule,
    )  # fmt: skip
    assert review_threshold(more, 0.02, None) == pytest.approx(0.42)
