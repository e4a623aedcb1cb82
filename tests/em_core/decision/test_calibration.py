"""Calibration: it finds a known distortion, leaves sound confidence alone, and never changes the order."""

from __future__ import annotations

import hypothesis
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import expit

from em_core.decision.calibration import Calibration, calibration_records, choose_calibration, fit_map


def answers(size: int, stretch: float, seed: int = 5) -> tuple[np.ndarray, np.ndarray]:
    """Probabilities whose log odds are `stretch` times too large, and answers drawn by the true ones."""
    rng = np.random.default_rng(seed)
    odds = rng.normal(1.0, 2.0, size)
    return expit(stretch * odds), rng.random(size) < expit(odds)


@pytest.mark.parametrize("stretch", [0.5, 2.0])
def test_a_distortion_is_found_and_undone(stretch: float) -> None:
    stated, right = answers(4000, stretch)
    report = choose_calibration(stated, right, np.arange(4000))
    assert report.chosen.method in ("platt", "beta")
    assert fit_map(stated, right, "platt").a == pytest.approx(1 / stretch, rel=0.1)
    assert report.after is not None and report.before is not None and report.after["ece"] < report.before["ece"] / 2
    assert report.log_loss[report.chosen.method] < report.log_loss["none"]
    assert f"{report.log_loss['none']:.4f}" in report.in_words()


def test_sound_confidence_is_rarely_touched() -> None:
    touched = sum(
        choose_calibration(*answers(400, 1.0, seed), np.arange(400)).chosen.method != "none" for seed in range(40)
    )
    assert touched <= 4


def test_labels_of_one_entity_are_no_independent_proof() -> None:
    stated, right = answers(120, 2.0)
    once = choose_calibration(stated, right, np.arange(120))
    # The same answers 40 times over: the gain stays, and so does its error.
    often = choose_calibration(np.tile(stated, 40), np.tile(right, 40), np.tile(np.arange(120), 40))
    assert often.standard_error["platt"] == pytest.approx(once.standard_error["platt"], rel=0.5)


def test_few_answers_of_a_kind_choose_nothing() -> None:
    stated, right = answers(500, 3.0)
    report = choose_calibration(stated, np.arange(500) >= 29, np.arange(500))
    assert report.chosen == Calibration() and "fewer of one kind" in report.in_words()
    assert choose_calibration(stated[:0], right[:0], np.zeros(0, dtype=int)).before is None


@hypothesis.settings(deadline=None, max_examples=60)
@given(
    st.lists(st.floats(1e-6, 1 - 1e-6), min_size=2, max_size=30, unique=True),
    st.floats(0.05, 5),
    st.floats(0.05, 5),
    st.floats(-3, 3),
)
def test_the_order_stays(stated: list[float], a: float, b: float, c: float) -> None:
    values = np.sort(np.array(stated))
    mapped = Calibration(method="beta", a=a, b=b, c=c)(values)
    assert (np.diff(mapped) >= 0).all() and ((mapped >= 0) & (mapped <= 1)).all()
    wide = np.diff(np.log(values) - np.log1p(-values)) > 1e-6
    assert (np.diff(mapped)[wide & (mapped[1:] < 1 - 1e-9)] > 0).all()


def test_no_candidate_and_no_estimate_stay_what_they_are() -> None:
    mapped = Calibration(method="platt", a=0.5, b=0.5, c=1.0)(np.array([0.0, np.nan, 0.5]))
    assert mapped[0] == 0 and np.isnan(mapped[1]) and mapped[2] == pytest.approx(expit(1.0))


def test_the_numbers_survive_the_manifest() -> None:
    chosen = fit_map(*answers(500, 2.0), "beta")
    assert Calibration(**chosen.model_dump(mode="json")) == chosen


def test_labels_alone_are_used_where_there_are_enough() -> None:
    judged, right = np.ones(200, dtype=bool), np.arange(200) % 2 == 0
    many, few = np.arange(200) < 60, np.arange(200) < 59
    assert calibration_records(judged, many, right).sum() == 60
    assert calibration_records(judged, few, right).sum() == 200
