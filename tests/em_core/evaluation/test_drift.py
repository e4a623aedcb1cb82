"""Drift says what moved, does not cry at chance, and a shifted run is no baseline."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from em_core.evaluation.drift import PROFILE_TABLE, accept, chance_limit, measure_drift, profile_of, stability
from em_core.storage import DeltaStore


def results(n: int, auto: float, seed: int, system: str = "crm", model: str = "m") -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    automatic = rng.random(n) < auto
    return pd.DataFrame(
        {
            "source_system": system,
            "decision": np.where(automatic, "auto_match", "no_match"),
            "confidence": np.where(automatic, 1 - rng.random(n) * 0.01, np.nan),
            "matcher_version": model,
            "model_version": model,
        }
    )


@given(st.lists(st.integers(0, 1000), min_size=2, max_size=12))
def test_a_distribution_is_stable_against_itself_and_the_index_is_symmetric(counts: list[int]) -> None:
    one, other = np.array(counts), np.array(counts[::-1])
    assert stability(one, one) == 0
    assert stability(one, other) == pytest.approx(stability(other, one)) and stability(one, other) >= 0


def test_profile_counts_every_record() -> None:
    profile = profile_of(results(500, 0.7, 1))
    assert sum(profile.decisions.values()) == sum(profile.confidence) == profile.records == 500
    assert profile.confidence[-1] == profile.decisions["no_match"]


def test_a_shift_is_held_back_until_someone_accepts_it(tmp_path: Path) -> None:
    store = DeltaStore(tmp_path)
    (first,) = measure_drift(store, results(2000, 0.8, 1), "one")
    assert first.baseline is None and not first.shifted
    (same,) = measure_drift(store, results(2000, 0.8, 2), "two")
    assert same.baseline == "one" and not same.shifted and not same.unsettled
    (fallen,) = measure_drift(store, results(2000, 0.3, 3), "three")
    assert fallen.shifted and fallen.psi_decisions > 0.25 and fallen.baseline == "two"
    (again,) = measure_drift(store, results(2000, 0.3, 4), "four")
    assert again.shifted and again.baseline == "two"
    assert accept(store, "four") == 1 and accept(store, "four") == 0 and accept(store, "unknown") == 0
    (now,) = measure_drift(store, results(2000, 0.3, 5), "five")
    assert now.baseline == "four" and not now.shifted
    assert len(store.read(PROFILE_TABLE)) == 5


def test_the_same_run_is_never_its_own_baseline(tmp_path: Path) -> None:
    store = DeltaStore(tmp_path)
    measure_drift(store, results(2000, 0.8, 1), "one")
    assert measure_drift(store, results(2000, 0.2, 2), "one")[0].baseline is None


def test_small_feeds_are_not_judged_by_chance(tmp_path: Path) -> None:
    cried = 0
    for seed in range(40):
        store = DeltaStore(tmp_path / str(seed))
        measure_drift(store, results(12, 0.6, seed), "one")
        cried += measure_drift(store, results(12, 0.6, 1000 + seed), "two")[0].shifted
    assert cried <= 1 and chance_limit(12, 12, 8) > 0.25


def test_another_model_is_held_to_its_decisions_not_to_another_yardstick(tmp_path: Path) -> None:
    store = DeltaStore(tmp_path)
    measure_drift(store, results(2000, 0.8, 1), "one")
    for model, held in (("m", True), ("other", False)):
        surer = results(2000, 0.8, 2, model=model)
        surer["confidence"] = surer["confidence"] - 0.2
        (drift,) = measure_drift(store, surer, f"two-{model}")
        assert drift.psi_confidence > 0.25 > drift.psi_decisions and drift.shifted == held and drift.unsettled != held
    (fallen,) = measure_drift(store, results(2000, 0.1, 3, model="third"), "three")
    assert fallen.shifted and not fallen.same_model


def test_systems_are_judged_apart(tmp_path: Path) -> None:
    store = DeltaStore(tmp_path)
    measure_drift(store, pd.concat([results(1000, 0.8, 1), results(1000, 0.8, 2, "erp")]), "one")
    found = measure_drift(store, pd.concat([results(1000, 0.8, 3), results(1000, 0.1, 4, "erp")]), "two")
    assert {d.system: d.shifted for d in found} == {"crm": False, "erp": True}
