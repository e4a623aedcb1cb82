"""Similarity features of two serialised records of any schema: what boosting on strings sees.

Each attribute is compared with its namesake on the other side, and each record as a whole with the other, because feeds move
values between columns; the dates, prices and measures of the whole are compared as what they mean. Rarity (inverse document frequency)
is learned from the records given to `fit`, labels unseen. Everything works on distinct records and arrays of pairs; there is no loop over
pairs in Python.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import scipy.sparse as sp
from anyascii import anyascii
from rapidfuzz import fuzz
from rapidfuzz.distance import JaroWinkler, Prefix
from rapidfuzz.process import cpdist
from sklearn.feature_extraction.text import HashingVectorizer
from sklearn.preprocessing import normalize

from em_core.ditto.quantities import Quantities
from em_core.ditto.serialise import attributes_in, split_record
from em_core.errors import UserError
from em_core.text.distinct import factorize

FILE = "similarity.npz"
CHUNK = 1 << 16  # pairs compared at a time
_BUCKETS = 2**18
_WORD = re.compile(r"[a-z0-9]+(?:[.,'][a-z0-9]+)*")
_NUMBER = re.compile(r"\d+(?:[.,]\d+)*")
_CODE = re.compile(r"(?=[a-z0-9/.-]*\d)(?=[a-z0-9/.-]*[a-z])[a-z0-9]+(?:[/.-][a-z0-9]+)*|\d{4,}")
_WHOLE = "whole record"  # no attribute has a blank in its name


def _folded(text: str) -> str:
    return anyascii(text).casefold()


def _words(text: str) -> list[str]:
    return _WORD.findall(text)


def _numbers(text: str) -> list[str]:
    """Numbers of a text, `1,299.00` and `1299` alike."""
    return [number.replace(",", "").rstrip("0").rstrip(".") if "." in number else number.replace(",", "")
            for number in _NUMBER.findall(text)]  # fmt: skip


def _codes(text: str) -> list[str]:
    """Words that look like a model, part or document number, without their separators: `DSC-W120/P` as `dscw120p`."""
    return [re.sub(r"[/.-]", "", code) for code in _CODE.findall(text)]


def _trigrams(text: str) -> list[str]:
    padded = [f" {word} " for word in _words(text)]
    return [word[i : i + 3] for word in padded for i in range(len(word) - 2)]


_ANALYSERS: dict[str, Callable[[str], list[str]]] = {
    "words": _words,
    "trigrams": _trigrams,
    "numbers": _numbers,
    "codes": _codes,
}


def _bags(kind: str, texts: np.ndarray) -> sp.csr_matrix:
    """(n, buckets) how often each hashed token stands in each text."""
    vectoriser = HashingVectorizer(
        n_features=_BUCKETS, analyzer=_ANALYSERS[kind], norm=None, alternate_sign=False, dtype=np.float32
    )
    return vectoriser.transform(texts)


def _amount(text: str) -> float:
    """The one number that a value is (price, year, share), else NaN."""
    found = _NUMBER.findall(text)
    return float(found[0].replace(",", "")) if len(found) == 1 and found[0].count(".") <= 1 else np.nan


@dataclass(frozen=True)
class _Column:
    """One attribute (or the whole record) of the distinct records: folded text and what is compared of it.

    `weights` (n, buckets) hold the rarity of each token once; `unit` rows of length 1 for cosines.
    """

    text: np.ndarray
    sorted_text: np.ndarray
    amount: np.ndarray
    length: np.ndarray
    unit: Mapping[str, sp.csr_matrix]
    weights: Mapping[str, sp.csr_matrix]
    long: bool
    quantities: Quantities | None  # of the whole record


@dataclass(frozen=True)
class Similarity:
    """What was learned from the training records: their attributes, and the rarity of hashed words and trigrams."""

    attributes: tuple[str, ...]
    rarity: Mapping[str, np.ndarray] = field(repr=False)

    @classmethod
    def fit(cls, texts: Iterable[str]) -> Similarity:
        """Learn from serialised training records; repeated ones count once."""
        distinct = np.array(sorted(set(texts)), dtype=object)
        folded = np.array(
            [_folded(" ".join(value for _, value in split_record(text))) for text in distinct], dtype=object
        )
        rarity = {}
        for kind in ("words", "trigrams"):
            frequency = np.bincount(_bags(kind, folded).indices, minlength=_BUCKETS)
            rarity[kind] = (np.log((len(distinct) + 1) / (frequency + 1)) + 1).astype(np.float32)
        return cls(attributes_in(distinct), rarity)

    def __call__(self, left: Sequence[str], right: Sequence[str]) -> pd.DataFrame:
        """Features of n pairs of serialised records, float32 (n, features); NaN where a side lacks the attribute."""
        if not len(left):
            return self([""], [""]).iloc[:0]  # the names of the features, and no pair
        return pd.concat([features for features, _ in self.compare(left, right)], ignore_index=True)

    def compare(self, left: Sequence[str], right: Sequence[str]) -> Iterator[tuple[pd.DataFrame, sp.csr_matrix]]:
        """Features as above and hashed words, float32 (n, 2 * buckets), of so many pairs at a time.

        Words that both records have come first, words that one of them lacks behind; each weighs what it is rare, at most 1.
        """
        if not len(left):
            return
        codes, distinct = factorize([*left, *right])
        columns = self._columns(distinct)
        words = columns[_WHOLE].weights["words"] / self.rarity["words"].max()
        for start in range(0, len(left), CHUNK):
            one, other = (side[start : start + CHUNK] for side in np.split(codes, 2))
            a, b = words[one], words[other]
            yield self._compare(columns, one, other), sp.hstack([a.minimum(b), abs(a - b)], format="csr")

    def save(self, folder: Path) -> None:
        """Write `similarity.npz`: plain arrays, no pickle."""
        arrays: dict[str, Any] = {"attributes": np.array(self.attributes, dtype=str), **self.rarity}
        arrays["features"] = np.array(self([], []).columns, dtype=str)
        np.savez_compressed(folder / FILE, **arrays)

    @classmethod
    def load(cls, folder: Path) -> Similarity:
        """Open what `save` wrote. Raises `UserError` if it had other features then."""
        with np.load(folder / FILE, allow_pickle=False) as arrays:
            similarity = cls(tuple(map(str, arrays["attributes"])), {k: arrays[k] for k in ("words", "trigrams")})
            if "features" not in arrays or arrays["features"].tolist() != list(similarity([], []).columns):
                raise UserError(f"{folder}: its similarity model has other features than this version; train it anew")
        return similarity

    def _columns(self, texts: Iterable[str]) -> dict[str, _Column]:
        records = [dict(split_record(text)) for text in texts]
        columns = {_WHOLE: [_folded(" ".join(record.values())) for record in records]}
        # Text without markers has one attribute, which is the whole record.
        for attribute in self.attributes if len(self.attributes) > 1 else ():
            columns[attribute] = [_folded(record.get(attribute, "")) for record in records]
        return {name: self._column(name, np.array(values, dtype=object)) for name, values in columns.items()}

    def _column(self, name: str, texts: np.ndarray) -> _Column:
        main = name in (_WHOLE, *self.attributes[:1])
        unit, weights = {}, {}
        for kind in _ANALYSERS if main else ("words", "trigrams"):
            bag = _bags(kind, texts)
            rarity = self.rarity[kind][bag.indices] if kind in self.rarity else np.ones(bag.nnz, dtype=np.float32)
            if kind in ("words", "trigrams"):
                unit[kind] = normalize(_with_data(bag, (1 + np.log(bag.data)) * rarity))
            if kind != "trigrams":
                weights[kind] = _with_data(bag, rarity)
        words = [_words(text) for text in texts]
        return _Column(
            text=np.array([" ".join(found) for found in words], dtype=object),
            sorted_text=np.array([" ".join(sorted(found)) for found in words], dtype=object),
            amount=np.array([_amount(text) for text in texts]),
            length=np.array([len(text) for text in texts], dtype=np.float32),
            unit=unit,
            weights=weights,
            long=name == _WHOLE,
            quantities=Quantities.read(texts.tolist()) if name == _WHOLE else None,
        )

    def _compare(self, columns: Mapping[str, _Column], left: np.ndarray, right: np.ndarray) -> pd.DataFrame:
        out: dict[str, np.ndarray] = {}
        for name, column in columns.items():
            out |= {f"{name}: {what}": values for what, values in _compare_column(column, left, right).items()}
        if len(columns) > 1:
            name = self.attributes[0]
            whole, first = columns[_WHOLE].weights["words"], columns[name].weights["words"]
            # The name's words anywhere in the other record.
            found = _overlap(first[left], whole[right])[0], _overlap(first[right], whole[left])[0]
            out[f"{name}: found in the other record, least"] = np.fmin(*found)
            out[f"{name}: found in the other record, most"] = np.fmax(*found)
            each = np.stack([out[f"{attribute}: words"] for attribute in columns if attribute != _WHOLE])
            known = ~np.isnan(each)
            out["attributes: known"] = known.sum(axis=0)
            out["attributes: mean"] = np.where(known, each, 0).sum(axis=0) / np.maximum(1, known.sum(axis=0))
            out["attributes: least"] = np.where(known, each, 2).min(axis=0, initial=2)
        return pd.DataFrame({name: np.asarray(values, dtype=np.float32) for name, values in out.items()})


def _compare_column(column: _Column, left: np.ndarray, right: np.ndarray) -> dict[str, np.ndarray]:
    a, b = column.text[left], column.text[right]
    empty = (a == "") | (b == "")
    out = {
        "ratio": cpdist(a, b, scorer=fuzz.ratio, dtype=np.float32),
        "sorted": cpdist(column.sorted_text[left], column.sorted_text[right], scorer=fuzz.ratio, dtype=np.float32),
        "jaro": cpdist(a, b, scorer=JaroWinkler.normalized_similarity, dtype=np.float32),
        "prefix": cpdist(a, b, scorer=Prefix.normalized_similarity, dtype=np.float32),
        "equal": (a == b).astype(np.float32),
    }
    if not column.long:
        out["partial"] = cpdist(a, b, scorer=fuzz.partial_ratio, dtype=np.float32)
    lengths = column.length[left], column.length[right]
    out["length"] = np.minimum(*lengths) / np.maximum(1, np.maximum(*lengths))
    for kind, unit in column.unit.items():
        out[kind] = np.asarray(unit[left].multiply(unit[right]).sum(axis=1)).ravel()
    for kind, weights in column.weights.items():
        shared_left, shared_right, missing_left, missing_right = _overlap(weights[left], weights[right])
        # The lesser and the greater of both sides: a pair reads the same in either order.
        out |= {
            f"{kind} shared, least": np.fmin(shared_left, shared_right),
            f"{kind} shared, most": np.fmax(shared_left, shared_right),
            f"{kind} missing, least": np.minimum(missing_left, missing_right),
            f"{kind} missing, most": np.maximum(missing_left, missing_right),
        }
    for values in out.values():
        values[empty] = np.nan
    x, y = column.amount[left], column.amount[right]
    with np.errstate(invalid="ignore", divide="ignore"):
        out["amount"] = np.abs(x - y) / np.maximum(np.abs(x), np.abs(y))
    if column.quantities is not None:
        out |= column.quantities.compare(left, right)
    return out


def _with_data(matrix: sp.csr_matrix, data: np.ndarray) -> sp.csr_matrix:
    return sp.csr_matrix((data.astype(np.float32), matrix.indices, matrix.indptr), shape=matrix.shape)


def _overlap(one: sp.csr_matrix, other: sp.csr_matrix) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Row-wise: share of each side's weight that the other has too (NaN for none), and the heaviest token that it lacks."""
    shared = one.minimum(other)
    common = np.asarray(shared.sum(axis=1)).ravel()
    with np.errstate(invalid="ignore", divide="ignore"):
        shares = [(common / np.asarray(m.sum(axis=1)).ravel()).astype(np.float32) for m in (one, other)]
    lacking = [
        (m - shared).max(axis=1).toarray().ravel() if m.shape[0] else np.zeros(0, np.float32) for m in (one, other)
    ]
    return shares[0], shares[1], lacking[0], lacking[1]
