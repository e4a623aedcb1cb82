"""Gradient boosting on string similarities, learned from labels: the plain, strong peer that needs no transformer.

Ten nearest names by character TF-IDF, some sixteen features of each pair, scikit-learn's histogram boosting (150 rounds, rate .08, 15
leaves), the probability of the best candidate as score.
"""

from __future__ import annotations

import re

import numpy as np
import pandas as pd
from common import SHOWN, Clock, parser, ranked, read, write
from nearest import Nearest
from rapidfuzz import fuzz
from rapidfuzz.distance import JaroWinkler
from rapidfuzz.process import cpdist
from scipy import sparse
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.feature_extraction.text import CountVectorizer

from em_core.text.fold import fold_all

_FORMS = set(
    "ab ag as asa bhd bv co company corp corporation gmbh group holding holdings inc incorporated kg kk limited llc llp "
    "lp ltd nv oy oyj plc pt pte public sa sab se spa srl tbk trust".split()
)
_DIGITS = re.compile(r"\d+")


class Words:
    """Rarity of words over the reference, and what two names share."""

    def __init__(self, names: np.ndarray) -> None:
        self.counter = CountVectorizer(token_pattern=r"\S+", binary=True, dtype=np.float32)
        counts = self.counter.fit_transform(names)
        self.idf = np.log((1 + counts.shape[0]) / (1 + np.asarray(counts.sum(axis=0)).ravel())).astype(np.float32)

    def matrix(self, names: np.ndarray) -> sparse.csr_matrix:
        """(n, words) weights: a word's rarity where the name has it."""
        return self.counter.transform(names).multiply(self.idf).tocsr()


def _row_max(matrix: sparse.csr_matrix) -> np.ndarray:
    return np.asarray(matrix.max(axis=1).todense()).ravel() if matrix.shape[0] else np.zeros(0)


def features(found: pd.DataFrame, queries: pd.DataFrame, reference: pd.DataFrame, words: Words) -> np.ndarray:
    """(p, 16) features of candidate pairs, 15 without countries; NaN where a side says nothing."""
    q, e = found["query"].to_numpy(), found["entity"].to_numpy()
    sides = {}
    for side, frame, rows in (("q", queries, q), ("e", reference, e)):
        full = fold_all(frame["name"])
        core = np.array([" ".join(w for w in t.split() if w not in _FORMS) or t for t in full], dtype=object)
        forms = np.array([" ".join(sorted({w for w in t.split() if w in _FORMS})) for t in full], dtype=object)
        numbers = np.array([" ".join(sorted(_DIGITS.findall(t))) for t in full], dtype=object)
        sides[side] = (full[rows], core[rows], forms[rows], numbers[rows], words.matrix(core)[rows])
    (_, left, left_form, left_number, left_words), (_, right, right_form, right_number, right_words) = sides.values()
    best = found.groupby("query")["cosine"].transform("max").to_numpy()
    second = (
        found.groupby("query")["cosine"].transform(lambda c: c.nlargest(2).iloc[-1] if len(c) > 1 else 0.0).to_numpy()
    )
    cosine = found["cosine"].to_numpy()
    shared = left_words.minimum(right_words)
    overlap = np.asarray(shared.sum(axis=1)).ravel()
    weight = [np.asarray(side.sum(axis=1)).ravel() for side in (left_words, right_words)]
    form = np.where((left_form == "") | (right_form == ""), np.nan, left_form == right_form)
    glued = [np.array([t.replace(" ", "") for t in side], dtype=object) for side in (left, right)]
    columns = [
        cosine,
        cosine - np.where(cosine == best, second, best),
        found["rank"].to_numpy(),
        *(cpdist(left, right, scorer=s) for s in (fuzz.ratio, fuzz.token_sort_ratio, fuzz.partial_ratio)),
        cpdist(left, right, scorer=JaroWinkler.normalized_similarity),
        *(overlap / np.maximum(w, 1e-6) for w in weight),
        *(_row_max((side - shared).tocsr()) for side in (left_words, right_words)),
        form,
        left_number == right_number,
        np.array([len(a) - len(b) for a, b in zip(left, right, strict=True)]),
        cpdist(*glued, scorer=fuzz.ratio),
    ]
    if "country" in queries:
        a, b = queries["country"].to_numpy()[q], reference["country"].to_numpy()[e]
        columns.append(np.where((a == "") | (b == ""), np.nan, a == b))
    return np.column_stack([np.asarray(c, dtype=np.float32) for c in columns])


def main() -> None:
    """Learn from the labels and answer every query."""
    arguments = parser(__doc__).parse_args()
    reference, queries, train = read(arguments.reference), read(arguments.queries), read(arguments.train)
    clock = Clock()
    names = fold_all(reference["name"])
    nearest, words = Nearest(pd.Series(names)), Words(names)
    clock.lap("fit")
    found = nearest.search(pd.Series(fold_all(train["name"])), SHOWN)
    right = reference["entity_id"].to_numpy()[found["entity"]] == train["entity_id"].to_numpy()[found["query"]]
    model = HistGradientBoostingClassifier(max_iter=150, learning_rate=0.08, max_leaf_nodes=15, random_state=0)
    model.fit(features(found, train, reference, words), right)
    clock.lap("train")
    found = nearest.search(pd.Series(fold_all(queries["name"])), SHOWN)
    score = model.predict_proba(features(found, queries, reference, words))[:, 1]
    answers = ranked(found["query"], reference["entity_id"].to_numpy()[found["entity"]], score)
    clock.lap("match")
    write(answers, arguments.out)
    clock.report()


if __name__ == "__main__":
    main()
