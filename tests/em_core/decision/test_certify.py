"""Certified thresholds: the promise holds over repeated draws, whatever the labels' luck."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from em_core.decision.certify import certify, estimate_threshold, labels_for_promise
from em_core.evaluation.intervals import labels_needed, lower_bound

PRECISION, CERTAINTY = 0.95, 0.9


def draw(rng: np.random.Generator, size: int, top: float) -> tuple[np.ndarray, np.ndarray]:
    """Confidences, uniform and in hundredths for a quarter of the records, and answers that get worse below."""
    confidence = rng.random(size)
    confidence[: size // 4] = confidence[: size // 4].round(2)
    return confidence, rng.random(size) >= chance_of_error(confidence, top)


def chance_of_error(confidence: np.ndarray, top: float) -> np.ndarray:
    return top + 0.25 * np.clip(0.6 - confidence, 0, 1)


def true_precision(threshold: float, top: float) -> float:
    fine = np.linspace(threshold, 1, 2001)
    return 1 - float(chance_of_error(fine, top).mean())


@pytest.mark.parametrize("top", [0.005, 0.02])
def test_over_repeated_draws_the_promise_is_broken_no_more_often_than_stated(top: float) -> None:
    rng = np.random.default_rng(20)
    rounds, broken, naive, reached = 300, 0, 0, 0
    for _ in range(rounds):
        confidence, right = draw(rng, 1200, top)
        claims = [c for c in certify(confidence, right, PRECISION, CERTAINTY).claims if c.precision == PRECISION]
        reached += bool(claims)
        broken += any(true_precision(c.threshold, top) < PRECISION for c in claims)
        estimate = estimate_threshold(confidence, right, PRECISION)
        naive += estimate is not None and true_precision(estimate, top) < PRECISION
    assert broken / rounds <= 1 - CERTAINTY
    assert naive / rounds > 0.3
    assert reached / rounds > 0.8


def test_weaker_promises_share_the_certainty() -> None:
    rng = np.random.default_rng(21)
    rounds, broken, weaker = 300, 0, 0
    for _ in range(rounds):
        confidence, right = draw(rng, 600, top=0.06)
        claims = certify(confidence, right, PRECISION, CERTAINTY, (0.9, 0.8)).claims
        weaker += any(c.precision < PRECISION for c in claims)
        broken += any(true_precision(c.threshold, 0.06) < c.precision for c in claims)
    assert broken / rounds <= 1 - CERTAINTY and weaker / rounds > 0.5


def test_an_early_wrong_label_does_not_end_it() -> None:
    right = np.ones(3000, dtype=bool)
    right[3] = False
    found = certify(np.linspace(1, 0, 3000), right, 0.99, 0.95)
    assert max(c.accepted for c in found.claims) == 3000
    assert len(found.looked_at) > 1 and found.certainty > 0.95


@settings(deadline=None, max_examples=60)
@given(
    st.lists(st.tuples(st.integers(0, 12), st.booleans()), max_size=400),
    st.sampled_from([0.6, 0.8, 0.9]),
)
def test_every_claim_is_a_passing_bound_and_order_never_counts(rows: list[tuple[int, bool]], precision: float) -> None:
    confidence, right = np.array([c for c, _ in rows], dtype=float), np.array([r for _, r in rows], dtype=bool)
    found = certify(confidence, right, precision, 0.9, (0.5,))
    for claim in found.claims:
        taken = confidence >= claim.threshold
        assert (claim.accepted, claim.errors) == (taken.sum(), (~right[taken]).sum())
        assert lower_bound(right[taken].sum(), taken.sum(), 0.9) >= claim.precision - 1e-9
    order = np.random.default_rng(0).permutation(len(rows))
    assert certify(confidence[order], right[order], precision, 0.9, (0.5,)) == found


def test_steps_and_starts_do_not_look_at_the_answers() -> None:
    confidence = np.random.default_rng(1).random(2000)
    good, bad = np.ones(2000, dtype=bool), np.zeros(2000, dtype=bool)
    one, other = (certify(confidence, right, 0.99, 0.95) for right in (good, bad))
    assert [n for n, _ in one.looked_at] == [n for n, _ in other.looked_at] and one.certainty == other.certainty


def test_too_few_labels_certify_a_weaker_promise_or_nothing() -> None:
    few = certify(np.linspace(1, 0, 298), np.ones(298, dtype=bool), 0.99, 0.95, (0.98, 0.9))
    assert max(c.precision for c in few.claims) == 0.98
    assert certify(np.linspace(1, 0, 298), np.ones(298, dtype=bool), 0.99, 0.95).claims == ()
    enough = certify(np.linspace(1, 0, 299), np.ones(299, dtype=bool), 0.99, 0.95)
    assert [(c.accepted, c.precision) for c in enough.claims] == [(299, 0.99)]
    assert certify(np.zeros(0), np.zeros(0, dtype=bool), 0.99, 0.95, (0.5,)).claims == ()


def test_labels_for_a_promise() -> None:
    # No error in half of the records: twice as many records as the bound needs.
    assert labels_for_promise([(100, 0)], 200, 0.99, 0.95) == 2 * labels_needed(0, 0.99, 0.95)
    # One wrong in 200: the fewest labels in which that share may be wrong.
    needed = labels_for_promise([(200, 1)], 200, 0.99, 0.95)
    errors = int(np.floor(needed / 200))
    assert labels_needed(errors, 0.99, 0.95) <= needed < 2000
    assert labels_for_promise([(100, 1), (0, 0)], 200, 0.99, 0.95) is None
    assert labels_for_promise([], 200, 0.99, 0.95) is None


def test_the_estimate_accepts_equal_confidences_together() -> None:
    assert estimate_threshold(np.array([0.9, 0.5, 0.5]), np.array([True, True, False]), 0.9) == 0.9
    assert estimate_threshold(np.array([0.9]), np.array([False]), 0.9) is None
