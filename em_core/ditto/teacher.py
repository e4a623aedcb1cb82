"""Distillation: a trained model's scores join the labels, so that a small encoder learns what a larger one makes of a pair.

Hinton, Vinyals, Dean: Distilling the Knowledge in a Neural Network, 2015. Cross entropy is linear in the label, so the two
losses weighted are one loss on labels between 0 and 1.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from em_core.ditto.parallel import Processes
from em_core.ditto.predict import DittoModel
from em_core.ditto.settings import TrainSettings


def lesson_labels(pairs: pd.DataFrame, settings: TrainSettings, group: Processes) -> np.ndarray:
    """What the encoder shall answer to the training pairs: the labels or, with a teacher, a mean of its scores and them.

    Shape (pairs,), float32, 0 to 1, the same in every process. The teacher's encoder scores, calibrated as it was saved and
    on this process's device. Raises `UserError` if its folder holds no whole model.
    """
    labels = pairs["label"].to_numpy(dtype=np.float32)
    if settings.teacher is None:
        return labels
    scores = np.empty(0)
    if group.is_main:
        teacher = DittoModel.load(Path(settings.teacher), device=str(group.device))
        left, right = pairs["left_entity"].tolist(), pairs["right_entity"].tolist()
        scores = teacher.predict(left, right, part="encoder", progress=True)
    weight = settings.teacher_weight
    return (weight * group.from_main(scores) + (1 - weight) * labels).astype(np.float32)
