from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from em_core.ditto.data import Splits, load_splits
from em_core.ditto.parallel import Processes
from em_core.ditto.predict import DittoModel
from em_core.ditto.settings import TrainSettings
from em_core.ditto.teacher import lesson_labels
from em_core.ditto.train import train
from em_core.errors import UserError

ALONE = Processes(0, 1, torch.device("cpu"))


def _labels(pairs: pd.DataFrame, **changes: object) -> np.ndarray:
    return lesson_labels(pairs, TrainSettings.model_validate(changes), ALONE)


def test_without_a_teacher_the_labels_are_the_lesson(make_pairs: Callable[..., pd.DataFrame]) -> None:
    pairs = make_pairs(20)
    assert _labels(pairs).tolist() == pairs["label"].tolist()


@pytest.mark.parametrize("weight", [0.0, 0.3, 1.0])
def test_the_scores_of_the_teachers_encoder_join_the_labels(
    trained_folder: Path, make_pairs: Callable[..., pd.DataFrame], weight: float
) -> None:
    pairs = make_pairs(20)
    scores = DittoModel.load(trained_folder).predict(
        pairs["left_entity"].tolist(), pairs["right_entity"].tolist(), part="encoder"
    )
    lesson = _labels(pairs, teacher=str(trained_folder), teacher_weight=weight)
    assert lesson == pytest.approx(weight * scores + (1 - weight) * pairs["label"], abs=1e-6)


def test_a_pupil_believes_its_teacher_more_than_wrong_labels(
    trained_folder: Path, tiny_base: Path, pairs_file: Path
) -> None:
    splits = load_splits(pairs_file, None, None, 0)
    wrong = Splits(splits.train.assign(label=1 - splits.train["label"]), splits.valid, None, splits.method)

    def quality(**changes: object) -> float:
        given = {
            "base_model": str(tiny_base),
            "learning_rate": 3e-3,
            "max_length": 48,
            "threads": 1,
            "precision": "fp32",
        }
        settings = TrainSettings.model_validate(given | {"epochs": 8, "batch_size": 16} | changes)
        return train(settings, wrong).metrics["valid"]["average_precision"]

    base_rate = splits.valid["label"].mean()
    assert quality(teacher=str(trained_folder), teacher_weight=1.0) > base_rate + 0.1
    assert quality() < base_rate


def test_a_folder_without_a_model_teaches_nothing(tmp_path: Path, make_pairs: Callable[..., pd.DataFrame]) -> None:
    with pytest.raises(UserError, match="no such model folder"):
        _labels(make_pairs(5), teacher=str(tmp_path / "nothing"))
