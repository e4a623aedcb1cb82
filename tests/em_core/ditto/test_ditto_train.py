from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from em_core.ditto.checkpoint import Checkpoint
from em_core.ditto.data import Splits, load_splits
from em_core.ditto.settings import TrainSettings
from em_core.ditto.train import Trained, train


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
        shown = {"epoch": epoch, "train_loss": 0.0, "valid_loss": float(epoch), "seconds": float(epoch)}
        return shown | {"valid_average_precision": next(quality), "valid_f1": 0.5}

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


def _weights(trained: Trained) -> torch.Tensor:
    return torch.cat([p.flatten() for p in trained.classifier.parameters()])


@pytest.mark.parametrize(
    "changes",
    [
        {"mixda": True, "augment_operators": "all"},
        {"r_drop": 1.0},
        {"ema": 0.9},
        {"positive_weight": "auto"},
        {"accumulate": 3},
        {"precision": "bf16"},
        {"precision": "fp16"},
        {"markers": "short", "knowledge": "company", "summarise": True, "max_length": 24},
    ],
)
def test_every_way_to_train_is_reproducible_and_changes_the_weights(
    tiny_base: Path, splits: Splits, changes: dict[str, object]
) -> None:
    plain = train(_settings(tiny_base, epochs=1), splits)
    runs = [train(_settings(tiny_base, epochs=1, **changes), splits) for _ in range(2)]
    assert torch.equal(_weights(runs[0]), _weights(runs[1]))
    assert not torch.equal(_weights(runs[0]), _weights(plain))
    assert np.isfinite(runs[0].metrics["history"][0]["train_loss"])


def test_the_epoch_is_chosen_as_asked(tiny_base: Path, splits: Splits, monkeypatch: pytest.MonkeyPatch) -> None:
    for select_by, best in (("average_precision", 1), ("f1", 2)):
        precision, f1 = iter([0.9, 0.8]), iter([0.1, 0.2])

        def judged(
            epoch: int, *_: object, ap: Iterator[float] = precision, f: Iterator[float] = f1
        ) -> dict[str, float]:
            shown = {"epoch": epoch, "train_loss": 0.0, "valid_loss": 0.0, "seconds": 0.0}
            return shown | {"valid_average_precision": next(ap), "valid_f1": next(f)}

        monkeypatch.setattr("em_core.ditto.train._epoch_figures", judged)
        trained = train(_settings(tiny_base, epochs=2, select_by=select_by), splits)
        assert trained.metrics["best_epoch"] == best


def test_the_curve_is_in_the_metrics(tiny_base: Path, splits: Splits) -> None:
    metrics = train(_settings(tiny_base, epochs=1), splits).metrics
    curve = metrics["curves"]["valid"]
    assert set(metrics["curves"]) == {"valid"}
    assert len(curve["threshold"]) == len(curve["precision"]) == len(curve["recall"]) <= 101
    assert curve["recall"][0] == 1.0


class _Killed(BaseException):
    """Stands for the end of the process, which nothing can catch."""


@pytest.mark.parametrize("changes", [{}, {"ema": 0.9, "mixda": True, "accumulate": 2, "patience": 1}])
def test_a_killed_run_goes_on_to_the_same_weights(
    tmp_path: Path, tiny_base: Path, splits: Splits, changes: dict[str, object]
) -> None:
    settings = _settings(tiny_base, epochs=4, **changes)
    whole = train(settings, splits)
    checkpoint = Checkpoint(tmp_path / "checkpoints", settings.model_dump(mode="json"))

    def dies(figures: dict[str, float]) -> None:
        if figures["epoch"] == 2:
            raise _Killed

    with pytest.raises(_Killed):
        train(settings, splits, dies, checkpoint)
    heard: list[float] = []
    resumed = train(settings, splits, lambda figures: heard.append(figures["epoch"]), checkpoint)
    assert torch.equal(_weights(resumed), _weights(whole))
    assert heard == [epoch["epoch"] for epoch in whole.metrics["history"]]
    assert (resumed.threshold, resumed.temperature) == (whole.threshold, whole.temperature)
    again = train(settings, splits, None, checkpoint)  # killed after the last epoch: nothing is left to train
    assert torch.equal(_weights(again), _weights(whole))
