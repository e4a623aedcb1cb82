"""The scorer's models: columns that hardly ever have a value, and open pairs."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from em_core.decision.scorer import ScorerSettings, fit_list_model, fit_pair_model, open_pairs

SETTINGS = ScorerSettings(pair_iterations=20, list_iterations=20)


def pairs(size: int = 600) -> tuple[pd.DataFrame, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(3)
    right = rng.random(size) < 0.4
    features = pd.DataFrame({"ratio": right + rng.normal(0, 0.4, size), "rare": np.full(size, np.nan)})
    return features, right, np.repeat(np.arange(size // 2), 2)


@pytest.mark.parametrize("values", [0, 1, 5])
def test_a_column_that_is_missing_in_a_whole_fold(values: int) -> None:
    features, right, group = pairs()
    features.loc[: values - 1, "rare"] = 1.0
    model, held_out = fit_pair_model(features, right, group, SETTINGS)
    assert ((held_out > 0.5) == right).mean() > 0.8
    assert ((model.predict_proba(features.to_numpy(dtype=np.float32))[:, 1] > 0.5) == right).mean() > 0.8


def test_no_pair_was_sent_to_ditto() -> None:
    features, right, group = pairs()
    _, pair = fit_pair_model(features, right, group, SETTINGS)
    fit_list_model(features, group, pair, np.full(len(pair), np.nan), right, SETTINGS)


def test_open_pairs_are_the_best_of_records_in_doubt() -> None:
    query = np.repeat([0, 1, 2], 4)
    pair = np.array([0.99, 0.5, 0.4, 0.3, 0.6, 0.5, 0.01, 0.4, 0.01, 0.01, 0.01, 0.01])
    assert np.flatnonzero(open_pairs(query, pair, ScorerSettings(open_pairs=2))).tolist() == [4, 5]
