from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import expit
from sklearn.metrics import f1_score
from sklearn.metrics import log_loss as sklearn_log_loss

from em_core.ditto.calibrate import best_threshold, figures, fit_temperature, log_loss

scored = st.lists(
    st.tuples(st.sampled_from([0.0, 0.1, 0.3, 0.5, 0.7, 0.99, 1.0]), st.booleans()), min_size=2, max_size=40
)


def test_a_known_temperature_is_recovered() -> None:
    rng = np.random.default_rng(0)
    logits = rng.normal(0, 2, 20_000)
    labels = (rng.random(20_000) < expit(logits)).astype(int)
    assert fit_temperature(3.0 * logits, labels) == pytest.approx(3.0, rel=0.05)
    assert fit_temperature(0.5 * logits, labels) == pytest.approx(0.5, rel=0.05)


def test_log_loss_agrees_with_sklearn_and_survives_extremes() -> None:
    logits, labels = np.array([2.0, -1.0, 0.3]), np.array([1, 0, 0])
    assert log_loss(logits, labels) == pytest.approx(sklearn_log_loss(labels, expit(logits)))
    assert log_loss(np.array([1000.0]), np.array([0])) == pytest.approx(1000.0)


@given(scored)
def test_no_threshold_has_a_better_f1(pairs: list[tuple[float, bool]]) -> None:
    probabilities = np.array([p for p, _ in pairs])
    labels = np.array([int(y) for _, y in pairs])
    if labels.min() == labels.max():
        return
    chosen = f1_score(labels, probabilities >= best_threshold(probabilities, labels))
    for other in np.unique(probabilities):
        assert chosen >= f1_score(labels, probabilities >= other) - 1e-12


def test_the_threshold_lies_between_the_scores() -> None:
    assert best_threshold(np.array([0.1, 0.2, 0.8, 0.9]), np.array([0, 0, 1, 1])) == pytest.approx(0.5)


def test_figures_count_right() -> None:
    made = figures(np.array([0.9, 0.8, 0.3, 0.1]), np.array([1, 0, 1, 0]), 0.5)
    assert (made["pairs"], made["positives"]) == (4, 2)
    assert (made["precision"], made["recall"], made["f1"]) == (0.5, 0.5, 0.5)
    assert made["average_precision"] == pytest.approx((1 + 2 / 3) / 2)
    assert made["brier"] == pytest.approx(np.mean([0.01, 0.64, 0.49, 0.01]))
    assert figures(np.array([0.1, 0.2]), np.array([1, 0]), 0.5)["f1"] == 0.0
