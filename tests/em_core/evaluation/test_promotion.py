"""The gate: cheaper beyond chance on the whole, and worse nowhere."""

from __future__ import annotations

import numpy as np
import pandas as pd

from em_core.evaluation import Costs
from em_core.evaluation.promotion import GateSettings, compare_costs, judge, outcome_costs

COSTS = Costs(wrong_match=20, review=1, miss=5)


def records(n: int) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "source_system": np.where(np.arange(n) % 4 == 0, "erp", "crm"),
            "source_id": [f"s{i}" for i in range(n)],
            "entity_id": [f"e{i}" if i % 5 else None for i in range(n)],
            "hidden_id": [None if i % 5 else f"e{i}" for i in range(n)],
        }
    )


def results(given: pd.DataFrame, right: np.ndarray, version: str) -> pd.DataFrame:
    """Right automatic matches and no matches where `right`, review elsewhere."""
    known = given["entity_id"].notna().to_numpy()
    decision = np.where(~right, "review", np.where(known, "auto_match", "no_match"))
    found = np.where(known, given["entity_id"].fillna("e?"), np.where(decision == "review", "other", None))
    confidence = np.where(decision == "no_match", np.nan, np.where(right, 0.999, 0.5))
    return pd.DataFrame(
        {
            **{c: given[c] for c in ("source_system", "source_id")},
            "matched_entity_id": np.where(decision == "no_match", None, found),
            "matched_name": None, "decision": decision, "confidence": confidence, "stage": "scorer", "method": "SCORER",
            "reason": "r", "runner_up_id": None, "margin": np.nan, "evidence": "{}", "run_id": "r",
            "matcher_version": version, "reference_version": "v", "matched_at": pd.Timestamp("2026-01-01", tz="UTC"),
        }
    )  # fmt: skip


def test_costs_of_outcomes() -> None:
    frame = pd.DataFrame(
        {
            "decision": ["auto_match", "auto_match", "auto_match", "review", "no_match", "no_match"],
            "matched_entity_id": ["a", "b", "c", "d", None, None],
        }
    )
    answers = np.array(["a", "x", None, "z", "q", None], dtype=object)
    assert outcome_costs(frame, answers, COSTS).tolist() == [0, 20, 20, 1, 5, 0]


def test_better_everywhere_wins_and_equal_does_not() -> None:
    given = records(1000)
    rng = np.random.default_rng(0)
    good, bad = rng.random(1000) < 0.95, rng.random(1000) < 0.8
    champion, challenger = results(given, bad, "old"), results(given, good, "new")
    verdict = judge(given, champion, challenger, COSTS, GateSettings())
    assert verdict.promote and set(verdict.systems) == {"crm", "erp"} and verdict.metrics()["promoted"] == 1
    assert not judge(given, challenger, champion, COSTS, GateSettings()).promote
    same = judge(given, champion, champion, COSTS, GateSettings())
    assert not same.promote and "not cheaper" in same.reason


def test_worse_on_one_system_stops_it() -> None:
    given = records(1000)
    erp = (given["source_system"] == "erp").to_numpy()
    rng = np.random.default_rng(0)
    before = rng.random(1000) < 0.8
    after = np.where(erp, rng.random(1000) < 0.6, True)
    verdict = judge(given, results(given, before, "old"), results(given, after, "new"), COSTS, GateSettings())
    assert not verdict.promote and "worse on erp" in verdict.reason and verdict.overall is not None
    assert verdict.overall.high < 0 < verdict.systems["erp"].low


def test_too_few_records_promote_nothing() -> None:
    given = records(50)
    verdict = judge(
        given,
        results(given, np.zeros(50, dtype=bool), "old"),
        results(given, np.ones(50, dtype=bool), "new"),
        COSTS,
        GateSettings(),
    )
    assert not verdict.promote and "only 50 records" in verdict.reason


def test_equal_matchers_are_rarely_told_apart() -> None:
    """The interval holds its level: of two samples of one matcher, the challenger seems better in about 1 of 40."""
    rng, won = np.random.default_rng(1), 0
    for seed in range(100):
        difference = rng.choice([-1.0, 0.0, 0.0, 1.0], size=400)
        won += compare_costs(difference, np.arange(400), 0.95, seed).high < 0
    assert won <= 9  # 1 in 40 expected; more than 9 of 100 has a chance of 2 in 10,000
