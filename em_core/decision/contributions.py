"""What moved a score: the log odds of boosted trees, in parts by feature.

Along a tree's path every split moves the expected value from its node's to its child's; the move belongs to the split's feature
(Saabas, "Interpreting random forests", 2014; TreeSHAP, Lundberg et al. 2020, averages it over orders of the features). The parts and
the base value, the expected log odds before any split, add up to the model's log odds.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
import scipy.sparse as sp

from em_core.decision.features import FEATURES
from em_core.decision.scorer import Scorer

#: What the list model sees beside the pair features, in the order of its columns.
LIST_FEATURES: dict[str, str] = {
    "pair_logit": "log odds of the pair alone",
    "pair_gap": "the pair's probability minus the best other candidate's",
    "mass": "probability of all candidates together, each judged alone",
    "pair_rank": "place among the candidates by the pair alone, 1 = first",
    "ditto_logit": "Ditto's log odds, missing if it was not asked",
    "ditto_gap": "Ditto's probability minus the best other candidate's, missing if it was not asked",
}
#: Family -> its features. Every part of a score is in exactly one.
FAMILIES: dict[str, tuple[str, ...]] = {
    "name": (
        "lexical", "vector", "core_ratio", "core_sorted", "core_partial", "core_words", "core_jaro", "compact_ratio", "full_ratio",
        "prefix", "length_query", "length_gap", "acronym",
    ),
    "rarity": (
        "shared_query", "shared_entity", "rarest_missing_query", "rarest_missing_entity", "aligned_query", "aligned_entity",
        "unexplained_query", "unexplained_entity", "rarity_query", "namesakes",
    ),
    "legal form": ("same_form", "same_kind", "form_agreement", "country_of_form"),
    "designators": ("same_designators", "same_class", "same_numbers"),
    "place": ("same_country", "same_region", "same_city", "same_postal_code"),
    "identifiers": ("same_identifier",),
    "ticker": ("same_ticker",),
    "website": ("same_domain",),
    "industry": ("same_industry",),
    "candidate list": (
        "rank", "lexical_gap", "vector_gap", "crowd", "core_gap", "aligned_gap", "pair_logit", "pair_gap", "mass", "pair_rank",
    ),
    "Ditto": ("ditto_logit", "ditto_gap"),
}  # fmt: skip
#: Columns of `Attribution.parts`.
PARTS = (*FEATURES, *LIST_FEATURES)
FAMILY_OF = {feature: family for family, features in FAMILIES.items() for feature in features}
# Rows at a time: small enough for a processor's cache.
_ROWS = 512
#: Columns of `Attribution.parts` of each family, in the order of `FAMILIES`.
FAMILY_COLUMNS = [np.array([PARTS.index(feature) for feature in features]) for features in FAMILIES.values()]
_PAIR_LOGIT = PARTS.index("pair_logit")


@dataclass(frozen=True)
class _Level:
    """Splits at one depth of all trees: node, children, what goes left. Missing values are in a second copy of the columns."""

    node: np.ndarray
    left: np.ndarray
    right: np.ndarray
    column: np.ndarray
    threshold: np.ndarray


@dataclass(frozen=True)
class TreeContributions:
    """The trees of one gradient-boosting model, laid out for attribution; k nodes in all.

    `base`: log odds expected before any split. `path` (leaves, features): what the way to each leaf moved.
    """

    base: float
    nodes: int
    roots: np.ndarray = field(repr=False)
    levels: tuple[_Level, ...] = field(repr=False)
    leaves: np.ndarray = field(repr=False)
    path: np.ndarray = field(repr=False)

    @classmethod
    def of(cls, model: Any) -> TreeContributions:
        """Lay out a fitted binary `HistGradientBoostingClassifier`; `ValueError` for several classes or categorical splits.

        scikit-learn keeps leaf values alone to scale: a node's expected value is the mean of its children's, weighted by training rows.
        """
        if model.n_trees_per_iteration_ != 1:
            raise ValueError("contributions are those of a model of two classes")
        trees = [predictor.nodes for (predictor,) in model._predictors]
        sizes = np.array([len(tree) for tree in trees], dtype=np.int64)
        roots = np.cumsum(sizes) - sizes
        nodes, offset = np.concatenate(trees), np.repeat(roots, sizes)
        leaf = nodes["is_leaf"].astype(bool)
        if nodes["is_categorical"][~leaf].any():
            raise ValueError("contributions of categorical splits are not known")
        levels = []
        for depth in range(int(nodes["depth"].max())):
            node = np.flatnonzero((nodes["depth"] == depth) & ~leaf)
            split, start = nodes[node], offset[node]
            column = split["feature_idx"] + model.n_features_in_ * split["missing_go_to_left"].astype(np.int64)
            left, right = (start + split[side].astype(np.int64) for side in ("left", "right"))
            levels.append(_Level(node, left, right, column, split["num_threshold"]))
        value, rows = np.where(leaf, nodes["value"], 0.0), nodes["count"].astype(np.float64)
        for level in reversed(levels):
            weight = rows[level.left] / (rows[level.left] + rows[level.right])
            value[level.node] = weight * value[level.left] + (1 - weight) * value[level.right]
        path = np.zeros((len(nodes), model.n_features_in_))
        for level in levels:
            for child in (level.left, level.right):
                path[child] = path[level.node]
                path[child, level.column % model.n_features_in_] += value[child] - value[level.node]
        base = float(model._baseline_prediction.ravel()[0] + value[roots].sum())
        ends = np.flatnonzero(leaf)
        return cls(base, len(nodes), roots, tuple(levels), ends, path[ends])

    def __call__(self, table: np.ndarray) -> np.ndarray:
        """(n, features) parts of the log odds of each row of `table` (n, features; NaN = missing); with `base` they add up to them."""
        parts = [self._part(table[start : start + _ROWS]) for start in range(0, len(table), _ROWS)]
        return np.concatenate(parts) if parts else np.zeros((0, self.path.shape[1]))

    def _part(self, table: np.ndarray) -> np.ndarray:
        columns = np.asarray(table, dtype=np.float64).T
        # Nothing is at most a missing value, and the least value is at most anything: right and left without a look at it.
        columns = np.concatenate([columns, np.where(np.isnan(columns), -np.inf, columns)])
        reached = np.ones((self.nodes, len(table)), dtype=bool)
        for level in self.levels:
            here, goes_left = reached[level.node], columns[level.column] <= level.threshold[:, None]
            reached[level.left], reached[level.right] = here & goes_left, here & ~goes_left
        leaf, row = np.nonzero(reached[self.leaves])
        ends = np.searchsorted(leaf, np.arange(len(self.leaves) + 1))
        # A sparse product sums a row in the same order whatever stands beside it.
        ended = sp.csc_matrix((np.ones(len(row)), row, ends), shape=(len(table), len(self.leaves)))
        return np.asarray(ended @ self.path)


@dataclass(frozen=True)
class Attribution:
    """Log odds of r pairs in parts: `base` + the sum of a row of `parts` is the list model's log odds of the pair.

    `parts`, `seen` (r, len(PARTS)): what each feature moved, and the feature itself, NaN where it is missing.
    """

    base: float
    parts: np.ndarray
    seen: np.ndarray

    def log_odds(self) -> np.ndarray:
        """(r,) log odds of the list model."""
        return self.base + self.parts.sum(axis=1)

    def families(self) -> np.ndarray:
        """(r, len(FAMILIES)) sums of the parts."""
        return np.column_stack([self.parts[:, columns].sum(axis=1) for columns in FAMILY_COLUMNS])


class Attributor:
    """Attribution of a scorer's two models to the features that a steward knows."""

    def __init__(self, scorer: Scorer) -> None:
        self._scorer = scorer
        self._pair = TreeContributions.of(scorer.pair_model)
        self._list = TreeContributions.of(scorer.list_model)

    def __call__(
        self, features: pd.DataFrame, query: np.ndarray, pair: np.ndarray, ditto: np.ndarray, rows: np.ndarray
    ) -> Attribution:
        """Attribution of the pairs `rows` (r,) of p scored pairs; the other arguments are those of `Scorer.probability`."""
        if not len(rows):
            return Attribution(self._list.base, np.zeros((0, len(PARTS))), np.zeros((0, len(PARTS))))
        # A record's whole list is needed, other records' lists are not.
        mine = np.isin(query, query[rows])
        table = self._scorer.list_table(features[mine], query[mine], pair[mine], ditto[mine])
        values = table[np.cumsum(mine)[rows] - 1]
        parts = hand_on(self._list(values), self._pair(values[:, : len(FEATURES)]))
        return Attribution(self._list.base, parts, values)


def hand_on(parts: np.ndarray, own: np.ndarray) -> np.ndarray:
    """Parts of the list model (p, len(PARTS)) with the share of the pair's log odds handed on to the pair's features.

    `own` (p, len(FEATURES)): parts of the pair model. All are multiplied by one factor, the share over their sum (the rescale rule of
    DeepLIFT, Shrikumar et al. 2017), which is kept between 0 and 1: so no feature changes its side, none counts for more than in
    the pair model, and none is blown up where the pair's reasons cancel out. What is left over stays with the candidate list: it is the
    list's own judgement of the pair's log odds. Row sums stay what they were.
    """
    share, total = parts[:, _PAIR_LOGIT], own.sum(axis=1)
    factor = np.divide(share, total, out=np.zeros_like(share), where=np.abs(total) > 1e-12).clip(0, 1)
    out = parts.copy()
    out[:, : own.shape[1]] += factor[:, None] * own
    out[:, _PAIR_LOGIT] = share - factor * total
    return out
