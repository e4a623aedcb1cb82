"""Folding: one spelling for the many ways to write the same text.

Index text and query text pass through the same `fold`, so that neither side knows more than the other.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterable
from typing import TypeVar

import numpy as np
import pandas as pd
from anyascii import anyascii

# Legal forms that CJK names glue to the name: anchored at either end, before the script is lost.
_GLUED_FORMS = {
    "株式会社": "kk",
    "有限会社": "yk",
    "合同会社": "gk",
    "(株)": "kk",
    "㈱": "kk",
    "주식회사": "co ltd",
    "유한회사": "co ltd",
    "(주)": "co ltd",
    "㈜": "co ltd",
    "股份有限公司": "co ltd",
    "有限责任公司": "co ltd",
    "有限責任公司": "co ltd",
    "有限公司": "co ltd",
}
_GLUED = re.compile(
    "^(?:" + "|".join(map(re.escape, _GLUED_FORMS)) + ")|(?:" + "|".join(map(re.escape, _GLUED_FORMS)) + ")$"
)
_NOT_ASCII = re.compile(r"[^\x00-\x7f]")
_APOSTROPHE = re.compile(r"['`’]")
_INITIALS = re.compile(r"\b(?:[a-z0-9]\.\s?){2,}(?:[a-z](?![a-z0-9]))?|\b[a-z]\.[a-z]\b")
_SLASHED = re.compile(r"\b([a-z])/([a-z])\b(?!/)")
_BETWEEN = re.compile(r"[^a-z0-9]+")

T = TypeVar("T")


def fold(text: str) -> str:
    """Lower-case ASCII words: scripts transliterated, `&` -> and, dotted initials joined, punctuation gone.

    Never raises and never invents: text without a letter or digit in any script folds to the empty string.
    """
    if _NOT_ASCII.search(text):
        text = unicodedata.normalize("NFKC", _GLUED.sub(lambda m: f" {_GLUED_FORMS[m.group()]} ", text.strip()))
        text = _GLUED.sub(lambda m: f" {_GLUED_FORMS[m.group()]} ", text.strip())
        # Emoji carry no name: anyascii would spell them as `:smile:`.
        text = "".join(" " if unicodedata.category(c) in ("So", "Cs", "Co", "Cn") else c for c in text)
        text = anyascii(text)
    text = _APOSTROPHE.sub("", text.lower()).replace("&", " and ").replace("+", " plus ")
    text = _SLASHED.sub(r"\1\2", text)
    text = _INITIALS.sub(lambda m: m.group().replace(".", "").replace(" ", "") + " ", text)
    return _BETWEEN.sub(" ", text).strip()


def over_distinct(values: Iterable[object], function: Callable[[str], T], missing: T) -> np.ndarray:
    """`function` over the distinct texts only, spread back to every row; None and NaN give `missing`."""
    codes, distinct = pd.factorize(pd.Series(values, dtype=object), use_na_sentinel=True)
    results = np.empty(len(distinct) + 1, dtype=object)
    for position, text in enumerate(distinct):
        results[position] = function(str(text))
    results[-1] = missing
    return results[codes]


def fold_all(values: Iterable[object]) -> np.ndarray:
    """`fold` of each value as an object array of text; missing folds to the empty string."""
    return over_distinct(values, fold, "")
