"""Places: countries as ISO 3166-1 alpha-2, their parts as ISO 3166-2. Web sites: see `em_core.text.domains`."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from functools import cache

import numpy as np

from em_core.text.distinct import over_distinct_rows
from em_core.text.domains import host, hosts
from em_core.text.fold import fold, over_distinct
from em_core.text.knowledge import countries, read_rows

__all__ = [
    "PLACEHOLDERS",
    "country_code",
    "country_codes",
    "host",
    "hosts",
    "place_key",
    "same_subdivision",
    "subdivision_code",
    "subdivision_codes",
    "subdivision_parent",
]

# Not Namibia.
PLACEHOLDERS = frozenset({"n/a", "n.a.", "n.a", "#n/a"})
_PART_CODE = re.compile(r"([A-Z]{2})[-_ .]([A-Z0-9]{1,3})", re.IGNORECASE)
_BRACKETED = re.compile(r"\s*[(\[]([^)\]]*)[)\]]?\s*$")
# What subdivisions are called around their names: `State of California`, `Guangdong Sheng`, `Gyeonggi-do`.
_KIND_BEFORE = re.compile(
    r"(?:state|free state|freistaat|land|province|provincia|prov|region|regione|county|co|canton|kanton|oblast|"
    r"estado|etat|emirate|prefecture|department|departement|departamento|governorate|district)"
    r"(?: (?:of|de|del|di|do|da|du|d))? "
)
_KIND_AFTER = re.compile(
    r" (?:province|prefecture|state|county|region|oblast|krai|kray|canton|district|governorate|department|territory|"
    r"municipality|metropolitan city|special city|city|sheng|shi|ken|to|fu|do|si|gwangyeoksi|teukbyeolsi)"
)
_KIND_GLUED = re.compile(r"(?:特别行政区|自治区|省|市|府|県|縣|都|특별자치도|특별자치시|특별시|광역시|도|시)$")


def place_key(text: str) -> str:
    """What the tables of places are keyed by: the folded text, but short names of other scripts as they are written.

    Folded, they would read like codes: Egypt in Arabic like MSR, Montserrat.
    """
    key = fold(text)
    return text.strip().casefold() if len(key) <= 3 and not text.isascii() else key


def _country_spellings(text: str) -> Iterator[str]:
    """The text, then the ways to read it: `Korea, South` turned round, the last of `Wilmington, Delaware, USA`."""
    yield text
    if text.strip().isdigit():
        yield text.strip().zfill(3)
    turned = _BRACKETED.sub(r", \1", text)
    first, comma, rest = turned.partition(",")
    if comma:
        yield f"{rest} {first}"
        yield first if turned != text else turned.rpartition(",")[2]
    words = fold(text)
    if words.startswith("the "):
        yield words.removeprefix("the ")


def country_code(text: str) -> str | None:
    """ISO 3166-1 alpha-2 code of a country; None if unknown.

    Taken are its name in many languages, its alpha-2, alpha-3 or numeric code, and the name or ISO 3166-2 code of a part.
    """
    if text.strip().lower() in PLACEHOLDERS:
        return None
    table = countries()
    for spelling in _country_spellings(text):
        code = table.get(place_key(spelling))
        if code is not None:
            return code
    part = _PART_CODE.fullmatch(text.strip())
    return table.get(part.group(1).lower()) if part else None


def country_codes(values: Iterable[object]) -> np.ndarray:
    """`country_code` of each value; missing and unknown give None."""
    return over_distinct(values, country_code, None)


@cache
def _subdivisions() -> tuple[dict[tuple[str, str], str], dict[str, str], dict[str, str]]:
    """((country, key) -> code, key that stands alone in the world -> code, code -> code of the one above or empty)."""
    within: dict[tuple[str, str], str] = {}
    anywhere: dict[str, str] = {}
    parents: dict[str, str] = {}
    for key, code, parent, alone in read_rows("subdivisions.csv"):
        within[code[:2], key] = code
        parents[code] = parent
        if alone:
            anywhere[key] = code
    return within, anywhere, parents


def _subdivision_keys(text: str) -> Iterator[str]:
    """Key of the text, then without what its kind is called."""
    key = place_key(text)
    yield key
    yield place_key(_KIND_GLUED.sub("", text.strip()))
    before = _KIND_BEFORE.match(key)
    if before:
        yield key[before.end() :]
    after = _KIND_AFTER.search(key)
    if after and after.end() == len(key):
        yield key[: after.start()]


def subdivision_code(text: str, country: str) -> str:
    """ISO 3166-2 code (`US-CA`) of a part of a country; empty if unknown.

    `text` is its name in many languages, an abbreviation, its code with or without the country's; `country` alpha-2 or empty,
    then only a name that no other part or country in the world bears is taken. Codes of several levels exist side by side
    (IT-MI lies in IT-25): see `subdivision_parent`.
    """
    within, anywhere, parents = _subdivisions()
    written = text.strip().upper()
    code = _PART_CODE.fullmatch(written)
    if code and country in ("", code.group(1)):
        whole = f"{code.group(1)}-{code.group(2)}"
        found = whole if whole in parents else within.get((code.group(1), fold(whole)), "")
        if found:
            return found
    # Dots included: `B.C.`, `D.C.`
    bare = f"{country}-{fold(text).replace(' ', '').upper()}"
    if country and len(written) <= 6 and bare in parents:
        return bare
    # `Quebec, Canada`, `Zug (Kanton)`.
    for spelling in dict.fromkeys((text, _BRACKETED.sub("", text), text.partition(",")[0])):
        for key in _subdivision_keys(spelling):
            found = within.get((country, key), "") if country else anywhere.get(key, "")
            if found and key:
                return found
    return ""


def subdivision_codes(values: Iterable[object], countries: Iterable[object]) -> np.ndarray:
    """`subdivision_code` of each of n values beside its country (alpha-2, empty or missing); missing gives empty."""
    return over_distinct_rows((values, countries), subdivision_code)


def subdivision_parent(code: str) -> str:
    """ISO 3166-2 code of the subdivision that the one of `code` lies in; empty at the top and for unknown codes."""
    return _subdivisions()[2].get(code, "")


def same_subdivision(left: np.ndarray, right: np.ndarray) -> np.ndarray:
    """(n,) bool: two columns of codes name the same part of a country, or one lies in the other (Milan in Lombardy)."""
    above_left = over_distinct(left, subdivision_parent, "")
    above_right = over_distinct(right, subdivision_parent, "")
    return (left == right) | ((right != "") & (above_left == right)) | ((left != "") & (above_right == left))
