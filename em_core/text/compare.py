"""Comparing two names as an expert would: same firm, another member of its group, or another firm.

It answers why, not how likely: probabilities are the scorer's. It is used where an identifier joins two names, for evidence, and by the
graded cases. Words are compared one by one; the case tables of the tests say what is expected of it.
"""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

import numpy as np
import pandas as pd
from rapidfuzz import fuzz
from rapidfuzz.distance import OSA

from em_core.text.designators import firm_codes
from em_core.text.forms import form_agreement
from em_core.text.knowledge import expansions, generic_words
from em_core.text.names import ParsedName, initial_forms, parse_name

RELATIONS = ("same", "form", "group", "acronym", "similar", "different", "unknown")
_SMALL = frozenset(
    "and of the for de du des der die das la le les el del di della von van y e et und en in com www net plus co".split()
)
# Agreement of a word with the beginning of a longer one.
_BEGINNING = 0.7
# Below this similarity (0-100) two names with unshared words on both sides have next to nothing in common.
_FAR = 72.0


class NameComparison(NamedTuple):
    """`relation`: one of `RELATIONS`. `score` in [0, 1]: how far both may be the same legal entity; from 0.5 on they may."""

    relation: str
    score: float


_UNKNOWN = NameComparison("unknown", 0.0)


def compare_name(left: str, right: str) -> NameComparison:
    """Compare two names as they are written. Symmetric."""
    return compare_parsed(parse_name(left), parse_name(right))


def compare_parsed(left: ParsedName, right: ParsedName) -> NameComparison:
    """Compare two parsed names; a former or trade name inside one of the texts may stand for it."""
    best = _compare(left, right)
    for one, other in ((left, right), (right, left)):
        for relation, name in one.also:
            if relation != "care_of":
                by_other = _compare(parse_name(name), other)
                if by_other.score > best.score:
                    best = NameComparison(by_other.relation, round(0.9 * by_other.score, 4))
    return best


def compare_names(left: pd.DataFrame, right: pd.DataFrame) -> pd.DataFrame:
    """Columns `relation`, `score` and `differ` for n rows of two tables of parsed names (see `em_core.text.names.parse_names`).

    `differ`: the names clearly belong to different firms. Equal names are answered at once, equal pairs once.
    """
    fields = list(ParsedName._fields)
    relation, score = np.full(len(left), "same", dtype=object), np.ones(len(left))
    differ = np.zeros(len(left), dtype=bool)
    easy = (left["full"].to_numpy() == right["full"].to_numpy()) & (left["core"].to_numpy() != "")
    seen: dict[tuple[ParsedName, ParsedName], tuple[NameComparison, bool]] = {}
    rows = np.flatnonzero(~easy)
    columns = [frame[fields].iloc[rows].itertuples(index=False, name=None) for frame in (left, right)]
    for row, one, other in zip(rows, *columns, strict=True):
        key = (ParsedName(*one), ParsedName(*other))
        if key not in seen:
            found = compare_parsed(*key)
            seen[key] = (found, _differ(found, *key))
        (relation[row], score[row]), differ[row] = seen[key]
    return pd.DataFrame({"relation": relation, "score": score, "differ": differ}, index=left.index)


def names_differ(left: str, right: str) -> bool:
    """True if two names clearly belong to different firms; a missing name differs from nothing. Symmetric."""
    parsed = parse_name(left), parse_name(right)
    return _differ(compare_parsed(*parsed), *parsed)


def _differ(found: NameComparison, left: ParsedName, right: ParsedName) -> bool:
    if found.relation != "different":
        return False
    if _abbreviates(left.core, right.full) or _abbreviates(right.core, left.full):
        return False
    close = max(fuzz.ratio(left.core, right.core), fuzz.token_sort_ratio(left.core, right.core),
                fuzz.partial_ratio(left.core, right.core) if min(len(left.core), len(right.core)) > 3 else 0.0)  # fmt: skip
    return close < _FAR


def _abbreviates(short: str, long: str) -> bool:
    """Two or more words of `short` begin or abbreviate, in order, words of `long`: CONSTR AUX FERR."""
    words, others = ([w for w in text.split() if w not in _SMALL] for text in (short, long))
    left = iter(others)
    return len(words) > 1 and all(
        any(o.startswith(w) or word_agreement(w, o) >= _BEGINNING for o in left) for w in words
    )


def _compare(left: ParsedName, right: ParsedName) -> NameComparison:
    if not left.core or not right.core:
        return _UNKNOWN
    forms = form_agreement(left.form, right.form)
    matched = 1.0 if left.core.replace(" ", "") == right.core.replace(" ", "") else None
    if matched is None:
        short = _acronym(left, right)
        if short and forms:
            return NameComparison("acronym", 0.6 if short > 2 else 0.5)
        aligned = _align(left.core, right.core)
        if aligned.relation != "same":
            return aligned
        matched = aligned.score
    if left.full == right.full:
        return NameComparison("same", 1.0)
    mine, others = set(firm_codes(left.designators)), set(firm_codes(right.designators))
    if mine != others:
        # A bare name stands for the whole group; two full names do not.
        bare = (not mine and not left.form) or (not others and not right.form)
        if not bare or any(":" in code for code in mine ^ others) or "branch" in mine ^ others:
            return NameComparison("group", 0.3)
        return NameComparison("group", 0.55)
    if forms == 0.0:
        return NameComparison("form", 0.3)
    return NameComparison("same", round(matched * forms, 4))


