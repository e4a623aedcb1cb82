"""The similarity model: boosting on string features, the cheap and strong half of a trained matcher.

On small label sets it beats a fine-tuned encoder, and it scores two orders of magnitude faster; the encoder reads what it leaves open.
Boosted trees have randomised ones beside them (Geurts, Ernst and Wehenkel, 2006), which err elsewhere: the mean of the log odds
of both has the lower log loss (docs/benchmarks.md). It is cross-fitted: each member learns from the training pairs and all
validation pairs but one fold, which it then judges. So validation labels teach too, and what is chosen by them stays honest.

Which words matter is learned as well: that one side alone says `upgrade` is much, that it alone says `new` is little. A linear model over
the words that two records share and lack is one more feature, by stacking (Wolpert, 1992): the trees see what it says of pairs of
which it has not learned.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import scipy.sparse as sp
from sklearn.ensemble import ExtraTreesClassifier, HistGradientBoostingClassifier
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler

from em_core.ditto.data import Splits
from em_core.ditto.similarity import Similarity
from em_core.errors import UserError
from em_core.estimators import dump_estimators, load_estimators

FILE = "similarity_members.skops"
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


def word_weights(words: sp.csr_matrix, label: np.ndarray) -> LogisticRegression:
    """A linear model over shared and lacking words, fitted; it keeps the few weights that are not 0.

    Columns that no pair fills have the weight 0 and stay out of the fit, which costs time for each of half a million.
    """
    used = np.union1d(0, words.indices)
    model = LogisticRegression(solver="liblinear", max_iter=300).fit(words[:, used], label)
    model.n_features_in_ = words.shape[1]
    model.coef_ = sp.csr_matrix((model.coef_[0], used, [0, len(used)]), shape=(1, words.shape[1]))
    return model


def stacked(words: sp.csr_matrix, label: np.ndarray, fold: np.ndarray) -> np.ndarray:
    """Logits (n,) of the word weights for each pair, learned from the other folds alone; 0 where these have one label only."""
    logits = np.zeros(len(label), dtype=np.float32)
    for out in (fold == number for number in np.unique(fold)):
        if len(np.unique(label[~out])) == 2:
            logits[out] = word_weights(words[~out], label[~out]).decision_function(words[out])
    return logits


def _member(features: np.ndarray, words: sp.csr_matrix, label: np.ndarray, fold: np.ndarray, seed: int) -> list[Any]:
    """Word weights, boosted and randomised trees, fitted; where labels are few, and trees coarse, a linear model as their equal."""
    known = np.where(np.isnan(features).all(axis=0), np.float32(0), features)
    known = np.column_stack([known, stacked(words, label, fold)])
    models: list[Any] = [boosted(len(label), seed), randomised(len(label), seed)]
    if len(label) < SMALL:
        models.append(linear())
    return [word_weights(words, label), *(model.fit(known, label) for model in models)]


def _logits(members: Sequence[Sequence[Any]], features: np.ndarray, words: sp.csr_matrix) -> np.ndarray:
    if not len(features):
        return np.zeros(0)
    odds = []
    for weights, *models in members:
        known = np.column_stack([features, weights.decision_function(words).astype(np.float32)])
        odds.append(np.mean([log_odds(model.predict_proba(known)[:, 1]) for model in models], axis=0))
    return np.mean(odds, axis=0)


@dataclass(frozen=True)
class SimilarityModel:
    """Features and the members over them, each of word weights and several models."""

    similarity: Similarity
    members: list[list[Any]] = field(repr=False)

    @classmethod
    def fit(cls, splits: Splits, seed: int) -> tuple[SimilarityModel, np.ndarray]:
        """Learn from training and validation pairs; also the logits (len(valid),) by the member that has not learned from the pair."""
        sides = [[*splits.train[side], *splits.valid[side]] for side in ("left_entity", "right_entity")]
        label = np.concatenate([splits.train["label"], splits.valid["label"]])
        similarity = Similarity.fit([*sides[0], *sides[1]])
        frames, bags = zip(*similarity.compare(*sides), strict=True)
        features, words = pd.concat(frames).to_numpy(), sp.vstack(bags, format="csr")
        fold = splits.folds(FOLDS, seed)
        held_out = np.arange(len(label)) >= len(splits.train)
        unseen, members = np.zeros(len(label)), []
        for number in range(FOLDS):
            out = held_out & (fold == number)
            # Seeds far apart, so that neither the members nor runs of neighbouring seeds repeat one another.
            members.append(_member(features[~out], words[~out], label[~out], fold[~out], seed + 1000 * number))
            unseen[out] = _logits(members[-1:], features[out], words[out])
        return cls(similarity, members), unseen[held_out]

    def logits(self, left: Sequence[str], right: Sequence[str]) -> np.ndarray:
        """Log odds (n,) that the records are the same entity."""
        compared = self.similarity.compare(left, right)
        return np.concatenate(
            [np.zeros(0), *(_logits(self.members, features.to_numpy(), words) for features, words in compared)]
        )

    def save(self, folder: Path) -> None:
        """Write features and models into a model folder."""
        self.similarity.save(folder)
        dump_estimators(self.members, folder / FILE)

    @classmethod
    def load(cls, folder: Path) -> SimilarityModel:
        """Open what `save` wrote.

        Raises `UserError` if the folder has an older kind of similarity model, or the file types other than those of scikit-learn,
        numpy and scipy.sparse.
        """
        if not (folder / FILE).is_file():
            raise UserError(f"{folder}: its similarity model is of an earlier kind ({FILE} is missing); train it anew")
        return cls(Similarity.load(folder), load_estimators(folder / FILE, "a similarity model"))
