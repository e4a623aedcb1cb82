"""Pair features: what a record and a candidate have in common. Missing is NaN, never "different"."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import scipy.sparse as sp
from rapidfuzz import fuzz
from rapidfuzz.distance import JaroWinkler, Prefix
from rapidfuzz.process import cpdist

from em_core.decision.alignment import align
from em_core.retrieval.lookups import Lookups
from em_core.schema import IDENTIFIERS
from em_core.text.distinct import over_distinct_rows
from em_core.text.fold import over_distinct
from em_core.text.forms import form_agreement
from em_core.text.names import initial_columns
from em_core.text.places import same_subdivision
from em_core.text.words import WordBags, Words

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
    "aligned_query": "share of the record's word rarity that the candidate explains, abbreviated and misspelt words included",
    "aligned_entity": "share of the candidate's word rarity that the record explains, abbreviated and misspelt words included",
    "unexplained_query": "rarity of the record's rarest word times what the candidate does not explain of it",
    "unexplained_entity": "rarity of the candidate's rarest word times what the record does not explain of it",
    "aligned_gap": "aligned_query and aligned_entity together minus the best other candidate's",
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
    "same_domain": "1 same registrable web domain, 0 another one, missing if either is unknown",
    "same_industry": "edit similarity of the industries (0-100), missing if either is unknown",
    "same_ticker": "1 same ticker and exchange or country, 0 another ticker, missing otherwise",
    "same_identifier": "1 an identifier agrees, 0 the LEI or CIK differs and none agrees, missing otherwise",
    "same_designators": "1 same holding, group, branch, country, number and fund designators, 0 others, missing if neither has any",
    "same_class": "1 same share class, 0 another one, missing if either names none",
    "acronym": "1 one name is made of the initials of the other, 0 if not, missing for names of one long word",
    "form_agreement": "1 same legal form, 0.75 written for one another, 0 they exclude each other, missing if either has none",
    "country_of_form": "1 the candidate's country knows the record's legal form, 0 it does not, missing if either is unknown",
}

# What is read of a candidate's profile.
_COMPARED = (
    "full", "core", "compact", "form", "kind", "numbers", "core_key", "designators", "country", "subdivision", "city", "postal_code",
    "domain", "industry", "symbol", "venue", "venue_country", *IDENTIFIERS,
)  # fmt: skip


def _equal(left: np.ndarray, right: np.ndarray) -> np.ndarray:
    """1.0 / 0.0, NaN where either side is empty."""
    out = (left == right).astype(np.float32)
    out[(left == "") | (right == "")] = np.nan
    return out


def _regions(left: np.ndarray, right: np.ndarray) -> np.ndarray:
    """1.0 / 0.0, NaN where either side is empty."""
    out = same_subdivision(left, right).astype(np.float32)
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


def _shared(query: np.ndarray, entity: np.ndarray) -> np.ndarray:
    """1.0 if two cells of blank-separated values share one, 0.0 if not, NaN where either is empty."""
    out = _equal(query, entity)
    several = np.flatnonzero(
        (out == 0) & np.array([" " in a or " " in b for a, b in zip(query, entity, strict=True)], dtype=bool)
    )
    out[several] = [not set(query[i].split()).isdisjoint(entity[i].split()) for i in several]
    return out


def _identifiers(query: pd.DataFrame, entity: pd.DataFrame) -> np.ndarray:
    """A firm has one LEI and one CIK, but many securities and numbers of several registers: only the first two can contradict."""
    equal = {kind: _shared(query[kind].to_numpy(), entity[kind].to_numpy()) for kind in IDENTIFIERS}
    for kind in set(IDENTIFIERS) - {"lei", "cik"}:
        equal[kind] = np.where(equal[kind] == 1, 1.0, np.nan)
    values = np.stack(list(equal.values()))
    some = ~np.isnan(values).all(axis=0)
    return np.where(some, np.nanmax(np.where(np.isnan(values), -1.0, values), axis=0), np.nan).astype(np.float32)


def _tickers(query: pd.DataFrame, entity: pd.DataFrame) -> np.ndarray:
    """A ticker alone says nothing: it needs the same exchange or country on both sides."""
    same = _equal(query["symbol"].to_numpy(), entity["symbol"].to_numpy())
    venue = _equal(query["venue"].to_numpy(), entity["venue"].to_numpy())
    country = _equal(query["venue_country"].to_numpy(), entity["venue_country"].to_numpy())
    known = (venue == 1) | (country == 1)
    return np.where(known, same, np.nan).astype(np.float32)


def _after_core(core_key: str) -> str:
    return core_key.partition("|")[2]


def _designators(left: np.ndarray, right: np.ndarray) -> np.ndarray:
    a, b = over_distinct(left, _after_core, ""), over_distinct(right, _after_core, "")
    return np.where((a == "") & (b == ""), np.nan, a == b).astype(np.float32)


def _class_of(designators: str) -> str:
    return next((code for code in designators.split() if code.startswith("class:")), "")


def _classes(designators: pd.Series) -> np.ndarray:
    return over_distinct(designators, _class_of, "")


def _acronyms(
    left: np.ndarray, left_forms: list[np.ndarray], right: np.ndarray, right_forms: list[np.ndarray]
) -> np.ndarray:
    """(p,) from compact cores and initials (see `em_core.text.names.initial_columns`) of both sides."""
    comparable = (left_forms[0] == "") != (right_forms[0] == "")
    equal = np.zeros(len(left), dtype=bool)
    for mine, theirs in zip(left_forms, right_forms, strict=True):
        equal |= ((left == theirs) & (left != "")) | ((right == mine) & (right != ""))
    return np.where(equal, 1.0, np.where(comparable, 0.0, np.nan)).astype(np.float32)


def _forms(left: np.ndarray, right: np.ndarray) -> np.ndarray:
    out = over_distinct_rows((left, right), form_agreement).astype(np.float32) if len(left) else np.zeros(0, np.float32)
    out[(left == "") | (right == "")] = np.nan
    return out


def _known_there(jurisdictions: str, country: str) -> float:
    return float(country in jurisdictions.split()) if jurisdictions and country else np.nan


def _country_of_form(jurisdictions: np.ndarray, country: np.ndarray) -> np.ndarray:
    if not len(country):
        return np.zeros(0, np.float32)
    return over_distinct_rows((jurisdictions, country), _known_there).astype(np.float32)


class PairFeatures:
    """Features of (record, candidate) pairs against one reference; `rarity` and namesakes are the reference's own."""

    def __init__(self, lookups: Lookups) -> None:
        self.lookups = lookups

    def __call__(self, records: pd.DataFrame, candidates: pd.DataFrame) -> pd.DataFrame:
        """(p, len(FEATURES)) float32 for p candidate rows (`query`, `entity`, `rank`, `lexical`, `vector`; sorted by query).

        `records`: profiles of the source records; `query` is a position in it.
        """
        rows, columns = candidates["query"].to_numpy(), candidates["entity"].to_numpy()
        if len(rows) == 0:
            return pd.DataFrame(np.zeros((0, len(FEATURES)), dtype=np.float32), columns=list(FEATURES))
        distinct, place = np.unique(columns, return_inverse=True)
        entities = self.lookups.entities.take(distinct, _COMPARED)
        query, entity = records.iloc[rows], entities.iloc[place]
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
        rarity, words = self.lookups.rarity, Words.of(records["core"].to_numpy(), self.lookups.rarity)
        aligned = align(words, self.lookups.words, rows, columns, rarity)
        bags = words.bags(np.arange(len(records)), rarity), self.lookups.words.bags(distinct, rarity)
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
            **_words(*bags, rows, place, rarity.unseen),
            **aligned,
            "aligned_gap": best_other(rows, aligned["aligned_query"] + np.nan_to_num(aligned["aligned_entity"])),
            "length_query": length,
            "length_gap": _lengths(right["compact"]) - length,
            "same_form": _equal(left["form"], right["form"]),
            "same_kind": _equal(left["kind"], right["kind"]),
            "same_numbers": numbers,
            "namesakes": self.lookups.namesakes[columns],
            "same_country": _equal(query["country"].to_numpy(), entity["country"].to_numpy()),
            "same_region": _regions(query["subdivision"].to_numpy(), entity["subdivision"].to_numpy()),
            "same_city": _similar(fuzz.ratio, query["city"].to_numpy(), entity["city"].to_numpy()),
            "same_postal_code": _equal(query["postal_code"].to_numpy(), entity["postal_code"].to_numpy()),
            "same_domain": _equal(query["domain"].to_numpy(), entity["domain"].to_numpy()),
            "same_industry": _similar(
                fuzz.token_set_ratio, query["industry"].to_numpy(), entity["industry"].to_numpy()
            ),
            "same_ticker": _tickers(query, entity),
            "same_identifier": _identifiers(query, entity),
            "same_designators": _designators(query["core_key"].to_numpy(), entity["core_key"].to_numpy()),
            "same_class": _equal(_classes(query["designators"]), _classes(entity["designators"])),
            "acronym": _acronyms(
                left["compact"],
                [forms[rows] for forms in initial_columns(records)],
                right["compact"],
                [forms[place] for forms in initial_columns(entities)],
            ),
            "form_agreement": _forms(left["form"], right["form"]),
            "country_of_form": _country_of_form(query["jurisdictions"].to_numpy(), entity["country"].to_numpy()),
        }
        return pd.DataFrame({name: np.asarray(out[name], dtype=np.float32) for name in FEATURES})
