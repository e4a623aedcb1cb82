"""Thresholds: the promise is kept on the labels, and the evidence is told."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from em_core.decision.policy import DecisionPolicy, Evidence, PolicySettings, fit_thresholds

SETTINGS = PolicySettings(precision=0.9)


@given(st.lists(st.tuples(st.integers(0, 10), st.booleans(), st.booleans()), min_size=1, max_size=80))
def test_the_accepted_set_keeps_the_precision(rows: list[tuple[int, bool, bool]]) -> None:
    confidence = np.array([c / 10 for c, _, _ in rows])
    known = np.array([k for _, _, k in rows])
    right = np.array([r for _, r, _ in rows]) & known
    auto, review, evidence = fit_thresholds(confidence, right, known, SETTINGS)
    if auto is None:
        assert evidence.labels == 0
        return
    accepted = confidence >= auto
    assert evidence.labels == accepted.sum() and right[accepted].mean() >= SETTINGS.precision
    assert review <= auto
    for lower in np.unique(confidence[confidence < auto]):
        assert right[confidence >= lower].mean() < SETTINGS.precision


def test_without_enough_right_answers_nothing_is_automatic() -> None:
    auto, _, evidence = fit_thresholds(np.array([0.9, 0.8]), np.array([False, False]), np.array([True, True]), SETTINGS)
    assert auto is None and evidence.precision is None


def test_evidence_of_299_right_labels_certifies_99_percent() -> None:
    assert Evidence.of(np.ones(299, dtype=bool), 0.95).lower_bound >= 0.99
    assert Evidence.of(np.ones(298, dtype=bool), 0.95).lower_bound < 0.99


def test_a_rung_decides_only_with_labels_that_keep_the_promise() -> None:
    rungs = {
        "LEI": Evidence.of(np.ones(200, dtype=bool), 0.95),
        "FIGI": Evidence.of(np.ones(99, dtype=bool), 0.95),
        "CUSIP": Evidence.of(np.arange(1000) > 5, 0.95),
        "ISIN": Evidence.of(np.zeros(0, dtype=bool), 0.95),
        "NAME_UNIQUE": Evidence.of(np.arange(10) > 2, 0.95),
    }
    policy = DecisionPolicy(
        settings=SETTINGS,
        auto_threshold=None,
        review_threshold=0.5,
        auto_evidence=rungs["ISIN"],
        rungs=rungs,
        labels_from="labels",
    )
    assert policy.automatic_rungs() == {"LEI"}
    assert "sends everything to review" in policy.in_words()


def test_the_share_that_may_be_missed_is_of_all_known_records() -> None:
    confidence = np.linspace(0.01, 1, 100)
    right = np.arange(100) % 2 == 1
    settings = PolicySettings(max_missed=0.02)
    _, few, _ = fit_thresholds(confidence, right, right, settings)
    _, many, _ = fit_thresholds(confidence, right, right, settings, all_known=1000)
    assert (few, many) == (pytest.approx(0.04), pytest.approx(0.42))
