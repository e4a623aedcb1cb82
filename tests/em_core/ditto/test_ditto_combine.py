"""Similarity model, blend, band and cascade: each part alone, and the folder that holds them all."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import expit
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score

from em_core.ditto.blend import fit_blend
from em_core.ditto.boosting import FILE as MODELS
from em_core.ditto.boosting import SimilarityModel, word_weights
from em_core.ditto.calibrate import figures, likely_threshold, log_loss
from em_core.ditto.data import Splits
from em_core.ditto.entry_point import main
from em_core.ditto.folder import read_manifest
from em_core.ditto.predict import DittoModel
from em_core.ditto.similarity import Similarity
from em_core.errors import UserError

RECORDS = [
    "COL name VAL Sony Camera DSC-W120/P COL price VAL 1,299.00",
    "COL name VAL sony camera dscw120p pink COL price VAL 1299",
    "COL name VAL Nikon Coolpix 500 COL price VAL 99.5",
    "COL name VAL Müller Straße",
    "",
]


def pair(left: int, right: int) -> pd.Series:
    return Similarity.fit(RECORDS)([RECORDS[left]], [RECORDS[right]]).iloc[0]


def test_features_see_what_a_person_sees() -> None:
    same, other = pair(0, 1), pair(0, 2)
    assert same["name: codes shared, least"] == 1 and other["name: codes shared, least"] == 0
    assert same["price: amount"] == 0 and other["price: amount"] > 0.9
    assert same["name: trigrams"] > other["name: trigrams"]
    assert np.isnan(pair(0, 3)["price: ratio"]) and np.isnan(pair(0, 4)["whole record: ratio"])
    assert pair(3, 3)["name: equal"] == 1 and pair(0, 0)["whole record: words"] == pytest.approx(1, abs=1e-5)


@settings(max_examples=30, deadline=None)
@given(st.lists(st.tuples(st.text(max_size=30), st.text(max_size=12)), min_size=2, max_size=6))
def test_features_of_anything(values: list[tuple[str, str]]) -> None:
    texts = [f"COL name VAL {name} COL city VAL {city}".strip() for name, city in values]
    similarity = Similarity.fit(RECORDS)
    left, right = texts, texts[1:] + texts[:1]
    made = similarity(left, right)
    assert len(made) == len(texts) and not np.isinf(made.to_numpy()).any()
    # A pair reads the same in either order, and whatever pairs stand beside it.
    pd.testing.assert_frame_equal(made, similarity(right, left), atol=1e-5)
    pd.testing.assert_frame_equal(made.iloc[[0]], similarity(left[:1], right[:1]), atol=1e-5)


def test_features_survive_the_disk_and_chunks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    similarity = Similarity.fit(RECORDS)
    similarity.save(tmp_path)
    left, right = RECORDS * 3, RECORDS[1:] * 3 + RECORDS[:3]
    expected = similarity(left, right)
    monkeypatch.setattr("em_core.ditto.similarity.CHUNK", 4)
    pd.testing.assert_frame_equal(Similarity.load(tmp_path)(left, right), expected)
    assert similarity([], []).shape == (0, expected.shape[1])


def test_records_without_markers() -> None:
    made = Similarity.fit(["acme ltd", "beacon inc"])(["acme ltd"], ["acme limited"]).iloc[0]
    assert 0.3 < made["whole record: words shared, least"] < 1


def test_other_features_than_those_of_this_version_are_refused(tmp_path: Path) -> None:
    Similarity.fit(RECORDS).save(tmp_path)
    with np.load(tmp_path / "similarity.npz") as arrays:
        np.savez(tmp_path / "similarity.npz", **{**arrays, "features": arrays["features"][:-1]})
    with pytest.raises(UserError, match="other features than this version; train it anew"):
        Similarity.load(tmp_path)


def test_a_date_is_compared_wherever_it_stands() -> None:
    texts = [
        "COL song VAL Gone COL released VAL 28-Mar-11",
        "COL song VAL Gone March 28 , 2011 COL released VAL ",
        "COL song VAL Gone March 29 , 2012 COL released VAL ",
    ]
    made = Similarity.fit(texts)([texts[0]] * 2, texts[1:])
    assert made["whole record: days, nearness"].tolist() == pytest.approx([1, 1 / 368])


@pytest.mark.parametrize("size", [120, 1200])
def test_the_similarity_model_learns(
    make_pairs: Callable[..., pd.DataFrame], size: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("em_core.ditto.boosting.FOLDS", 2)
    train, valid, held = make_pairs(size, seed=1), make_pairs(40, seed=3), make_pairs(100, seed=2)
    model, unseen = SimilarityModel.fit(Splits(train, valid, None, "given"), seed=0)
    left, right = held["left_entity"].tolist(), held["right_entity"].tolist()
    logits = model.logits(left, right)
    assert ((logits > 0) == held["label"]).mean() > 0.95
    assert ((unseen > 0) == valid["label"]).mean() > 0.9
    model.save(tmp_path)
    np.testing.assert_array_equal(SimilarityModel.load(tmp_path).logits(left, right), logits)
    assert model.logits([], []).shape == (0,)


def test_validation_labels_teach_but_do_not_judge_themselves(
    make_pairs: Callable[..., pd.DataFrame], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("em_core.ditto.boosting.FOLDS", 3)
    train, valid = make_pairs(400, seed=1), make_pairs(200, seed=3)
    for part in (train, valid):
        part["label"] = np.random.default_rng(len(part)).permutation(part["label"])  # nothing to learn, all to remember
    model, unseen = SimilarityModel.fit(Splits(train, valid, None, "given"), seed=0)
    seen = model.logits(valid["left_entity"].tolist(), valid["right_entity"].tolist())
    assert roc_auc_score(valid["label"], seen) > 0.95
    assert 0.35 < roc_auc_score(valid["label"], unseen) < 0.65


def test_word_weights_are_those_of_a_fit_of_all_columns() -> None:
    rng = np.random.default_rng(0)
    words = sp.hstack([sp.csr_matrix((300, 350)), sp.random(300, 150, density=0.03, random_state=0)], format="csr")
    words.data[:5] = 0.0  # stored, and nothing
    label = rng.integers(0, 2, 300)
    whole = LogisticRegression(solver="liblinear", max_iter=300).fit(words, label)
    found = word_weights(words, label)
    np.testing.assert_allclose(found.decision_function(words), whole.decision_function(words), atol=1e-8)
    assert found.coef_.nnz < 200 and found.predict_proba(words).shape == (300, 2)
    nothing = sp.csr_matrix((300, 500))
    prior = np.log(label.mean() / (1 - label.mean()))
    assert word_weights(nothing, label).decision_function(nothing)[0] == pytest.approx(prior, abs=0.1)


def test_one_match_in_all_and_one_knot_of_records_are_no_obstacle(make_pairs: Callable[..., pd.DataFrame]) -> None:
    train, valid = make_pairs(30, seed=1), make_pairs(20, seed=3)
    for part in (train, valid):
        part["label"], part["left_key"] = 0, "one"
        part.loc[4, "label"] = 1
    valid.loc[:12, "left_key"] = [f"another {i}" for i in range(13)]
    model, unseen = SimilarityModel.fit(Splits(train, valid, None, "given"), seed=0)
    assert np.isfinite(unseen).all() and len(unseen) == len(valid)
    assert np.isfinite(model.logits(["acme ltd"], ["acme limited"])).all()


def noisy(label: np.ndarray, strength: float, seed: int) -> np.ndarray:
    return strength * (label - 0.5) + np.random.default_rng(seed).normal(0, 1, len(label))


def test_the_blend_is_better_than_its_halves_and_calibrated() -> None:
    label = np.random.default_rng(0).integers(0, 2, 4000)
    one, other = noisy(label, 3, 1), noisy(label, 3, 2)
    blend = fit_blend(one[:2000], other[:2000], label[:2000], most=1.0)
    both = expit(blend.both(one, other)[2000:])
    alone = expit(blend.alone(one)[2000:])
    truth = label[2000:]
    assert figures(both, truth, 0.5)["f1"] > figures(alone, truth, 0.5)["f1"] + 0.02
    for probability in (both, alone):
        assert abs(probability[probability > 0.8].mean() - truth[probability > 0.8].mean()) < 0.03


def test_an_encoder_that_knows_nothing_reads_nothing() -> None:
    label = np.random.default_rng(0).integers(0, 2, 600)
    one = noisy(label, 6, 1)
    for useless in (noisy(label, 0, 2), noisy(label, -3, 3)):
        blend = fit_blend(one, useless, label, most=0.15)
        assert blend.encoder_weight >= 0 and blend.open(one).mean() <= 0.15
        probability = expit(blend.cascade(one, useless))
        alone = expit(blend.alone(one))
        assert figures(probability, label, 0.5)["f1"] >= figures(alone, label, 0.5)["f1"] - 0.005


def test_a_gain_within_its_standard_error_is_none() -> None:
    rng = np.random.default_rng(2)
    label = rng.integers(0, 2, 90)
    one = noisy(label, 6, 1)
    taken = []
    for seed in range(40):  # the best of five useless encoders on these very pairs, as the best of five epochs is taken
        useless = [noisy(label, 0, 100 + 10 * seed + i) for i in range(5)]
        best = min(useless, key=lambda z: log_loss(one + 0.5 * z, label))
        blend = fit_blend(one, best, label, most=1.0)
        taken.append(blend.encoder_weight > 0)
        if not taken[-1]:
            np.testing.assert_allclose(blend.both(one, best), blend.alone(one))
            assert not blend.open(one).any()
    assert np.mean(taken) < 0.6
    assert fit_blend(one, noisy(label, 3, 2), label, most=1.0).encoder_weight > 0


@pytest.mark.parametrize("size", [30, 60])
def test_few_pairs_do_not_shake_a_calibrated_model(size: int) -> None:
    rng = np.random.default_rng(5)
    logits = rng.normal(0, 6, 20_000)
    label = (rng.random(20_000) < expit(logits)).astype(int)
    useless = rng.normal(size=20_000)
    losses = []
    for start in range(0, 100 * size, size):
        few = slice(start, start + size)
        blend = fit_blend(logits[few], useless[few], label[few], most=0.15)
        losses.append(log_loss(blend.alone(logits[-5000:]), label[-5000:]))
        assert blend.alone_weight >= 0 and blend.encoder_weight >= 0
    assert np.mean(losses) < 1.1 * log_loss(logits[-5000:], label[-5000:])


def test_what_is_clear_already_is_not_read() -> None:
    label = np.random.default_rng(0).integers(0, 2, 400)
    clear, as_clear = noisy(label, 30, 1), noisy(label, 30, 2)
    blend = fit_blend(clear, as_clear, label, most=0.15)
    assert blend.encoder_weight > 0  # it does lower the log loss, from next to nothing to less
    assert not blend.open(clear).any()
    doubtful = np.where(np.arange(400) < 40, noisy(label, 1, 3), clear)
    read = fit_blend(doubtful, as_clear, label, most=0.15).open(doubtful)
    assert read[:40].mean() > 0.8 and read.mean() <= 0.15


def test_the_band_is_no_wider_than_allowed_and_outside_it_nothing_is_read() -> None:
    label = np.random.default_rng(0).integers(0, 2, 2000)
    one, other = noisy(label, 2, 1), noisy(label, 6, 2)
    blend = fit_blend(one, other, label, most=0.1)
    read = blend.open(one)
    assert 0 < read.mean() <= 0.1 + 1e-9
    unread = np.where(read, other, np.nan)
    np.testing.assert_array_equal(blend.cascade(one, unread), blend.cascade(one, other))


@settings(max_examples=50, deadline=None)
@given(st.lists(st.floats(0, 1), min_size=1, max_size=40))
def test_the_likely_threshold_is_the_best_in_expectation(values: list[float]) -> None:
    probability = np.array(values)

    def expected(threshold: float) -> float:
        said = probability >= threshold
        return 2 * probability[said].sum() / max(said.sum() + probability.sum(), 1e-9)

    assert expected(likely_threshold(probability)) >= max(map(expected, values)) - 1e-9


@pytest.fixture(scope="module")
def whole(
    tmp_path_factory: pytest.TempPathFactory, arguments: Callable[..., list[str]], tiny_base: Path, pairs_file: Path
) -> Path:
    """A folder with both halves."""
    folder = tmp_path_factory.mktemp("combined") / "ditto"
    argv = [a for a in arguments(pairs_file, folder, tiny_base) if a != "--encoder-only"]
    assert main([*argv, "--epochs", "1", "--encoder-share", "0.5"]) == 0
    return folder


def test_the_folder_holds_both_halves_and_what_each_is_worth(
    whole: Path, make_pairs: Callable[..., pd.DataFrame]
) -> None:
    metrics = json.loads((whole / "metrics.json").read_text())
    assert set(metrics["methods"]) == {"similarity", "encoder", "blend", "cascade"}
    assert metrics["valid"]["f1"] == metrics["methods"]["cascade"]["valid"]["f1"]
    assert (
        "| cascade |" in (whole / "README.md").read_text() and "the encoder reads" in (whole / "README.md").read_text()
    )
    model, held = DittoModel.load(whole), make_pairs(80, seed=6)
    left, right = held["left_entity"].tolist(), held["right_entity"].tolist()
    cascade = model.predict(left, right)
    parts = {part: model.predict(left, right, part=part) for part in ("similarity", "encoder", "blend")}
    read = ~np.isclose(cascade, parts["similarity"])
    np.testing.assert_allclose(cascade[read], parts["blend"][read], atol=1e-6)
    assert ((cascade >= model.threshold) == held["label"]).mean() > 0.9
    np.testing.assert_allclose(np.concatenate(list(model.predict_stream([(left[:9], right[:9]), (left[9:], right[9:])]))), cascade,
                               atol=1e-5)  # fmt: skip
    assert model.predict([], []).shape == (0,)


def test_an_encoder_alone_has_no_other_part(trained_folder: Path) -> None:
    with pytest.raises(ValueError, match="encoder alone; it has no blend"):
        DittoModel.load(trained_folder).predict(["a"], ["b"], part="blend")


def test_half_a_matcher_and_foreign_types_are_refused(whole: Path, tmp_path: Path) -> None:
    from skops.io import dump

    copy = shutil.copytree(whole, tmp_path / "copy")
    (copy / MODELS).unlink()
    with pytest.raises(UserError, match=f"half-written model, {MODELS}"):
        DittoModel.load(copy)
    with pytest.raises(UserError, match="of an earlier kind"):
        SimilarityModel.load(copy)
    dump([[Path]], copy / MODELS)
    with pytest.raises(UserError, match="no part of a similarity model"):
        SimilarityModel.load(copy)
    assert read_manifest(whole).blend is not None
