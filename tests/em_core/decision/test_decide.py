"""Decisions: thresholds of the record's own source, calibrated confidence, ties as the models see them."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy.special import expit

from em_core.decision.calibration import Calibration
from em_core.decision.decide import Decisions, decide
from em_core.decision.exact import RUNGS, ExactHits
from em_core.decision.policy import DecisionPolicy, Evidence, PolicySettings, Thresholds

NOTHING = Evidence.of(np.zeros(0, dtype=bool), 0.95)
POLICY = DecisionPolicy(
    settings=PolicySettings(tie=0.05), auto_threshold=0.8, review_threshold=0.4, auto_evidence=NOTHING, rungs={}, labels_from="labels",
    sources={"hard": Thresholds(auto_threshold=0.9, review_threshold=0.6, auto_evidence=NOTHING),
             "never": Thresholds(auto_threshold=None, review_threshold=0.4, auto_evidence=NOTHING)},
)  # fmt: skip


def decided(pairs: list[tuple[float, float]], policy: DecisionPolicy = POLICY, system: str | None = None) -> Decisions:
    """Records with two candidates each, of the given probabilities."""
    n = len(pairs)
    table = pd.DataFrame({"query": np.repeat(np.arange(n), 2), "entity": np.arange(2 * n), "rank": np.tile([0, 1], n)})
    none = np.full(n, -1)
    empty = np.full(n, "", dtype=object)
    hits = ExactHits(np.full((n, len(RUNGS)), -1), empty, empty, none, none, empty, {})
    unknown = np.full(2 * n, np.nan)
    systems = None if system is None else np.full(n, system, dtype=object)
    return decide(policy, hits, table, np.array(pairs).ravel(), unknown, unknown, np.zeros(n, dtype=bool), systems)


@pytest.mark.parametrize(
    ("system", "outcomes"),
    [
        (None, ["auto_match", "auto_match", "review", "no_match"]),
        ("elsewhere", ["auto_match", "auto_match", "review", "no_match"]),
        ("hard", ["auto_match", "review", "no_match", "no_match"]),
        ("never", ["review", "review", "review", "no_match"]),
    ],
)
def test_a_record_is_held_to_the_thresholds_of_its_source(system: str | None, outcomes: list[str]) -> None:
    found = decided([(0.95, 0.1), (0.85, 0.1), (0.5, 0.1), (0.3, 0.1)], system=system)
    assert found.decision.tolist() == outcomes


def test_confidence_is_calibrated_and_ties_are_not() -> None:
    steep = POLICY.model_copy(update={"calibration": Calibration(method="platt", a=3.0, b=3.0, c=-1.0)})
    pairs = [(0.92, 0.88), (0.92, 0.80), (0.6, 0.2)]
    plain, found = decided(pairs), decided(pairs, steep)
    odds = np.log([0.92, 0.92, 0.6]) - np.log1p(-np.array([0.92, 0.92, 0.6]))
    assert found.confidence == pytest.approx(expit(3 * odds - 1))
    assert found.decision.tolist() == ["review", "auto_match", "review"]
    # The same two candidates tie with and without calibration, and the ranks stay.
    assert plain.method.tolist() == ["AMBIGUOUS", "SCORER", "NEAR_MISS"] == found.method.tolist()
    assert plain.entity.tolist() == found.entity.tolist()
