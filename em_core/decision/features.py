"""Pair features: what a record and a candidate have in common. Missing is NaN, never "different"."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import scipy.sparse as sp
from rapidfuzz import fuzz
from rapidfuzz.distance import JaroWinkler, Prefix
from rapidfuzz.process import cpdist

from em_core.schema import IDENTIFIERS
from em_core.text.rarity import Rarity, WordBags

# Name -> what it says. The order is the order of the columns.
FEATURES: dict[str, str] = {
    "lexical": "cosine of character n-grams of the whole names",
    "vector": "cosine of the name embeddings",
    "rank": "place in the candidate list, 0 = first",
    "lexical_gap": "lexical cosine minus the best other candidate's",
    "vector_gap": "vector cosine minus the best other candidate's",
    "crowd": "candidates within 0.1 lexical cosine of the best one",
    "core_ratio": "edit similarity of the names without legal form (0-100)",
    "core_gap": "core_ratio minus the best other candidate's",
    "core_sorted": "edit similarity with the words sorted",
    "core_partial": "best edit similarity of the shorter core inside the longer one",
    "core_words": "similarity of the shared and unshared words (token set ratio)",
    "core_jaro": "Jaro-Winkler similarity of the cores (0-1)",
    "compact_ratio": "edit similarity without blanks",
    "full_ratio": "edit similarity of the whole names",
    "prefix": "shared beginning of the compact cores, as a share of the shorter one",
    "shared_query": "share of the record's word rarity that the candidate shares",
    "shared_entity": "share of the candidate's word rarity that the record shares",
    "rarest_missing_query": "rarity of the record's rarest word that the candidate lacks",
    "rarest_missing_entity": "rarity of the candidate's rarest word that the record lacks",
    "rarity_query": "word rarity of the record's core in total",
    "length_query": "letters of the record's compact core",
    "length_gap": "letters of the candidate's compact core minus the record's",
    "same_form": "1 same legal form, 0 another one, missing if either has none",
    "same_kind": "1 same class of legal form, 0 another one, missing if either has none",
    "same_numbers": "1 same numbers in the name, 0 others; missing if neither has any",
    "namesakes": "reference entities whose core equals the candidate's",
    "same_country": "1 same country, 0 another one, missing if either is unknown",
    "same_region": "1 same region, 0 another one, missing if either is unknown",
    "same_city": "edit similarity of the cities (0-100), missing if either is unknown",
    "same_postal_code": "1 same postal code, 0 another one, missing if either is unknown",
    "same_host": "1 same web host, 0 another one, missing if either is unknown",
    "same_industry": "edit similarity of the industries (0-100), missing if either is unknown",
    "same_ticker": "1 same ticker and exchange or country, 0 another ticker, missing otherwise",
    "same_identifier": "1 a valid identifier agrees, 0 one disagrees and none agrees, missing if there is none to compare",
}


def _equal(left: np.ndarray, right: np.ndarray) -> np.ndarray:
    """1.0 / 0.0, NaN where either side is empty."""
    out = (left == right).astype(np.float32)
    out[(left == "") | (right == "")] = np.nan
    return out


def _similar(scorer: Any, left: np.ndarray, right: np.ndarray) -> np.ndarray:
    """Row-wise similarity, NaN where either side is empty."""
    out = cpdist(left, right, scorer=scorer, dtype=np.float32, workers=2)
    out[(left == "") | (right == "")] = np.nan
    return out


def best_other(query: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Value minus the best value among the *other* candidates of the same query; a lone candidate is compared with 0.

    `query` is sorted. NaN counts as 0.
    """
    filled = np.nan_to_num(values)
    starts = np.flatnonzero(np.r_[True, query[1:] != query[:-1]])
    group = np.cumsum(np.r_[True, query[1:] != query[:-1]]) - 1
    order = np.lexsort((-filled, group))
    first = order[starts]
    sizes = np.diff(np.r_[starts, len(query)])
    best = filled[first]
    second = np.where(sizes > 1, filled[order[np.minimum(starts + 1, len(query) - 1)]], 0.0)
    other = best[group]
    other[first] = second
    return (filled - other).astype(np.float32)


def _shared_prefix(left: np.ndarray, right: np.ndarray) -> np.ndarray:
    """Length of the shared beginning as a share of the shorter text; NaN where either is empty."""
    prefix = cpdist(left, right, scorer=Prefix.similarity, dtype=np.float32, workers=2)
    shorter = np.minimum(_lengths(left), _lengths(right))
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(shorter > 0, prefix / shorter, np.nan).astype(np.float32)


def _lengths(texts: np.ndarray) -> np.ndarray:
    return np.fromiter((len(t) for t in texts), dtype=np.float32, count=len(texts))


def _words(
    query: WordBags, entity: WordBags, rows: np.ndarray, columns: np.ndarray, unseen: float
) -> dict[str, np.ndarray]:
    """Rarity-weighted overlap of the word sets of pairs (rows of `query`, rows of `entity`)."""
    left, right = query.known[rows], entity.known[columns]
    shared = left.multiply(right > 0).tocsr()
    shared_sum = np.asarray(shared.sum(axis=1)).ravel()
    total_left = np.asarray(left.sum(axis=1)).ravel() + unseen * query.unknown[rows]
    total_right = np.asarray(right.sum(axis=1)).ravel()
    rarest_left = np.maximum(_row_max(left - shared), np.where(query.unknown[rows] > 0, unseen, 0.0))
    with np.errstate(invalid="ignore", divide="ignore"):
        return {
            "shared_query": np.where(total_left > 0, shared_sum / total_left, np.nan),
            "shared_entity": np.where(total_right > 0, shared_sum / total_right, np.nan),
            "rarest_missing_query": rarest_left,
            "rarest_missing_entity": _row_max(right - shared),
            "rarity_query": total_left,
        }


