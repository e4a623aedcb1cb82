"""What cross-fitting, word weights, dates and measures are worth to the similarity model: cross-validated, no test pair is read.

    python benchmarks/similarity_stages.py --data DIR [--datasets Structured/Beer ...] [--repetitions 1]

DIR holds `KIND/NAME/{train,valid}.txt` in Ditto's form. Both are put together; each fifth in turn is judged by models of the other four,
of which three quarters train and one validates (calibration and threshold), as with given files.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import pandas as pd
import scipy.sparse as sp
from scipy.special import expit
from sklearn.metrics import average_precision_score, f1_score
from sklearn.model_selection import StratifiedKFold

from em_core.ditto.blend import fit_blend
from em_core.ditto.boosting import FOLDS, SMALL, SimilarityModel, boosted, linear, log_odds, randomised, word_weights
from em_core.ditto.calibrate import likely_threshold, log_loss
from em_core.ditto.data import Splits, read_pairs
from em_core.ditto.quantities import Quantities
from em_core.ditto.similarity import Similarity

# Of the validation pairs, by models that have not seen them, and of the judged ones.
Logits = tuple[np.ndarray, np.ndarray]


def features(train: pd.DataFrame, *parts: pd.DataFrame) -> list[np.ndarray]:
    """Of each part, float32 (n, features); rarity is learned from the training records."""
    similarity = Similarity.fit([*train["left_entity"], *train["right_entity"]])
    return [similarity(part["left_entity"].tolist(), part["right_entity"].tolist()).to_numpy() for part in parts]


def trees(x: np.ndarray, label: np.ndarray, seeds: range, number: int) -> Callable[[np.ndarray], np.ndarray]:
    """Boosted trees of these seeds, `number` randomised ones and, where pairs are few, a linear model; gives logits."""
    known = np.where(np.isnan(x).all(axis=0), np.float32(0), x)
    loose = randomised(len(label), seeds[0])
    loose[-1].set_params(n_estimators=number)
    kinds: list[list[Any]] = [[boosted(len(label), seed) for seed in seeds], [loose]]
    if len(label) < SMALL:
        kinds.append([linear()])
    for model in (model for models in kinds for model in models):
        model.fit(known, label)
    return lambda x: np.mean(
        [np.mean([log_odds(model.predict_proba(x)[:, 1]) for model in models], axis=0) for models in kinds], axis=0
    )


def trained_alone(splits: Splits, judged: pd.DataFrame, seed: int) -> Logits:
    """Nothing is learned from the validation pairs."""
    train, valid, out = features(splits.train, splits.train, splits.valid, judged)
    model = trees(train, splits.train["label"].to_numpy(), range(seed, seed + 3), 100)
    return model(valid), model(out)


def cross_fitted(splits: Splits, judged: pd.DataFrame, seed: int) -> Logits:
    """Five members, each learns from all but a fold of the validation pairs."""
    both = pd.concat([splits.train, splits.valid], ignore_index=True)
    x, out = features(both, both, judged)
    label, fold = both["label"].to_numpy(), splits.folds(FOLDS, seed)
    fold[: len(splits.train)] = -1
    unseen, logits = np.zeros(len(both)), np.zeros(len(judged))
    for number in range(FOLDS):
        held = fold == number
        model = trees(x[~held], label[~held], range(seed + 1000 * number, seed + 1000 * number + 1), 20)
        unseen[held] = model(x[held])
        logits += model(out) / FOLDS
    return unseen[len(splits.train) :], logits


def with_words(splits: Splits, judged: pd.DataFrame, seed: int) -> Logits:
    """Word weights as one more feature."""
    model, unseen = SimilarityModel.fit(splits, seed)
    return unseen, model.logits(judged["left_entity"].tolist(), judged["right_entity"].tolist())


def with_quantities(splits: Splits, judged: pd.DataFrame, seed: int) -> Logits:
    """As `train_ditto` does it."""
    with patch.object(Quantities, "compare", _COMPARE):
        return with_words(splits, judged, seed)


def words_alone(splits: Splits, judged: pd.DataFrame, seed: int) -> Logits:
    """The word weights without anything else, learned from the training pairs."""
    similarity = Similarity.fit([*splits.train["left_entity"], *splits.train["right_entity"]])
    train, valid, out = (
        sp.vstack(
            [words for _, words in similarity.compare(part["left_entity"].tolist(), part["right_entity"].tolist())]
        )
        for part in (splits.train, splits.valid, judged)
    )
    model = word_weights(train, splits.train["label"].to_numpy())
    return model.decision_function(valid), model.decision_function(out)


_COMPARE = Quantities.compare  # which no other stage sees
STAGES = {
    "trained alone": trained_alone,
    "cross-fitted": cross_fitted,
    "cross-fitted, word weights": with_words,
    "cross-fitted, word weights, dates and measures": with_quantities,
    "word weights alone": words_alone,
}


def judge(valid: np.ndarray, label: np.ndarray, logits: np.ndarray, truth: np.ndarray) -> tuple[float, float, float]:
    """Average precision, log loss and F1, calibration and threshold by the validation pairs."""
    blend = fit_blend(valid, np.zeros(len(valid)), label, most=0.0)
    threshold = likely_threshold(expit(blend.alone(valid)))
    calibrated = blend.alone(logits)
    return (
        float(average_precision_score(truth, calibrated)),
        log_loss(calibrated, truth),
        float(f1_score(truth, expit(calibrated) >= threshold)),
    )


def main() -> None:
    """Print the table, set by set."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--datasets", nargs="*", help="KIND/NAME; default: all that DIR has")
    parser.add_argument("--repetitions", type=int, default=1)
    args = parser.parse_args()
    names = args.datasets or sorted(f"{p.parent.parent.name}/{p.parent.name}" for p in args.data.glob("*/*/train.txt"))
    print("| set | pairs | similarity model | average precision | log loss | F1 |\n|---|---|---|---|---|---|")
    with patch.object(Quantities, "compare", lambda *_: {}):
        _table(args, names)


def _table(args: argparse.Namespace, names: list[str]) -> None:
    for name in names:
        pairs = pd.concat([read_pairs(args.data / name / f"{p}.txt") for p in ("train", "valid")], ignore_index=True)
        label = pairs["label"].to_numpy()
        found: dict[str, list[tuple[float, float, float]]] = {stage: [] for stage in STAGES}
        for seed in range(args.repetitions):
            for kept, out in StratifiedKFold(5, shuffle=True, random_state=seed).split(label, label):
                inner = StratifiedKFold(4, shuffle=True, random_state=seed).split(kept, label[kept])
                train, valid = (pairs.iloc[kept[rows]].reset_index(drop=True) for rows in next(inner))
                judged = pairs.iloc[out]
                for stage, logits in STAGES.items():
                    unseen, scores = logits(Splits(train, valid, None, "given"), judged, seed)
                    found[stage].append(judge(unseen, valid["label"].to_numpy(), scores, label[out]))
        for stage, each in found.items():
            figures = " | ".join(f"{100 * value:.1f}" for value in np.mean(each, axis=0))
            print(f"| {name} | {len(pairs):,} | {stage} | {figures} |", flush=True)


if __name__ == "__main__":
    main()
