"""Postal codes under one key in all their spellings."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable

import numpy as np

from em_core.text.distinct import over_distinct_rows

# Countries whose codes have a fixed number of digits and nothing else.
_DIGITS = {
    4: "AT AU BD BE BG CH CY DK GE HU LI LU LV MK NO NZ PH SI TN ZA",
    5: "AS DE DZ EE EG ES FI FR GF GP GR GU HR ID IQ IT KE KR KW LT MA MC ME MM MP MQ MX MY NC NP PE PF PK PR PY RE RS SA SE SK "
    "SM SN TH TR UA US UY VA VI XK YT ZM CZ PL",
    6: "BY CN CO IN KG KZ RO RU SG TJ TM UZ VN",
    7: "CL IL JP PT",
    8: "BR",
}
_LENGTH = {country: length for length, names in _DIGITS.items() for country in names.split()}
# Where codes may begin with 0, a spreadsheet loses it.
_LEADING_ZERO = frozenset(
    "AS AU BR CN CO DE DK DZ EE ES FI FR IT JP KR LT MX MY NO NZ PE PH PR RO SG SK SN TR UA US VA VI ZA PL".split()
)
# ZIP+4 and its like: four digits behind that name a block within the code.
_PLUS_FOUR = frozenset("AS GU MP PR SA US VI".split())
_WRITTEN = {
    "CA": re.compile(r"\b[A-Z][0-9][A-Z][ -]?[0-9][A-Z][0-9]\b"),
    "NL": re.compile(r"\b[0-9]{4} ?[A-Z]{2}\b"),
    **dict.fromkeys(("GB", "GG", "IM", "JE"), re.compile(r"\b[A-Z]{1,2}[0-9][A-Z0-9]? ?[0-9][A-Z]{2}\b")),
}
_DECIMAL = re.compile(r"[0-9]+\.0+")
_PREFIX = re.compile(r"[A-Z]{1,3}[ -]+(?=[0-9])")
_NOT_CODE = re.compile(r"[^A-Z0-9]+")
_NO_CODE = re.compile(r"0*|[A-Z]+")


def _digits(code: str, country: str) -> str | None:
    """The code as the country's number of digits; None if it is something else."""
    length = _LENGTH[country]
    digits = re.sub(r"[^0-9]", "", code)
    if country in _PLUS_FOUR and len(digits) in (length + 3, length + 4):
        digits = digits.zfill(length + 4)[:length]
    if len(digits) == length - 1 and country in _LEADING_ZERO and _NOT_CODE.sub("", code).isdigit():
        digits = "0" + digits
    return digits if len(digits) == length else None


def postal_key(text: str, country: str) -> str:
    """Compact upper-case postal code; `country` is alpha-2 or empty.

    ZIP+4 becomes the ZIP, a lost leading zero comes back where codes have a fixed number of digits, a country's prefix
    (`D-80331`) goes, `EC2V 7HN` and `1017 CE` lose their blank, Taiwan's codes keep the three digits of the district. Empty for
    text that is no code: without a digit (Bermuda's apart) or of zeros only.
    """
    code = unicodedata.normalize("NFKC", text).upper().strip()
    if _DECIMAL.fullmatch(code):
        code = code.partition(".")[0]
    key = None
    if country in _LENGTH:
        key = _digits(code, country)
    elif country in _WRITTEN:
        found = _WRITTEN[country].search(code)
        key = found.group() if found else None
    elif country == "TW" and _NOT_CODE.sub("", code).isdigit():
        key = _NOT_CODE.sub("", code)[:3]
    elif not country:
        key = _PREFIX.sub("", code, count=1) if _PREFIX.match(code) else code
    key = _NOT_CODE.sub("", code if key is None else key)
    return "" if _NO_CODE.fullmatch(key) and not (country == "BM" and key) else key


def postal_keys(values: Iterable[object], countries: Iterable[object]) -> np.ndarray:
    """`postal_key` of each of n values beside its country (alpha-2, empty or missing); missing gives empty text."""
    return over_distinct_rows((values, countries), postal_key)
