"""Folding: one spelling for the many ways to write the same text.

Index text and query text pass through the same `fold`, so that neither side knows more than the other.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterable
from typing import TypeVar

import numpy as np
from anyascii import anyascii

from em_core.text.distinct import factorize

# Legal forms and designators that a script glues to the name: anchored at either end, before the script is lost.
_GLUED_FORMS = {
    # Japanese
    "株式会社": "kk", "株式會社": "kk", "有限会社": "yk", "合同会社": "gk", "(株)": "kk", "㈱": "kk", "(有)": "yk", "㈲": "yk",
    "(同)": "gk",
    "ホールディングス": "holdings", "グループ": "group", "一般社団法人": "ippan shadan hojin", "一般財団法人": "ippan zaidan hojin",
    # Korean
    "주식회사": "jusik hoesa", "유한책임회사": "yuhan hoesa", "유한회사": "yuhan hoesa", "(주)": "jusik hoesa", "㈜": "jusik hoesa",
    "(유)": "yuhan hoesa", "홀딩스": "holdings", "그룹": "group",
    # Chinese, simplified and traditional
    "股份有限公司": "co ltd", "有限责任公司": "co ltd", "有限責任公司": "co ltd", "有限公司": "co ltd", "股份公司": "co ltd",
    "分公司": "branch",
    "公司": "co", "集团": "group", "集團": "group", "控股": "holdings", "有限合伙": "lp", "(有限合伙)": "lp",
    # Thai: company ... limited (public)
    "บริษัท": "borisat", "จำกัด(มหาชน)": "pcl", "จำกัด (มหาชน)": "pcl", "จํากัด(มหาชน)": "pcl", "จํากัด (มหาชน)": "pcl",
    "จำกัด": "co ltd", "จํากัด": "co ltd",
    "ห้างหุ้นส่วนจำกัด": "lp", "บมจ.": "pcl", "บจก.": "co ltd", "บจ.": "co ltd",
    # Arabic, Hebrew, Georgian, Armenian
    "شركة": "sharikat", "الشركة": "sharikat", "المحدودة": "ltd", "المساهمة": "jsc", "ذ.م.م.": "llc", "ذ.م.م": "llc", "ش.م.م.": "llc",
    "ش.م.م": "llc",
    "ش.م.ع": "pjsc", 'בע"מ': "ltd", "בע״מ": "ltd", "בעמ": "ltd", "შპს": "llc", "სს": "jsc", "ՍՊԸ": "llc", "ՓԲԸ": "cjsc",
}  # fmt: skip
_GLUED_FORMS = {unicodedata.normalize("NFKC", spelling): form for spelling, form in _GLUED_FORMS.items()}
# "Company" before the name says no more than the form behind it.
_SILENT = frozenset({"borisat", "sharikat"})
_LONGEST_FIRST = "|".join(map(re.escape, sorted(_GLUED_FORMS, key=len, reverse=True)))
_GLUED = re.compile(f"^(?:{_LONGEST_FIRST})|(?:{_LONGEST_FIRST})$")
_EDGES = " \t\n.。、,，;\"'“”‘’«»「」『』<>"
_LOOSE = " ()-・,،"
_MOJIBAKE = re.compile("[ÃÂÅÄ][\x80-\u00bf\u0152-\u0192\u02c6\u02dc\u2013-\u2122]")
_APOSTROPHE = re.compile(r"['`’]")
# A letter behind the last dot belongs to the initials if no blank is between them, or if nothing follows: s.r.o. v likvidaci is two things.
_INITIALS = re.compile(
    r"\b(?:[a-z0-9]\.\s?){2,}(?:(?<=\.)[a-z](?![a-z0-9])|[a-z](?=\s*(?:$|[,;()])))?|\b[a-z]\.[a-z]\b"
)
# Messrs, as Indian registers write it before a firm's name.
_MESSRS = re.compile(r"^\s*m/s\b[.,]?\s*(?=[^\W_])")
_SLASHED = re.compile(r"\b([a-z])/([a-z])\b(?!/)")
_BETWEEN = re.compile(r"[^a-z0-9]+")

T = TypeVar("T")


def fold(text: str) -> str:
    """Lower-case ASCII words: scripts transliterated, `&` -> and, dotted initials joined, punctuation gone.

    Never raises and never invents: text without a letter or digit in any script folds to the empty string.
    """
    text = tidy(text)
    if not text.isascii():
        text = anyascii(_without_pictures(_spaced_forms(text)))
    text = _APOSTROPHE.sub("", text.lower()).replace("&", " and ").replace("+", " plus ")
    if text.startswith("m/s"):
        text = _MESSRS.sub("", text)
    text = _SLASHED.sub(r"\1\2", text)
    text = _INITIALS.sub(_joined, text)
    return _BETWEEN.sub(" ", text).strip()


def tidy(text: str) -> str:
    """A text as it was meant: read in the right encoding, one form for each character (NFKC), single blanks."""
    if not text.isascii():
        text = unicodedata.normalize("NFKC", _decoded_again(text) if _MOJIBAKE.search(text) else text)
    return " ".join(text.split())


def _joined(initials: re.Match[str]) -> str:
    """Initials as one word; two runs of them with a blank between stay two: S.A. E.S.P. -> sa esp."""
    runs = initials.group().replace(".", "").split()
    return ("" if min(map(len, runs)) == 1 else " ").join(runs) + " "


def _decoded_again(text: str) -> str:
    """UTF-8 that was read as Windows-1252 (`NestlÃ©`) read as UTF-8; anything else as it is."""
    try:
        # Windows-1252 leaves five bytes without a character: they came through as they were.
        return b"".join(c.encode("latin-1" if "\x80" <= c <= "\x9f" else "cp1252") for c in text).decode("utf-8")
    except UnicodeError:
        return text


def _spaced_forms(text: str) -> str:
    """Glued forms as words of their own, innermost last: 集团股份有限公司 -> group co ltd."""
    text = text.strip(_EDGES)
    tail: list[str] = []
    # Latin letters, accented ones too, end before the Greek block.
    found = _GLUED.search(text) if text and max(text) > "\u036f" else None
    while found is not None and len(found.group()) < len(text):
        word = _GLUED_FORMS[found.group()]
        if found.start() == 0:
            tail += [] if word in _SILENT else [word]
            text = text[found.end() :].lstrip(_LOOSE)
        else:
            tail.append(word)
            text = text[: found.start()].rstrip(_LOOSE)
        found = _GLUED.search(text)
    return " ".join([text, *reversed(tail)])


def _without_pictures(text: str) -> str:
    """Emoji carry no name: anyascii would spell them as `:smile:`."""
    return "".join(" " if unicodedata.category(c) in ("So", "Cs", "Co", "Cn") else c for c in text)


def over_distinct(values: Iterable[object], function: Callable[[str], T], missing: T) -> np.ndarray:
    """`function` over the distinct texts only, spread back to every row; None and NaN give `missing`."""
    codes, distinct = factorize(values)
    results = np.empty(len(distinct) + 1, dtype=object)
    for position, text in enumerate(distinct):
        results[position] = function(str(text))
    results[-1] = missing
    return results[codes]


def fold_all(values: Iterable[object]) -> np.ndarray:
    """`fold` of each value as an object array of text; missing folds to the empty string."""
    return over_distinct(values, fold, "")
