"""The scorer: how probable is it that a candidate is the right entity, none of the candidates included.

Two gradient-boosting models. The first sees one pair at a time. The second sees the same pair together with the first one's view
of the whole list (margin to the best other candidate, probability mass) and with Ditto's logit where the pair was sent to Ditto.
Every pair of a record whose entity is not in the reference is a negative, so "none of these" is learned, not assumed.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from pydantic import BaseModel, Field
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.model_selection import GroupKFold

from em_core.decision.features import best_other
from em_core.errors import UserError
from em_core.estimators import dump_estimators, load_estimators

# Rows on which scikit-learn chooses its bins, and how many of them must have a value: none does by chance in e^-30.
_BIN_SAMPLE, _FEWEST_VALUES = 200_000, 30
_FILES = ("scorer_pair.skops", "scorer_list.skops")


class ScorerSettings(BaseModel):
    """Size of the two models and which pairs stay open for Ditto."""

    pair_iterations: int = Field(400, ge=1)
    pair_columns: float = Field(0.3, gt=0, le=1, description="share of the features that a split may choose from")
    list_iterations: int = Field(200, ge=1)
    rate: float = Field(0.05, gt=0, description="learning rate of both models")
    leaves: int = Field(15, ge=2)
    folds: int = Field(3, ge=2)
    min_leaf: int = Field(20, ge=1)
    open_low: float = Field(0.02, ge=0, le=1, description="a pair below this probability is closed")
    open_high: float = Field(
        0.98, ge=0, le=1, description="a record whose best pair is above this probability is closed"
    )
    open_pairs: int = Field(3, ge=0, description="most pairs of one record that go to Ditto; 0 = never")
    seed: int = 7


def logit(probability: np.ndarray) -> np.ndarray:
    """Log odds, clipped at 1e-6."""
    clipped = np.clip(probability, 1e-6, 1 - 1e-6)
    return np.log(clipped) - np.log1p(-clipped)


def _fit_model(
    table: np.ndarray, right: np.ndarray, settings: ScorerSettings, iterations: int, columns: float
) -> HistGradientBoostingClassifier:
    """A model of `right` (p,) given `table` (p, features), NaN where unknown."""
    model = HistGradientBoostingClassifier(
        max_iter=iterations,
        learning_rate=settings.rate,
        max_features=columns,
        max_leaf_nodes=settings.leaves,
        min_samples_leaf=settings.min_leaf,
        l2_regularization=1.0,
        early_stopping=False,
        random_state=settings.seed,
    )
    return model.fit(_without_rare(table), right)


def _list_features(features: pd.DataFrame, query: np.ndarray, pair: np.ndarray, ditto: np.ndarray) -> np.ndarray:
    """(p, features + list features) float32; `query` sorted, `pair` and `ditto` probabilities, `ditto` NaN where not sent."""
    mass = np.bincount(query, weights=pair)[query] if len(query) else pair
    rank = pd.Series(-pair).groupby(query).rank(method="first").to_numpy()
    ditto_logit = logit(ditto)
    gap = np.where(np.isnan(ditto), np.nan, best_other(query, ditto))
    extra = np.column_stack([logit(pair), best_other(query, pair), mass, rank, ditto_logit, gap])
    return np.hstack([features.to_numpy(dtype=np.float32), extra.astype(np.float32)])


@dataclass
class Scorer:
    """Fitted pair and list models."""

    settings: ScorerSettings
    pair_model: Any = field(repr=False)
    list_model: Any = field(repr=False)

    def pair_probability(self, features: pd.DataFrame) -> np.ndarray:
        """(p,) probability from the pair alone."""
        if len(features) == 0:
            return np.zeros(0)
        return self.pair_model.predict_proba(features.to_numpy(dtype=np.float32))[:, 1]

    def list_table(self, features: pd.DataFrame, query: np.ndarray, pair: np.ndarray, ditto: np.ndarray) -> np.ndarray:
        """(p, features + list features) float32: what the list model sees; the arguments are those of `probability`."""
        return _list_features(features, query, pair, ditto)

    def open_pairs(self, query: np.ndarray, pair: np.ndarray) -> np.ndarray:
        """(p,) bool: pairs that the pair model leaves open."""
        return open_pairs(query, pair, self.settings)

    def probability(self, features: pd.DataFrame, query: np.ndarray, pair: np.ndarray, ditto: np.ndarray) -> np.ndarray:
        """(p,) probability that the candidate is the record's right entity."""
        if len(features) == 0:
            return np.zeros(0)
        return self.list_model.predict_proba(_list_features(features, query, pair, ditto))[:, 1]

    def save(self, folder: Path) -> None:
        """Write both models."""
        for name, model in zip(_FILES, (self.pair_model, self.list_model), strict=True):
            dump_estimators(model, folder / name)

    @classmethod
    def load(cls, folder: Path, settings: ScorerSettings) -> Scorer:
        """Open what `save` wrote. Raises `UserError` if a file holds types other than a gradient-boosting model's."""
        return cls(settings, *(load_estimators(folder / name, "a scorer") for name in _FILES))


def open_pairs(query: np.ndarray, pair: np.ndarray, settings: ScorerSettings) -> np.ndarray:
    """(p,) bool: of records whose best pair is not above `open_high`, the best `open_pairs` pairs above `open_low`."""
    if len(query) == 0:
        return np.zeros(0, dtype=bool)
    frame = pd.DataFrame({"query": query, "pair": pair})
    best = frame.groupby("query")["pair"].transform("max").to_numpy()
    rank = (-frame["pair"]).groupby(frame["query"]).rank(method="first").to_numpy()
    return (best <= settings.open_high) & (pair >= settings.open_low) & (rank <= settings.open_pairs)


def fit_pair_model(
    features: pd.DataFrame, right: np.ndarray, group: np.ndarray, settings: ScorerSettings
) -> tuple[Any, np.ndarray]:
    """The pair model, and out-of-fold probabilities of its own training pairs for the list model.

    `group` (p,) keeps all pairs of one entity in one fold.
    """
    if len(np.unique(right)) < 2:
        raise UserError("training pairs hold right pairs only or wrong pairs only: the scorer needs both")
    table = features.to_numpy(dtype=np.float32)
    held_out = np.zeros(len(table))
    folds, size = min(settings.folds, len(np.unique(group))), (settings.pair_iterations, settings.pair_columns)
    for train, test in GroupKFold(folds).split(table, groups=group):
        if len(np.unique(right[train])) < 2:
            raise UserError("too few training records: a fold holds right pairs only or wrong pairs only")
        model = _fit_model(table[train], right[train], settings, *size)
        held_out[test] = model.predict_proba(table[test])[:, 1]
    return _fit_model(table, right, settings, *size), held_out


def fit_list_model(
    features: pd.DataFrame,
    query: np.ndarray,
    pair: np.ndarray,
    ditto: np.ndarray,
    right: np.ndarray,
    settings: ScorerSettings,
) -> Any:
    """The list model, from out-of-fold pair probabilities and Ditto's probabilities of the open pairs."""
    return _fit_model(_list_features(features, query, pair, ditto), right, settings, settings.list_iterations, 1.0)


def _without_rare(table: np.ndarray) -> np.ndarray:
    """Columns that hardly ever have a value as a constant.

    scikit-learn bins on a sample of the rows and fails on a column without any value there; so few could teach nothing either.
    """
    share = min(1.0, _BIN_SAMPLE / max(1, len(table)))
    rare = (~np.isnan(table)).sum(axis=0) * share < _FEWEST_VALUES
    return np.where(rare, np.float32(0), table)