def _row_max(matrix: sp.csr_matrix) -> np.ndarray:
    if matrix.shape[0] == 0 or matrix.shape[1] == 0:
        return np.zeros(matrix.shape[0], dtype=np.float32)
    return matrix.max(axis=1).toarray().ravel()


def _identifiers(query: pd.DataFrame, entity: pd.DataFrame) -> np.ndarray:
    equal = np.stack([_equal(query[kind].to_numpy(), entity[kind].to_numpy()) for kind in IDENTIFIERS])
    some = ~np.isnan(equal).all(axis=0)
    return np.where(some, np.nanmax(np.where(np.isnan(equal), -1.0, equal), axis=0), np.nan).astype(np.float32)


def _tickers(query: pd.DataFrame, entity: pd.DataFrame) -> np.ndarray:
    """A ticker alone says nothing: it needs the same exchange or country on both sides."""
    same = _equal(query["ticker"].to_numpy(), entity["ticker"].to_numpy())
    place = _equal(query["exchange"].to_numpy(), entity["exchange"].to_numpy())
    country = _equal(query["country"].to_numpy(), entity["country"].to_numpy())
    known = (place == 1) | (country == 1)
    return np.where(known, same, np.nan).astype(np.float32)


class PairFeatures:
    """Features of (record, candidate) pairs against one reference; `rarity` and namesakes are the reference's own."""

    def __init__(self, entities: pd.DataFrame) -> None:
        """`entities`: profiles of the reference (see `em_core.text.profile`), in index order."""
        self.entities = entities
        cores = entities["core"].to_numpy()
        self.rarity = Rarity.fit(cores)
        self._bags = self.rarity.bags(cores)
        self._namesakes = entities.groupby("core")["core"].transform("size").to_numpy(dtype=np.float32)

    def __call__(self, records: pd.DataFrame, candidates: pd.DataFrame) -> pd.DataFrame:
        """(p, len(FEATURES)) float32 for p candidate rows (`query`, `entity`, `rank`, `lexical`, `vector`; sorted by query).

        `records`: profiles of the source records; `query` is a position in it.
        """
        rows, columns = candidates["query"].to_numpy(), candidates["entity"].to_numpy()
        if len(rows) == 0:
            return pd.DataFrame(np.zeros((0, len(FEATURES)), dtype=np.float32), columns=list(FEATURES))
        query, entity = records.iloc[rows], self.entities.iloc[columns]
        left = {c: query[c].to_numpy(dtype=object) for c in ("full", "core", "compact", "form", "kind", "numbers")}
        right = {c: entity[c].to_numpy(dtype=object) for c in left}
        lexical = candidates["lexical"].to_numpy(dtype=np.float32)
        vector = candidates["vector"].to_numpy(dtype=np.float32)
        ratio = _similar(fuzz.ratio, left["core"], right["core"])
        best = np.maximum.reduceat(lexical, np.flatnonzero(np.r_[True, rows[1:] != rows[:-1]]))
        group = np.cumsum(np.r_[True, rows[1:] != rows[:-1]]) - 1
        numbers = (left["numbers"] == right["numbers"]).astype(np.float32)
        numbers[(left["numbers"] == "") & (right["numbers"] == "")] = np.nan
        length = _lengths(left["compact"])
        out = {
            "lexical": lexical,
            "vector": vector,
            "rank": candidates["rank"].to_numpy(dtype=np.float32),
            "lexical_gap": best_other(rows, lexical),
            "vector_gap": np.where(np.isnan(vector), np.nan, best_other(rows, vector)),
            "crowd": np.bincount(group, weights=lexical >= best[group] - 0.1)[group],
            "core_ratio": ratio,
            "core_gap": best_other(rows, ratio),
            "core_sorted": _similar(fuzz.token_sort_ratio, left["core"], right["core"]),
            "core_partial": _similar(fuzz.partial_ratio, left["core"], right["core"]),
            "core_words": _similar(fuzz.token_set_ratio, left["core"], right["core"]),
            "core_jaro": _similar(JaroWinkler.normalized_similarity, left["core"], right["core"]),
            "compact_ratio": _similar(fuzz.ratio, left["compact"], right["compact"]),
            "full_ratio": _similar(fuzz.ratio, left["full"], right["full"]),
            "prefix": _shared_prefix(left["compact"], right["compact"]),
            **_words(self.rarity.bags(records["core"].to_numpy()), self._bags, rows, columns, self.rarity.unseen),
            "length_query": length,
            "length_gap": _lengths(right["compact"]) - length,
            "same_form": _equal(left["form"], right["form"]),
            "same_kind": _equal(left["kind"], right["kind"]),
            "same_numbers": numbers,
            "namesakes": self._namesakes[columns],
            "same_country": _equal(query["country"].to_numpy(), entity["country"].to_numpy()),
            "same_region": _equal(query["region"].to_numpy(), entity["region"].to_numpy()),
            "same_city": _similar(fuzz.ratio, query["city"].to_numpy(), entity["city"].to_numpy()),
            "same_postal_code": _equal(query["postal_code"].to_numpy(), entity["postal_code"].to_numpy()),
            "same_host": _equal(query["host"].to_numpy(), entity["host"].to_numpy()),
            "same_industry": _similar(
                fuzz.token_set_ratio, query["industry"].to_numpy(), entity["industry"].to_numpy()
            ),
            "same_ticker": _tickers(query, entity),
            "same_identifier": _identifiers(query, entity),
        }
        return pd.DataFrame({name: np.asarray(out[name], dtype=np.float32) for name in FEATURES})
