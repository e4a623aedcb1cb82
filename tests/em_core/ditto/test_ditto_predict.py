from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy.special import expit

from em_core.ditto import predict
from em_core.ditto.predict import DittoModel


@pytest.fixture(scope="module")
def model(trained_folder: Path) -> DittoModel:
    return DittoModel.load(trained_folder)


@pytest.fixture(scope="module")
def sides(make_pairs: Callable[..., pd.DataFrame]) -> tuple[list[str], list[str]]:
    frame = make_pairs(120, seed=5)
    left, right = frame["left_entity"].tolist(), frame["right_entity"].tolist()
    return [*left, "", left[0] + " and more" * 40], [*right, right[0], ""]


def test_scores_are_probabilities_in_input_order(model: DittoModel, sides: tuple[list[str], list[str]]) -> None:
    scores = model.predict(*sides)
    assert scores.shape == (122,)
    assert scores.dtype == np.float64
    assert ((scores > 0) & (scores < 1)).all()
    one_by_one = [model.predict([a], [b])[0] for a, b in zip(*sides, strict=True)]
    np.testing.assert_allclose(scores, one_by_one, atol=1e-5)


def test_company_in_the_batch_changes_nothing(
    model: DittoModel, sides: tuple[list[str], list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    left, right = (np.array(side, dtype=object) for side in sides)
    expected = model.predict(left, right)
    order = np.random.default_rng(0).permutation(len(left))
    np.testing.assert_allclose(model.predict(left[order], right[order]), expected[order], atol=1e-5)
    monkeypatch.setattr(model.encoder.runtime, "token_budget", 50)
    monkeypatch.setattr(predict, "CHUNK", 7)
    np.testing.assert_allclose(model.predict(left, right), expected, atol=1e-5)


def test_repeated_pairs_and_texts_are_computed_once(
    model: DittoModel, sides: tuple[list[str], list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[int] = []
    classifier = model.encoder.runtime.classifier
    forward = classifier.forward
    monkeypatch.setattr(classifier, "forward", lambda **ids: seen.append(len(ids["input_ids"])) or forward(**ids))
    once = model.predict(*sides)
    computed = sum(seen)
    thrice = model.predict(sides[0] * 3, sides[1] * 3)
    assert sum(seen) == 2 * computed
    np.testing.assert_allclose(thrice, np.tile(once, 3), atol=1e-12)


def test_a_stream_gives_what_the_whole_gives(
    model: DittoModel, sides: tuple[list[str], list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    left, right = sides
    cuts = [0, 3, 3, 50, 51, len(left)]
    batches = [(left[a:b], right[a:b]) for a, b in pairwise(cuts)]
    expected = model.predict(left, right)
    for gathered in (10, 1 << 13):  # smaller than a batch, larger than all
        monkeypatch.setattr(predict, "GATHERED", gathered)
        scores = list(model.predict_stream(iter(batches)))
        assert [len(part) for part in scores] == [3, 0, 47, 1, 71]
        np.testing.assert_allclose(np.concatenate(scores), expected, atol=1e-5)
    assert list(model.predict_stream([])) == []
    both = np.concatenate(list(model.predict_stream(batches, symmetric=True)))
    np.testing.assert_allclose(both, model.predict(left, right, symmetric=True), atol=1e-5)
    with pytest.raises(ValueError, match="2 left records but 1"):
        list(model.predict_stream([(["a"], ["a", "b"]), (["a", "b"], ["a"])][1:]))


def test_a_stream_holds_no_more_than_it_says(model: DittoModel, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(predict, "GATHERED", 8)
    drawn: list[int] = []

    def batches() -> Iterator[tuple[list[str], list[str]]]:
        for i in range(100):
            drawn.append(i)
            yield [f"acme {i}", "beacon"], ["acme bank", f"beacon {i}"]

    scores = model.predict_stream(batches())
    next(scores)
    assert len(drawn) == 5  # four batches scored, one in hand
    assert len(list(scores)) == 99


def test_remembered_scores_are_the_scores(
    trained_folder: Path, sides: tuple[list[str], list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    model = DittoModel.load(trained_folder, remember=200)
    expected = model.predict(*sides)
    both = model.predict(*sides, symmetric=True)
    calls: list[int] = []
    classifier = model.encoder.runtime.classifier
    forward = classifier.forward
    monkeypatch.setattr(classifier, "forward", lambda **ids: calls.append(len(ids["input_ids"])) or forward(**ids))
    again = model.predict([*sides[0][-60:], "new"], [*sides[1][-60:], "pair"])
    np.testing.assert_array_equal(again[:-1], expected[-60:])
    assert calls == [1]
    np.testing.assert_array_equal(model.predict(sides[0][-60:], sides[1][-60:], symmetric=True), both[-60:])
    model.predict([f"acme {i}" for i in range(300)], ["beacon"] * 300)  # pushes all others out
    calls.clear()
    np.testing.assert_allclose(model.predict(*sides), expected, atol=1e-5)
    assert sum(calls) == 122


def test_symmetric_scores_do_not_depend_on_the_sides(model: DittoModel, sides: tuple[list[str], list[str]]) -> None:
    left, right = sides
    np.testing.assert_allclose(
        model.predict(left, right, symmetric=True), model.predict(right, left, symmetric=True), atol=1e-6
    )
    assert np.abs(model.predict(left, right) - model.predict(right, left)).max() > 1e-6


def test_nothing_in_nothing_out(model: DittoModel) -> None:
    scores = model.predict([], [])
    assert scores.shape == (0,)
    assert scores.dtype == np.float64
    with pytest.raises(ValueError, match="2 left"):
        model.predict(["a", "b"], ["a"])
    with pytest.raises(ValueError, match="None or NaN"):
        model.predict(["a", None], ["a", "b"])


def test_frame_columns_and_progress(
    model: DittoModel, sides: tuple[list[str], list[str]], capsys: pytest.CaptureFixture[str]
) -> None:
    frame = pd.DataFrame({"l": sides[0] * 2, "r": sides[1] * 2}).set_index(np.arange(244) % 5)
    np.testing.assert_array_equal(model.predict(frame["l"], frame["r"], progress=True)[:122], model.predict(*sides))
    assert "244/244" in capsys.readouterr().err


def test_a_loaded_model_scores_as_the_trained_one(tiny_base: Path, tmp_path: Path, pairs_file: Path) -> None:
    from em_core.ditto.data import load_splits
    from em_core.ditto.folder import library_versions, save_folder
    from em_core.ditto.manifest import Manifest
    from em_core.ditto.settings import TrainSettings
    from em_core.ditto.train import train

    settings = TrainSettings(base_model=str(tiny_base), epochs=1, max_length=48, learning_rate=3e-3, threads=1)
    splits = load_splits(pairs_file, None, None, 0)
    trained = train(settings, splits)
    manifest = Manifest(
        attributes=("name", "city"),
        max_length=48,
        pooling="mean",
        threshold=trained.threshold,
        temperature=trained.temperature,
        encoder_threshold=trained.threshold,
        base_model="tiny",
        settings=settings,
        data={},
        metrics=trained.metrics,
        libraries=library_versions(),
    )
    left, right = splits.valid["left_entity"], splits.valid["right_entity"]
    before = expit(trained.logits["valid"] / trained.temperature)
    save_folder(tmp_path, trained.classifier, trained.tokenizer, manifest)
    loaded = DittoModel.load(tmp_path)
    np.testing.assert_allclose(loaded.predict(left, right), before, atol=1e-7)
    assert loaded.threshold == trained.threshold
    said = loaded.predict(left, right) >= loaded.threshold
    assert (said == splits.valid["label"]).mean() == pytest.approx(
        np.mean((before >= trained.threshold) == splits.valid["label"])
    )
