"""Cities under one key in all their spellings."""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import cache

import numpy as np

from em_core.text.fold import fold, over_distinct
from em_core.text.knowledge import read_rows
from em_core.text.places import PLACEHOLDERS

_WORDS = {
    "st": "saint",
    "sankt": "saint",
    "sint": "saint",
    "ste": "sainte",
    "sta": "santa",
    "sto": "santo",
    "ft": "fort",
    "mt": "mount",
    "hts": "heights",
    "spgs": "springs",
    "bch": "beach",
    "twp": "township",
}
_BEFORE = re.compile(
    r"(?:(?:city|town|village|municipality|ville|ciudad|stadt|comune|cidade) (?:of|de|di) |greater |landeshauptstadt |stadt )"
)
_AFTER = re.compile(r" (?:city|shi|si|ku|gu|qu|shih|municipality|district|arrondissement|cedex.*)$")


@cache
def _spellings() -> dict[str, str]:
    """Folded spelling -> key of the city."""
    rows = read_rows("cities.csv")
    others = {fold(spelling): city for city, spellings in rows for spelling in spellings.split("|") if spelling}
    return others | {city: city for city, _ in rows}


def _plain(key: str) -> str:
    """One round of taking away what is not the city: what it is called, districts' numbers."""
    words = key.split()
    lettered = [word for word in words if not any(character.isdigit() for character in word)]
    key = " ".join(_WORDS.get(word, word) for word in lettered or words)
    return _AFTER.sub("", _BEFORE.sub("", key, count=1) if _BEFORE.match(key) else key)


def city_key(text: str) -> str:
    """Comparable key of a city: folded, `St.` as `saint`, one name for its exonyms, no `City of`, no district, no region behind.

    Empty for text without a letter or digit.
    """
    if text.strip().lower() in PLACEHOLDERS:
        return ""
    known = _spellings()
    # `Halle (Saale)` and `Paris, France` are looked up whole before they are cut.
    key = fold(text)
    if key not in known:
        key = fold(re.split(r"[,(\[/]", text.strip(" ,([/"), maxsplit=1)[0]) or key
    while key not in known:
        plain = _plain(key)
        if plain == key:
            return key
        key = plain
    return known[key]


def city_keys(values: Iterable[object]) -> np.ndarray:
    """`city_key` of each value; missing gives empty text."""
    return over_distinct(values, city_key, "")
