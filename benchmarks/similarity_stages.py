"""What cross-fitting, word weights, dates and measures are worth to the similarity model: cross-validated, no test pair is read.

    python benchmarks/similarity_stages.py --data DIR [--datasets Structured/Beer ...] [--repetitions 1] [--misjudged]

DIR holds `KIND/NAME/{train,valid}.txt` in Ditto's form. Both are put together; each fifth in turn is judged by models of the other four,
of which three quarters train and one validates (calibration and threshold), as with given files. `--misjudged` shows the pairs that
the model as `train_ditto` fits it has wrong, to be read for features and for labels that contradict their records.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator
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


def judge(
    valid: np.ndarray, label: np.ndarray, logits: np.ndarray, truth: np.ndarray
) -> tuple[tuple[float, float, float], np.ndarray]:
    """Average precision, log loss and F1, and the decisions; calibration and threshold by the validation pairs."""
    blend = fit_blend(valid, np.zeros(len(valid)), label, most=0.0)
    threshold = likely_threshold(expit(blend.alone(valid)))
    calibrated = blend.alone(logits)
    matched = expit(calibrated) >= threshold
    return (
        float(average_precision_score(truth, calibrated)),
        log_loss(calibrated, truth),
        float(f1_score(truth, matched)),
    ), matched


def main() -> None:
    """Print the table, set by set."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--datasets", nargs="*", help="KIND/NAME; default: all that DIR has")
    parser.add_argument("--repetitions", type=int, default=1)
    parser.add_argument("--misjudged", action="store_true", help="show the pairs, only that")
    args = parser.parse_args()
    names = args.datasets or sorted(f"{p.parent.parent.name}/{p.parent.name}" for p in args.data.glob("*/*/train.txt"))
    if args.misjudged:
        for name in names:
            show_misjudged(name, known_pairs(args.data / name))
        return
    print("| set | pairs | similarity model | average precision | log loss | F1 |\n|---|---|---|---|---|---|")
    with patch.object(Quantities, "compare", lambda *_: {}):
        for name in names:
            compare_stages(name, known_pairs(args.data / name), args.repetitions)


def known_pairs(folder: Path) -> pd.DataFrame:
    """Train and valid put together."""
    return pd.concat([read_pairs(folder / f"{part}.txt") for part in ("train", "valid")], ignore_index=True)


def rotated(pairs: pd.DataFrame, seed: int) -> Iterator[tuple[Splits, pd.DataFrame]]:
    """Each fifth in turn as the pairs to judge, the others as training and validation pairs."""
    label = pairs["label"].to_numpy()
    for kept, out in StratifiedKFold(5, shuffle=True, random_state=seed).split(label, label):
        inner = StratifiedKFold(4, shuffle=True, random_state=seed).split(kept, label[kept])
        train, valid = (pairs.iloc[kept[rows]].reset_index(drop=True) for rows in next(inner))
        yield Splits(train, valid, None, "given"), pairs.iloc[out]


def compare_stages(name: str, pairs: pd.DataFrame, repetitions: int) -> None:
    """Print a row for each stage."""
    found: dict[str, list[tuple[float, float, float]]] = {stage: [] for stage in STAGES}
    for seed in range(repetitions):
        for splits, judged in rotated(pairs, seed):
            for stage, logits in STAGES.items():
                unseen, scores = logits(splits, judged, seed)
                found[stage].append(
                    judge(unseen, splits.valid["label"].to_numpy(), scores, judged["label"].to_numpy())[0]
                )
    for stage, each in found.items():
        figures = " | ".join(f"{100 * value:.1f}" for value in np.mean(each, axis=0))
        print(f"| {name} | {len(pairs):,} | {stage} | {figures} |", flush=True)


def show_misjudged(name: str, pairs: pd.DataFrame) -> None:
    """Print the pairs that are decided wrongly, label first."""
    wrong = []
    for splits, judged in rotated(pairs, 0):
        unseen, scores = with_quantities(splits, judged, 0)
        matched = judge(unseen, splits.valid["label"].to_numpy(), scores, judged["label"].to_numpy())[1]
        wrong.append(judged[matched != judged["label"]])
    rows = pd.concat(wrong)
    print(f"{name}: {len(rows)} of {len(pairs):,}")
    for row in rows.itertuples():
        print(f"{row.label}\n  {row.left_entity}\n  {row.right_entity}")


if __name__ == "__main__":
    main()
