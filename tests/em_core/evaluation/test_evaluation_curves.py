import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from em_core.evaluation import Costs, recall_at_precision, recall_at_precision_interval
from em_core.evaluation.curves import calibration, histogram, precision_recall_curve, threshold_table

# Few distinct confidences, so that ties are the rule.
RECORDS = st.lists(
    st.tuples(st.sampled_from([np.nan, 0.0, 0.3, 0.5, 0.9, 0.99, 1.0]), st.booleans(), st.booleans()), max_size=40
).map(lambda rows: [(c, r and k and not np.isnan(c), k) for c, r, k in rows])


def arrays(rows):
    confidence = np.array([row[0] for row in rows], dtype=float)
    return confidence, np.array([row[1] for row in rows], dtype=bool), np.array([row[2] for row in rows], dtype=bool)


def by_hand(confidence, right, known_count, target):
    """The definition, spelled out: try every threshold, keep the lowest that is precise enough."""
    best = None
    for threshold in sorted({c for c in confidence if c == c}, reverse=True):
        accepted = [r for c, r in zip(confidence, right, strict=True) if c >= threshold]
        if sum(accepted) / len(accepted) >= target:
            best = (threshold, len(accepted), sum(accepted), sum(accepted) / known_count if known_count else None)
    return best


@given(RECORDS, st.sampled_from([0.5, 0.8, 0.95, 0.99, 1.0]))
def test_recall_at_precision_follows_its_definition(rows, target):
    confidence, right, known = arrays(rows)
    point = recall_at_precision(confidence, right, int(known.sum()), target)
    expected = by_hand(confidence.tolist(), right.tolist(), int(known.sum()), target)
    if expected is None:
        assert (point.threshold, point.accepted) == (None, 0)
        assert point.recall == (0.0 if known.any() else None)
    else:
        assert (point.threshold, point.accepted, point.right, point.recall) == expected


@given(RECORDS)
def test_a_higher_target_never_raises_recall(rows):
    confidence, right, known = arrays(rows)
    recalls = [recall_at_precision(confidence, right, int(known.sum()), t).recall for t in (0.5, 0.9, 0.99, 1.0)]
    if known.any():
        assert recalls == sorted(recalls, reverse=True)
    else:
        assert recalls == [None] * 4


@given(RECORDS, st.randoms(use_true_random=False))
def test_row_order_changes_nothing(rows, random):
    shuffled = random.sample(rows, len(rows))
    for measure in (
        lambda c, r, k: recall_at_precision(c, r, int(k.sum()), 0.9),
        lambda c, r, k: recall_at_precision_interval(c, r, k, (0.9,), rounds=5),
        lambda c, r, k: threshold_table(c, r, k, (0.3, 0.9), 0.95),
        lambda c, r, k: precision_recall_curve(c, r, int(k.sum())),
        lambda c, r, k: calibration(c, r, 0.95),
        histogram,
    ):
        assert measure(*arrays(rows)) == measure(*arrays(shuffled))


def test_records_of_equal_confidence_are_accepted_together():
    # Alone, either order of the tied pair would reach 100 % or miss it: the block is 3 of 4 right.
    confidence = np.array([0.9, 0.9, 0.9, 0.9])
    assert recall_at_precision(confidence, np.array([True, True, True, False]), 4, 0.99).recall == 0.0
    assert recall_at_precision(confidence, np.array([True, True, True, False]), 4, 0.75).recall == 0.75


def test_unseen_records_count_against_precision():
    confidence, right = np.array([0.9, 0.8, 0.7]), np.array([True, False, True])
    point = recall_at_precision(confidence, right, 2, 0.99)
    assert (point.recall, point.threshold, point.accepted) == (0.5, 0.9, 1)


def test_target_is_met_exactly():
    right = np.arange(100) > 0  # 99 of 100, the wrong one first
    assert recall_at_precision(np.linspace(1, 0, 100), right, 99, 0.99).recall == 1.0


def test_bootstrap_is_seeded_and_narrows_with_more_records():
    generator = np.random.default_rng(0)

    def width(count, seed=0):
        confidence = generator.random(count)
        right = generator.random(count) < 0.9 + 0.1 * confidence
        ((low, high),) = recall_at_precision_interval(confidence, right, np.ones(count, bool), (0.97,), seed=seed)
        assert 0 <= low <= high <= 1
        return high - low

    assert width(20_000) < width(200)
    rows = generator.random(50), np.arange(50) % 7 > 0, np.ones(50, bool)
    assert recall_at_precision_interval(*rows, (0.9,), seed=3) == recall_at_precision_interval(*rows, (0.9,), seed=3)


