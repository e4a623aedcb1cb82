from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from em_core.ditto.data import Splits, load_splits
from em_core.ditto.settings import TrainSettings
from em_core.ditto.train import _batches, _rate, train


@pytest.fixture(scope="module")
def splits(pairs_file: Path) -> Splits:
    return load_splits(pairs_file, None, None, 0)


def _settings(base: Path, **changes: object) -> TrainSettings:
    given = {"base_model": str(base), "learning_rate": 3e-3, "max_length": 48, "threads": 1, "precision": "fp32"}
    return TrainSettings.model_validate(given | changes)


def test_a_tiny_model_learns(tiny_base: Path, splits: Splits) -> None:
    seen: list[dict[str, float]] = []
    trained = train(_settings(tiny_base, epochs=8, batch_size=16), splits, seen.append)
    base_rate = splits.valid["label"].mean()
    assert trained.metrics["valid"]["average_precision"] > base_rate + 0.2
    assert seen == trained.metrics["history"]
    best = max(seen, key=lambda e: e["valid_average_precision"])
    assert trained.metrics["valid"]["average_precision"] == pytest.approx(best["valid_average_precision"])
    assert trained.metrics["split"] == "entity_disjoint"
    assert trained.metrics["shared_records"] == 0


def test_the_seed_fixes_the_weights(tiny_base: Path, splits: Splits) -> None:
    runs = [train(_settings(tiny_base, epochs=1, seed=seed), splits) for seed in (3, 3, 4)]
    weights = [torch.cat([p.flatten() for p in run.classifier.parameters()]) for run in runs]
    assert torch.equal(weights[0], weights[1])
    assert not torch.equal(weights[0], weights[2])
    assert runs[0].threshold == runs[1].threshold


def test_training_stops_when_validation_gets_no_better(
    tiny_base: Path, splits: Splits, monkeypatch: pytest.MonkeyPatch
) -> None:
    quality = iter([0.5, 0.6, 0.6, 0.4, 0.7])

    def judged(epoch: int, *_: object) -> dict[str, float]:
        return {"epoch": epoch, "train_loss": 0.0, "valid_loss": float(epoch), "valid_average_precision": next(quality)}

    monkeypatch.setattr("em_core.ditto.train._epoch_figures", judged)
    trained = train(_settings(tiny_base, epochs=9, patience=2), splits)
    assert [e["epoch"] for e in trained.metrics["history"]] == [1, 2, 3, 4]
    assert trained.metrics["best_epoch"] == 2  # level with epoch 3, but with less loss


def test_time_runs_out(tiny_base: Path, splits: Splits) -> None:
    trained = train(_settings(tiny_base, epochs=1000, patience=1000, max_train_seconds=0.01), splits)
    assert len(trained.metrics["history"]) == 1


def test_frozen_embeddings_stay(tiny_base: Path, splits: Splits) -> None:
    from em_core.ditto.model import load_base_model

    before = load_base_model(str(tiny_base), "mean")[0].encoder
    after = train(_settings(tiny_base, epochs=1, frozen_embeddings=True), splits).classifier.encoder
    assert torch.equal(before.get_input_embeddings().weight, after.get_input_embeddings().weight)
    layer = "encoder.layer.0.intermediate.dense.weight"
    assert not torch.equal(before.get_parameter(layer), after.get_parameter(layer))


def test_test_pairs_are_judged_but_choose_nothing(
    tiny_base: Path, splits: Splits, make_pairs: Callable[..., pd.DataFrame]
) -> None:
    alone = train(_settings(tiny_base, epochs=1), splits)
    tested = train(_settings(tiny_base, epochs=1), Splits(splits.train, splits.valid, make_pairs(50, seed=9), "given"))
    assert alone.metrics["test"] is None
    assert tested.metrics["test"]["pairs"] == 50
    assert (tested.threshold, tested.temperature) == (alone.threshold, alone.temperature)


def test_max_length_is_held_to_what_the_encoder_can_read(tiny_base: Path, splits: Splits) -> None:
    assert train(_settings(tiny_base, epochs=1, max_length=512), splits).max_length == 64


def test_batches_hold_each_pair_once_with_like_lengths() -> None:
    lengths = np.random.default_rng(0).integers(5, 100, 1000)
    batches = list(_batches(lengths, 64, np.random.default_rng(1)))
    assert sorted(np.concatenate(batches)) == list(range(1000))
    assert len(batches) == 16
    assert np.mean([np.ptp(lengths[rows]) for rows in batches]) < 10


def test_the_learning_rate_rises_and_falls() -> None:
    rates = [_rate(step / 100, 0.1) for step in range(101)]
    assert np.argmax(rates) == 10
    assert rates[10] == pytest.approx(1.0)
    assert rates[100] == 0.0
    assert 0 < rates[0] < 0.05
    assert _rate(0.0, 0.0) == 1.0
