"""Contributions add up to the model's log odds, whatever was learned and whatever is missing."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.ensemble import HistGradientBoostingClassifier

from em_core.decision.contributions import (
    FAMILIES,
    FAMILY_OF,
    LIST_FEATURES,
    PARTS,
    Attributor,
    TreeContributions,
    hand_on,
)
from em_core.decision.features import FEATURES
from em_core.decision.scorer import Scorer, ScorerSettings, fit_list_model, fit_pair_model

PAIR_LOGIT = PARTS.index("pair_logit")


def model_of(
    rng: np.random.Generator, rows: int, columns: int, **options: object
) -> tuple[HistGradientBoostingClassifier, np.ndarray]:
    """A model fitted on random data of which a part is missing, and that data."""
    table = np.round(rng.normal(size=(rows, columns)), 1)
    table[rng.random(table.shape) < rng.random()] = np.nan
    table[[0, -1]] = [[0.0], [1.0]]  # scikit-learn cannot bin a column without values
    right = (np.nan_to_num(table[:, 0]) + rng.normal(size=rows)) > 0
    right[:2] = True, False
    model = HistGradientBoostingClassifier(early_stopping=False, min_samples_leaf=2, **options)
    return model.fit(table, right), table


@settings(deadline=None, max_examples=25)
@given(
    st.integers(0, 2**32 - 1), st.integers(1, 5), st.integers(5, 120), st.integers(1, 12), st.integers(2, 20),
    st.floats(0.01, 1.0),
)  # fmt: skip
def test_contributions_and_base_add_up_to_the_log_odds(
    seed: int, columns: int, rows: int, iterations: int, leaves: int, rate: float
) -> None:
    rng = np.random.default_rng(seed)
    model, table = model_of(rng, rows, columns, max_iter=iterations, max_leaf_nodes=leaves, learning_rate=rate)
    trees = TreeContributions.of(model)
    other = rng.choice([np.nan, -np.inf, np.inf, 0.0, 0.1, 5.0], size=(20, columns))
    for asked in (table, table.astype(np.float32), other, table[:0]):
        wanted = model.decision_function(asked) if len(asked) else np.zeros(0)
        np.testing.assert_allclose(trees.base + trees(asked).sum(axis=1), wanted, rtol=0, atol=1e-9)


def test_a_row_is_attributed_alike_whatever_stands_beside_it() -> None:
    model, table = model_of(np.random.default_rng(1), 1500, 4, max_iter=20)
    trees = TreeContributions.of(model)
    whole = trees(table)
    assert (trees(table[700:703]) == whole[700:703]).all()


def test_the_base_is_the_mean_log_odds_and_a_feature_never_asked_moves_nothing() -> None:
    rng = np.random.default_rng(2)
    table = np.column_stack([rng.normal(size=800), np.full(800, 3.0)])
    model = HistGradientBoostingClassifier(max_iter=15, early_stopping=False).fit(table, table[:, 0] > 0.5)
    trees = TreeContributions.of(model)
    assert trees.base == pytest.approx(model.decision_function(table).mean(), abs=1e-9)
    parts = trees(table)
    assert (parts[:, 1] == 0).all() and (parts[table[:, 0] > 1, 0] > 0).all() and (parts[table[:, 0] < 0, 0] < 0).all()


def test_several_classes_and_categories_are_refused() -> None:
    rng = np.random.default_rng(3)
    table = rng.integers(0, 3, size=(200, 1)).astype(float)
    with pytest.raises(ValueError, match="two classes"):
        TreeContributions.of(HistGradientBoostingClassifier(max_iter=2).fit(table, table[:, 0]))
    model = HistGradientBoostingClassifier(max_iter=2, categorical_features=[0]).fit(table, table[:, 0] == 1)
    with pytest.raises(ValueError, match="categorical"):
        TreeContributions.of(model)


@settings(deadline=None, max_examples=60)
@given(
    st.integers(0, 2**32 - 1), st.sampled_from([0.0, 1e-15, 1e-3, 1.0, 30.0]), st.sampled_from([0.0, 1e-15, 0.1, 8.0])
)
def test_handing_on_keeps_the_sum_the_sides_and_the_bounds(seed: int, share: float, scale: float) -> None:
    rng = np.random.default_rng(seed)
    parts, own = rng.normal(size=(4, len(PARTS))), rng.normal(size=(4, len(FEATURES))) * scale
    parts[:, PAIR_LOGIT] = rng.normal(size=4) * share
    out = hand_on(parts, own)
    np.testing.assert_allclose(out.sum(axis=1), parts.sum(axis=1), rtol=0, atol=1e-9)
    moved = out[:, : len(FEATURES)] - parts[:, : len(FEATURES)]
    assert (moved * own >= -1e-12).all() and (np.abs(moved) <= np.abs(own) + 1e-12).all()


def test_a_share_within_the_pairs_reasons_is_handed_on_whole() -> None:
    parts, own = np.zeros((1, len(PARTS))), np.zeros((1, len(FEATURES)))
    own[0, :2] = 3.0, -1.0
    parts[0, PAIR_LOGIT] = 1.0
    out = hand_on(parts, own)
    assert out[0, :2].tolist() == [1.5, -0.5] and out[0, PAIR_LOGIT] == 0


def test_every_part_is_in_one_family() -> None:
    assert sorted(PARTS) == sorted(feature for features in FAMILIES.values() for feature in features)
    assert len(PARTS) == len(set(PARTS)) and set(FAMILY_OF) == {*FEATURES, *LIST_FEATURES}


def test_both_models_of_a_scorer_add_up() -> None:
    rng = np.random.default_rng(5)
    query = np.repeat(np.arange(150), 4)
    right = np.tile([True, False, False, False], 150)
    table = rng.normal(size=(600, len(FEATURES))) + right[:, None] * rng.random(len(FEATURES))
    table[rng.random(table.shape) < 0.2] = np.nan
    features = pd.DataFrame(table.astype(np.float32), columns=list(FEATURES))
    settings_ = ScorerSettings(iterations=15)
    model, pair = fit_pair_model(features, right, query, settings_)
    ditto = np.where(rng.random(600) < 0.5, np.nan, rng.random(600))
    scorer = Scorer(settings_, model, fit_list_model(features, query, pair, ditto, right, settings_))
    pair = scorer.pair_probability(features)
    rows = np.array([599, 0, 17, 18])
    found = Attributor(scorer)(features, query, pair, ditto, rows)
    seen = scorer.list_table(features, query, pair, ditto)
    np.testing.assert_allclose(found.log_odds(), scorer.list_model.decision_function(seen[rows]), rtol=0, atol=1e-9)
    np.testing.assert_allclose(found.families().sum(axis=1), found.parts.sum(axis=1), rtol=0, atol=1e-9)
    np.testing.assert_array_equal(found.seen, seen[rows])
    assert len(Attributor(scorer)(features, query, pair, ditto, rows[:0]).log_odds()) == 0