def test_bootstrap_without_doubt_or_without_known_records():
    sure = np.linspace(0.5, 1, 30), np.ones(30, bool), np.ones(30, bool)
    assert recall_at_precision_interval(*sure, (0.99,)) == [(1.0, 1.0)]
    assert recall_at_precision_interval(sure[0], ~sure[1], ~sure[2], (0.99, 0.95)) == [(None, None)] * 2


def test_threshold_table_by_hand():
    confidence = np.array([0.95, 0.9, 0.9, 0.5, np.nan])
    right = np.array([True, True, False, True, False])
    known = np.array([True, True, False, True, True])  # the last one is missed
    high, low = threshold_table(confidence, right, known, (0.5, 0.9), 0.95, Costs(wrong_match=10, review=1, miss=4))
    assert (high.threshold, high.accepted, high.wrong, high.precision.value, high.recall.value) == (
        0.9,
        3,
        1,
        2 / 3,
        0.5,
    )
    assert (low.threshold, low.accepted, low.wrong, low.precision.value, low.recall.value) == (0.5, 4, 1, 0.75, 0.75)
    assert high.precision.low < 2 / 3 < high.precision.high
    assert (high.review, high.cost) == (1, (10 * 1 + 1 * 1 + 4 * 1) / 5 * 1000)
    assert (low.review, low.cost) == (0, (10 * 1 + 4 * 1) / 5 * 1000)


def test_threshold_that_accepts_nothing_has_no_precision():
    (row,) = threshold_table(np.array([0.2]), np.array([True]), np.array([True]), (0.9,), 0.95)
    assert (row.accepted, row.precision.value, row.precision.low, row.recall.value) == (0, None, None, 0.0)


def test_curve_is_thinned_but_keeps_both_ends():
    confidence = np.linspace(0, 1, 5000)
    curve = precision_recall_curve(confidence, np.ones(5000, bool), 5000, points=50)
    assert len(curve) == 50
    assert (curve[0].threshold, curve[-1].threshold, curve[-1].recall) == (1.0, 0.0, 1.0)


def test_calibration_by_hand():
    found = calibration(np.array([0.2, 0.2, 0.8, 0.8]), np.array([False, True, True, True]), 0.95, bins=2)
    assert [(b.stated, b.found.hits, b.found.total) for b in found.bins] == [(0.2, 1, 2), (0.8, 2, 2)]
    assert found.ece == pytest.approx((2 * 0.3 + 2 * 0.2) / 4)
    assert found.brier == pytest.approx((0.04 + 0.64 + 0.04 + 0.04) / 4)


@given(st.lists(st.tuples(st.floats(0, 1), st.booleans()), min_size=1, max_size=200))
def test_calibration_bins_hold_every_identifier_once_in_order(rows):
    confidence = np.array([row[0] for row in rows])
    found = calibration(confidence, np.array([row[1] for row in rows]), 0.95)
    assert sum(b.found.total for b in found.bins) == found.count == len(rows)
    assert 1 <= len(found.bins) <= 10
    assert all(b.low <= b.stated + 1e-12 and b.stated <= b.high + 1e-12 for b in found.bins)
    assert all(one.high < two.low for one, two in zip(found.bins, found.bins[1:], strict=False))
    assert 0 <= found.ece <= 1
    assert 0 <= found.brier <= 1


def test_true_probabilities_are_found_calibrated():
    generator = np.random.default_rng(5)
    confidence = generator.random(40_000)
    honest = calibration(confidence, generator.random(40_000) < confidence, 0.95)
    boastful = calibration(confidence, generator.random(40_000) < confidence**2, 0.95)
    assert honest.ece < 0.02
    assert boastful.ece == pytest.approx(1 / 6, abs=0.02)  # mean of p - p^2
    assert honest.brier == pytest.approx(1 / 6, abs=0.01)  # mean of p(1 - p)


def test_nothing_given_nothing_measured():
    nothing = np.array([np.nan, np.nan]), np.array([False, False])
    assert calibration(*nothing, 0.95) is None
    assert precision_recall_curve(*nothing, 2) == []
    assert recall_at_precision(*nothing, 2, 0.99).recall == 0.0


def test_histogram_keeps_both_edges():
    counts = histogram(
        np.array([0.0, 1.0, 0.5, np.nan]), np.array([True, True, False, True]), np.array([1, 1, 1, 1], bool)
    )
    assert (counts.right[0], counts.right[-1], sum(counts.right), sum(counts.wrong)) == (1, 1, 2, 1)