def _acronym(left: ParsedName, right: ParsedName) -> int:
    """Letters of the name that is the other one's acronym, 0 if neither is."""
    for one, other in ((left, right), (right, left)):
        short = one.core.replace(" ", "")
        words = [w for w in other.core.split() if w.isalpha()]
        if not (2 <= len(short) <= 6 and short.isalpha() and len(words) > 1):
            continue
        if short in initial_forms(other.core, other.designators):
            return len(short)
    return 0


_SOUNDS = (("ae", "a"), ("oe", "o"), ("ue", "u"), ("aa", "a"), ("ph", "f"), ("kh", "h"), ("y", "i"))


@lru_cache(maxsize=65536)
def _flat(word: str) -> str:
    """Vowels written with e or doubled, two ways to transliterate a sound, and a final s make no other word."""
    flat = word
    for written, sound in _SOUNDS:
        flat = flat.replace(written, sound)
    return flat[:-1] if len(flat) > 4 and flat[-1] == "s" and flat[-2] != "s" else flat


@lru_cache(maxsize=262144)
def word_agreement(left: str, right: str) -> float:
    """How far two words may be the same one (0-1): equal, inflected, misspelt, abbreviated. Symmetric."""
    if left == right:
        return 1.0
    if left.isdigit() or right.isdigit():
        return 0.0
    if _flat(left) == _flat(right):
        return 0.97
    table = expansions()
    if (
        right in table.get(left, ())
        or left in table.get(right, ())
        or (table.get(left, frozenset()) & table.get(right, frozenset()))
    ):
        return 0.9
    longer, shorter = (left, right) if len(left) >= len(right) else (right, left)
    if len(longer) >= 6 and len(shorter) >= 5:
        if (
            len(longer) == len(shorter) + 1
            and longer[0] == shorter[0]
            and longer[-1] == shorter[-1]
            and OSA.distance(left, right) == 1
        ):
            return 0.85
        distance = OSA.distance(left, right, score_cutoff=2)
        swapped = distance == 1 and len(left) == len(right) and sorted(left) == sorted(right)
        # A slip of the pen next to never meets the first letter: Rollins, Collins.
        if (
            swapped
            or (distance == 1 and len(longer) >= 7 and longer[0] == shorter[0])
            or (distance == 2 and len(longer) >= 11)
        ):
            return 0.85
    elif len(left) == len(right) == 5 and sorted(left) == sorted(right) and OSA.distance(left, right) == 1:
        return 0.8
    if len(shorter) >= 3 and len(longer) >= len(shorter) + 2 and longer.startswith(shorter):
        return _BEGINNING
    return 0.0


_GENERIC_AND_SMALL = _SMALL | generic_words()


def _distinctive(words: list[str]) -> list[str]:
    return [w for w in words if w not in _SMALL and (len(w) > 1 or w.isdigit())]


@lru_cache(maxsize=65536)
def _align(left: str, right: str) -> NameComparison:
    """Match the words of two different cores: `same` if none that counts is left over, else `similar` or `different`."""
    mine, others = left.split(), right.split()
    common = set(mine) & set(others)
    pairs = [(1.0, w, w) for w in common]
    rest, more = [w for w in mine if w not in common], [w for w in others if w not in common]
    scored = sorted(
        ((word_agreement(a, b), a, b) for a in rest for b in more if word_agreement(a, b) > 0),
        key=lambda item: (-item[0], *sorted(item[1:])),
    )
    for score, a, b in scored:
        # A bare beginning proves nothing on its own.
        if a in rest and b in more and (score > _BEGINNING or any(w not in _GENERIC_AND_SMALL for w in common)):
            rest.remove(a)
            more.remove(b)
            pairs.append((score, a, b))
    if rest and more and "".join(rest) == "".join(more):
        pairs.append((0.97, "".join(rest), "".join(more)))
        rest, more = [], []
    letters = {w for w in rest if len(w) == 1}, {w for w in more if len(w) == 1}
    rest, more = _distinctive(rest), _distinctive(more)
    numbers = {w for w in rest + more if any(c.isdigit() for c in w)}
    shared = [a for _, a, b in pairs if a not in _GENERIC_AND_SMALL and b not in _GENERIC_AND_SMALL]
    if not rest and not more and all(letters):
        return NameComparison("group", 0.25)
    if not rest and not more:
        return (
            NameComparison("same", round(float(min(score for score, _, _ in pairs)), 4))
            if pairs
            else NameComparison("different", 0.0)
        )
    if numbers and not (set(rest + more) - numbers) and shared:
        return NameComparison("group", 0.25)
    if rest and more:
        # Words glued or split otherwise hide what is shared.
        glued = fuzz.ratio(left.replace(" ", ""), right.replace(" ", ""))
        return NameComparison("similar", 0.4) if glued >= 90 else NameComparison("different", 0.2 if shared else 0.05)
    return NameComparison("similar", 0.4) if shared else NameComparison("different", 0.1)
