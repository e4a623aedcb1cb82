import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binom, binomtest

from em_core.evaluation import clopper_pearson, labels_needed, lower_bound, upper_bound


@pytest.mark.parametrize(("errors", "labels"), [(0, 299), (1, 473), (3, 773), (5, 1049), (10, 1693)])
def test_labels_for_99_percent_at_95_percent_certainty(errors, labels):
    assert labels_needed(errors) == labels


def test_labels_needed_takes_arrays():
    assert labels_needed(np.array([0, 3, 10])).tolist() == [299, 773, 1693]
    assert labels_needed(np.array([], dtype=int)).size == 0


@given(st.integers(0, 12), st.floats(0.5, 0.99), st.floats(0.5, 0.99))
def test_labels_needed_is_the_first_number_that_proves_the_precision(errors, precision, certainty):
    labels = labels_needed(errors, precision, certainty)
    assert lower_bound(labels - errors, labels, certainty) >= precision - 1e-9
    assert lower_bound(labels - 1 - errors, labels - 1, certainty) < precision + 1e-9


@given(st.integers(0, 60).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))), st.floats(0.5, 0.999))
def test_interval_equals_scipys_exact_one(counts, level):
    hits, trials = counts
    low, high = clopper_pearson(hits, trials, level)
    if trials == 0:
        assert (low, high) == (0, 1)
        return
    expected = binomtest(hits, trials).proportion_ci(level, "exact")
    assert low == pytest.approx(expected.low, abs=1e-9)
    assert high == pytest.approx(expected.high, abs=1e-9)


@pytest.mark.parametrize("trials", [1, 7, 40])
def test_bounds_cover_the_truth_at_least_as_often_as_stated(trials):
    hits = np.arange(trials + 1)
    low, high = clopper_pearson(hits, trials, 0.9)
    for share in np.linspace(0.01, 0.99, 33):
        chance = binom.pmf(hits, trials, share)
        assert chance[(low <= share) & (share <= high)].sum() >= 0.9 - 1e-12
        assert chance[lower_bound(hits, trials, 0.9) <= share].sum() >= 0.9 - 1e-12
        assert chance[upper_bound(hits, trials, 0.9) >= share].sum() >= 0.9 - 1e-12


def test_shapes_broadcast():
    low, high = clopper_pearson([[0], [5]], [10, 20, 30])
    assert low.shape == high.shape == (2, 3)
    assert (low <= high).all()


@pytest.mark.parametrize(("hits", "trials"), [(5, 4), (-1, 4), (np.nan, 4)])
def test_impossible_counts_are_refused(hits, trials):
    with pytest.raises(ValueError, match="between 0 and trials"):
        clopper_pearson(hits, trials)


@pytest.mark.parametrize("share", [0.0, 1.0, 95.0])
def test_certainty_and_precision_lie_inside_0_and_1(share):
    with pytest.raises(ValueError, match="between 0 and 1"):
        lower_bound(1, 2, share)
    with pytest.raises(ValueError, match="between 0 and 1"):
        labels_needed(0, precision=share)
