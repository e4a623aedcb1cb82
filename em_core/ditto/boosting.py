"""The similarity model: boosting on string features, the cheap and strong half of a trained matcher.

On small label sets it beats a fine-tuned encoder, and it scores two orders of magnitude faster; the encoder reads what it leaves open.
Boosted trees have randomised ones beside them (Geurts, Ernst and Wehenkel, 2006), which err elsewhere: the mean of the log odds
of both has the lower log loss (docs/benchmarks.md). It is cross-fitted: each member learns from the training pairs and all
validation pairs but one fold, which it then judges. So validation labels teach too, and what is chosen by them stays honest.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.ensemble import ExtraTreesClassifier, HistGradientBoostingClassifier
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler

from em_core.ditto.data import Splits
from em_core.ditto.similarity import Similarity
from em_core.estimators import dump_estimators, load_estimators

FILE = "similarity_models.skops"
FOLDS = 5
TREES = 20  # of a member
LEAVES = 4_000  # of a randomised tree, at most: memory must not grow with the pairs
SMALL = 1_000  # pairs
_CLIP = 1e-5


def log_odds(probability: np.ndarray) -> np.ndarray:
    """(n,) of probabilities (n,); certainty is cut off."""
    clipped = np.clip(probability, _CLIP, 1 - _CLIP)
    return np.log(clipped) - np.log1p(-clipped)


def linear() -> Pipeline:
    """A linear model, not fitted."""
    return make_pipeline(
        SimpleImputer(strategy="constant", fill_value=0, add_indicator=True),
        StandardScaler(),
        LogisticRegression(C=0.05, max_iter=2000),
    )


def boosted(size: int, seed: int) -> HistGradientBoostingClassifier:
    """Boosted trees for `size` pairs, not fitted."""
    return HistGradientBoostingClassifier(
        max_iter=300,
        learning_rate=0.06,
        max_leaf_nodes=15,
        min_samples_leaf=5 if size < SMALL else 10,
        l2_regularization=1.0,
        max_features=0.3,
        early_stopping=False,
        random_state=seed,
    )


def randomised(size: int, seed: int) -> Pipeline:
    """Randomised trees for `size` pairs, not fitted."""
    # One thread: several would add up the trees' answers in any order, and equal pairs get other scores.
    trees = ExtraTreesClassifier(TREES, min_samples_leaf=max(2, size // LEAVES), max_features=0.3, random_state=seed)
    return make_pipeline(SimpleImputer(strategy="constant", fill_value=-1), trees)


def _member(features: np.ndarray, label: np.ndarray, seed: int) -> list[Any]:
    """Boosted and randomised trees, fitted; where labels are few, and trees coarse, a linear model as their equal."""
    known = np.where(np.isnan(features).all(axis=0), np.float32(0), features)
    models: list[Any] = [boosted(len(label), seed), randomised(len(label), seed)]
    if len(label) < SMALL:
        models.append(linear())
    return [model.fit(known, label) for model in models]


def _logits(members: Sequence[Sequence[Any]], features: np.ndarray) -> np.ndarray:
    if not len(features):
        return np.zeros(0)
    odds = [[log_odds(model.predict_proba(features)[:, 1]) for model in models] for models in members]
    return np.mean([np.mean(models, axis=0) for models in odds], axis=0)


@dataclass(frozen=True)
class SimilarityModel:
    """Features and the members over them, each of several models."""

    similarity: Similarity
    members: list[list[Any]] = field(repr=False)

    @classmethod
    def fit(cls, splits: Splits, seed: int) -> tuple[SimilarityModel, np.ndarray]:
        """Learn from training and validation pairs; also the logits (len(valid),) by the member that has not learned from the pair."""
        sides = [[*splits.train[side], *splits.valid[side]] for side in ("left_entity", "right_entity")]
        label = np.concatenate([splits.train["label"], splits.valid["label"]])
        similarity = Similarity.fit([*sides[0], *sides[1]])
        features = similarity(*sides).to_numpy()
        fold = np.concatenate([np.full(len(splits.train), -1), splits.valid_folds(FOLDS, seed)])
        unseen, members = np.zeros(len(label)), []
        for number in range(FOLDS):
            out = fold == number
            # Far apart, so that neither the members nor runs of neighbouring seeds repeat one another.
            members.append(_member(features[~out], label[~out], seed + 1000 * number))
            unseen[out] = _logits(members[-1:], features[out])
        return cls(similarity, members), unseen[len(splits.train) :]

    def logits(self, left: Sequence[str], right: Sequence[str]) -> np.ndarray:
        """Log odds (n,) that the records are the same entity."""
        return _logits(self.members, self.similarity(left, right).to_numpy())

    def save(self, folder: Path) -> None:
        """Write features and models into a model folder."""
        self.similarity.save(folder)
        dump_estimators(self.members, folder / FILE)

    @classmethod
    def load(cls, folder: Path) -> SimilarityModel:
        """Open what `save` wrote. Raises `UserError` if the file holds types other than scikit-learn's and numpy's."""
        return cls(Similarity.load(folder), load_estimators(folder / FILE, "a similarity model"))
