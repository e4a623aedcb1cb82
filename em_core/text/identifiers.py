"""Identifiers: checked, brought to one normal form, derived from each other; never trusted because they are there.

An invalid value is evidence of bad data, filler (`000000000`, `549300XXXXXXXXXXXXXX`, `N/A`) is nothing at all, and
neither is ever a key.
"""

from __future__ import annotations

import re
import string
import unicodedata
from collections.abc import Callable
from enum import StrEnum
from functools import cache, partial
from itertools import chain
from typing import NamedTuple

import numpy as np
import pandas as pd
from stdnum import cusip, figi, isin
from stdnum.exceptions import ValidationError
from stdnum.gb import sedol

from em_core.text.distinct import factorize
from em_core.text.fold import over_distinct
from em_core.text.registration import National, check_registration, check_vat, registration_of_vat

# One value names one legal entity: another value is another entity.
ENTITY_KINDS = ("lei", "cik", "vat", "registration_number")
# One value names one security: an entity has many, and another value contradicts nothing.
SECURITY_KINDS = ("isin", "cusip", "sedol", "figi")
KINDS = ("lei", "isin", "cusip", "sedol", "figi", "cik", "vat", "registration_number")
# Their standard gives them check digits.
CHECKED_KINDS = ("lei", "isin", "cusip", "sedol", "figi")
NATIONAL_KINDS = ("vat", "registration_number")

# ISIN prefixes whose numbers CUSIP Global Services gives out: the ISIN holds the CUSIP (CINS abroad).
_CUSIP_COUNTRIES = frozenset(
    "AG AI AN AS AW BB BM BS BZ CA CW DM FM GD GU GY HT JM KN KY LC MH MP MS PA PH PR PW SR SX TC TT UM US VC VG VI XA".split()
)
# The London Stock Exchange numbers these: the ISIN holds the SEDOL behind two zeros.
_SEDOL_COUNTRIES = frozenset("GB GG IE IM JE".split())

_SEPARATORS = re.compile(r"[|;\n\r]|,(?!\d+[Ee]\+\d)")
_THOUSANDS = re.compile(r"\s*\d{1,3}(?:,\d{3})+\s*")
_SCIENTIFIC = re.compile(r"\d+(?:[.,]\d+)?E\+\d+|\d+[.,]\d+E\d+")
_FLOAT = re.compile(r"(\d+)\.0+")
_DASHES = re.compile(r"[\u2010-\u2015\u2212\ufe58\ufe63]")
_INVISIBLE = re.compile(r"[\u00ad\u200b-\u200f\u2060\ufeff]")
_NOT_ALPHANUMERIC = re.compile(r"[^A-Z0-9]")
_DIGITS = re.compile(r"[0-9]+")
_LEI = re.compile(r"[A-Z0-9]{18}[0-9]{2}")
_TO_DIGITS = {ord(letter): str(10 + place) for place, letter in enumerate(string.ascii_uppercase)}
_ISIN = re.compile(r"[A-Z]{2}[A-Z0-9]{9}[0-9]")
_DOUBLED = str.maketrans("0123456789", "0246813579")  # Luhn: the digit sum of twice the digit
_CUSIP_8 = re.compile(r"(?=(?:\D*\d){4})[A-Z0-9]{6}[A-Z0-9*@#]{2}", re.ASCII)  # words have fewer than 4 digits

# What feeds write in front of the value: patterns, separated by blanks.
_LABEL_WORDS = {
    "lei": "LEI",
    "isin": "ISIN",
    "cusip": "CUSIP CINS",
    "sedol": "SEDOL",
    "figi": r"FIGI BBG\s?ID",
    "cik": "CIK",
    "vat": r"VAT(?:[\s.-]*REG(?:ISTRATION)?)? VATIN TAX TIN UST-?ID(?:-?NR)? MWST UID TVA BTW P\.?\s?IVA PARTITA\s+IVA NIF CIF "
    r"NIP MOMS GST(?:IN)? ABN",
    "registration_number": r"(?:(?:COMPANY|BUSINESS)[\s.-]*)?REG(?:ISTRATION|ISTER|ISTERED)?\.? COMPANY ORG(?:ANI[SZ]ATIONS?)?\.? "
    r"CRN CRO KVK SIREN SIRET ACN ABN NZBN CVR UEN CIN CNPJ F?EIN OGRN INN KRS REGON NIP I[CČ]O OIB CUI BRN USCC TAX TIN UID",
}
_LABELS = {
    kind: re.compile(
        rf"(?:{words.replace(' ', '|')})(?:[\s._-]*(?:CODE|NUMBER|NUM|NO|NR|ID)\b)?"
        # Only a CIK may follow its label at once: elsewhere the letters may begin the identifier itself.
        rf"(?![A-Z{'' if kind == 'cik' else '0-9'}])[\s:#=._-]*"
    )
    for kind, words in _LABEL_WORDS.items()
}

_NOTHING = frozenset(
    """NA NAN NAT NONE NULL NIL UNKNOWN UNK TBD TBA TBC MISSING EMPTY BLANK VOID INVALID REF VALUE NAME NUM DIV0 ERROR EXEMPT
    NOTAVAILABLE NOTAPPLICABLE NOTASSIGNED NOTKNOWN NOTPROVIDED NOTFOUND NOVALUE NODATA
    NOLEI NOISIN NOCUSIP NOSEDOL NOFIGI NOCIK NOVAT APPLIEDFOR TOBECONFIRMED TOBEDETERMINED""".split()
)
_NOTHING_BEGINS = ("TEST", "DUMMY", "SAMPLE", "EXAMPLE", "PENDING", "UNKNOWN", "PLACEHOLDER")
# How long the real beginning may be in front of filler: issuer of LEIs, country of an ISIN, `BBG`.
_PREFIXES = {"lei": (4, 6), "isin": (2,), "cusip": (0,), "sedol": (0, 1), "figi": (3,)}
_CHECK_DIGITS = {"lei": 2, "isin": 1, "cusip": 1, "sedol": 1, "figi": 1}
_MASKED = re.compile(r"\w*X{4,}\d{0,2}")
_RUNS = " ".join(run + " " + run[::-1] for run in (string.digits * 3, string.ascii_uppercase))
_PARTS = re.compile(r"[0-9]+|[^0-9]+")
_NATIONAL_CORE = re.compile(r"[A-Z]{0,3}(\d{5,})(?:[A-Z]\w{0,3})?")


class State(StrEnum):
    """What is known about a value. Only VALID and UNCHECKED (the format fits, no check digit exists) can be keys."""

    MISSING = ""
    VALID = "valid"
    UNCHECKED = "unchecked"
    INVALID = "invalid"
    PLACEHOLDER = "placeholder"


_BEST = (State.VALID, State.UNCHECKED, State.INVALID, State.PLACEHOLDER)


class Checked(NamedTuple):
    """`value` is the normal form, empty unless the state is VALID or UNCHECKED."""

    value: str
    state: State


class _Cell(NamedTuple):
    value: str
    state: str
    bad: str


def check_identifier(kind: str, value: str, country: str = "") -> Checked:
    """One value of `KINDS`: its normal form and its state. Raises KeyError for another kind.

    Blanks, dashes, letter case, a leading label (`LEI:`) and what spreadsheets add or lose (`.0`, leading zeros of CUSIP,
    SEDOL and CIK) do not matter; a number in scientific notation is invalid, for its digits are lost.

    - lei: ISO 17442, check digits ISO 7064 mod 97-10. isin: ISO 6166. sedol, figi: their check digit.
    - cusip: ANSI X9.6; 8 characters are a CUSIP without check digit, which is computed (UNCHECKED).
    - cik: 10 digits, padded (UNCHECKED: there is no check digit).
    - vat: ISO alpha-2 prefix and number. Needs the prefix or `country` (ISO alpha-2); see `registration.check_vat`.
    - registration_number: `CC:number`. Needs `country`, or a prefix that names it; see `registration.check_registration`.

    A national number without any country is UNCHECKED with an empty value: it cannot be a key.
    """
    text = _trim(value)
    check = _CHECKS[kind]
    if not text:
        return Checked("", State.MISSING)
    if _SCIENTIFIC.fullmatch(text):
        return Checked("", State.INVALID)
    text = _unlabel(kind, text)
    compact = _compact(kind, text)
    if _is_placeholder(kind, compact):
        return Checked("", State.PLACEHOLDER)
    checked = check(text if kind in NATIONAL_KINDS else compact, country)
    if checked.state is not State.VALID and _is_filled(kind, compact):
        return Checked("", State.PLACEHOLDER)
    return checked


def compact_identifier(kind: str, value: str) -> str:
    """`value` in upper case without label and formatting; nothing is checked."""
    return _compact(kind, _unlabel(kind, _trim(value)))


def check_identifiers(frame: pd.DataFrame, country: np.ndarray) -> pd.DataFrame:
    """Every identifier of every row, checked; same index as `frame`, three text columns for each kind of `KINDS`.

    `frame[kind]` is an object column of text or missing; a column that is absent counts as missing. A cell may hold
    several values, separated by `|`, `;`, `,` or a line end. `country` is ISO alpha-2 or empty, one for each row.

    - `<kind>`: the usable values, separated by one blank: given ones first, then those derived from the row's ISIN and
      VAT values (always valid).
    - `<kind>_state`: the best `State` of all these values and of the refused ones; empty if there are none.
    - `<kind>_bad`: the invalid values as they were given, separated by one blank.
    """
    columns: dict[str, np.ndarray] = {}
    for kind in KINDS:
        cells = _check_column(frame[kind], kind, country) if kind in frame else _blank_cells(len(frame))
        columns[kind], columns[f"{kind}_state"], columns[f"{kind}_bad"] = cells
    for source, target, derive in (
        ("isin", "cusip", _cusip_of),
        ("isin", "sedol", _sedol_of),
        ("vat", "registration_number", registration_of_vat),
    ):
        _derive(columns, source, target, derive)
    return pd.DataFrame(columns, index=frame.index, copy=False)


def identifier_keys(checked: pd.DataFrame) -> pd.DataFrame:
    """The usable values of `check_identifiers`' output as a long table: `row` (position, int64), `kind`, `key`.

    Each value of a row once; sorted by row, then by the order of `KINDS`, then by the order in the cell.
    """
    rows: list[np.ndarray] = []
    kinds: list[np.ndarray] = []
    keys: list[str] = []
    for kind in KINDS:
        values = checked[kind].to_numpy(dtype=object)
        there = np.flatnonzero(values != "")
        cells = [value.split(" ") for value in values[there]]
        rows.append(np.repeat(there, np.fromiter(map(len, cells), dtype=np.int64, count=len(cells))))
        kinds.append(np.full(len(rows[-1]), kind, dtype=object))
        keys.extend(chain.from_iterable(cells))
    row = np.concatenate(rows).astype(np.int64)
    order = np.argsort(row, kind="stable")
    key = np.array(keys, dtype=object)
    return pd.DataFrame({"row": row[order], "kind": np.concatenate(kinds)[order], "key": key[order]})


def _trim(value: str) -> str:
    if not value.isascii():
        value = _DASHES.sub("-", unicodedata.normalize("NFKC", _INVISIBLE.sub("", value)))
    # Spreadsheets keep text as text by an apostrophe or as ="...".
    text = value.strip(" \t\r\n\f\v'\"=").upper()
    number = _FLOAT.fullmatch(text)
    return number[1] if number else text


def _unlabel(kind: str, text: str) -> str:
    label = _LABELS[kind].match(text)
    return text[label.end() :] if label else text


def _compact(kind: str, text: str) -> str:
    if kind in NATIONAL_KINDS:
        return _NOT_ALPHANUMERIC.sub("", text)
    return "".join(text.split()).replace("-", "")


def _is_placeholder(kind: str, compact: str) -> bool:
    """Filler that says nothing, even where its check digits happen to hold."""
    plain = compact if compact.isalnum() else _NOT_ALPHANUMERIC.sub("", compact)
    if not plain:
        return not any(map(str.isalnum, compact))
    if plain in _NOTHING or plain.startswith(_NOTHING_BEGINS):
        return True
    if kind == "cik":
        # Small numbers are real: 1800 and 66740 are companies.
        number = plain.lstrip("0")
        return not number or (len(number) >= 8 and (len(set(number)) <= 2 or _is_run(number)))
    if kind in NATIONAL_KINDS:
        found = _NATIONAL_CORE.fullmatch(plain)
        core = found[1] if found else plain
        # Registers that count by letter and number reach SC123456, so that a short run there is no sign.
        if core != plain and len(core) < 8 and core.strip("0"):
            return False
        return _is_repeated(core) or _is_run(core) or (len(core) >= 9 and _is_run(core[:-1]))
    if len(set(plain)) <= 2 or _is_run(plain):
        return True
    body = plain[: -_CHECK_DIGITS[kind]]
    if kind == "sedol":
        return len(set(body)) == 1 or _is_run(body)  # B000009 was really given out
    # Long runs of zeros are real (LEI 13250000000000000301): only a body of nothing else is filler.
    for length in _PREFIXES[kind]:
        rest = body[length:]
        if (length < 6 or plain[4:6] == "00") and (_is_fill(rest) or _is_run(rest)):
            return True
    return False


def _is_filled(kind: str, compact: str) -> bool:
    """A value without right check digits that is a real beginning, filled up with X, 0 or 9."""
    if _MASKED.fullmatch(compact):
        return True
    return any(
        _is_fill(compact[length : len(compact) - tail])
        for length in _PREFIXES.get(kind, ())
        for tail in range(_CHECK_DIGITS[kind] + 1)
    )


def _is_fill(text: str) -> bool:
    return len(text) >= 4 and text[0] in "X09" and text == text[0] * len(text)


def _is_repeated(text: str) -> bool:
    """One character only, or two in a text too long to be so by chance."""
    return len(set(text)) <= (2 if len(text) >= 8 else 1)


def _is_run(text: str) -> bool:
    """Counting up or down: 1234567890, 87654321, ABCDEFGH, and one such part after another."""
    # The first test is for speed: it ends nearly all.
    return len(text) >= 5 and text[:4] in _RUNS and all(part in _RUNS for part in _PARTS.findall(text))


def _passes(validate: Callable[[str], str], compact: str) -> bool:
    try:
        validate(compact)
    except ValidationError:
        return False
    return True


def _check_lei(compact: str, country: str) -> Checked:
    # python-stdnum checks neither the length nor that the check digits are digits.
    if _LEI.fullmatch(compact) and int(compact.translate(_TO_DIGITS)) % 97 == 1:
        return Checked(compact, State.VALID)
    return Checked("", State.INVALID)


def _check_isin(compact: str, country: str) -> Checked:
    # python-stdnum's own check takes four times as long.
    if not _ISIN.fullmatch(compact) or not _numbers_securities(compact[:2]):
        return Checked("", State.INVALID)
    digits = compact.translate(_TO_DIGITS)
    total = sum(map(int, digits[-1::-2])) + sum(map(int, digits[-2::-2].translate(_DOUBLED)))
    return Checked(compact, State.VALID) if total % 10 == 0 else Checked("", State.INVALID)


@cache
def _numbers_securities(prefix: str) -> bool:
    return _passes(isin.validate, isin.from_natid(prefix, "0"))


def _check_cusip(compact: str, country: str) -> Checked:
    if _passes(cusip.validate, compact):
        return Checked(compact, State.VALID)
    if _lost_zeros(compact, 9, 2) and _passes(cusip.validate, compact.zfill(9)):
        return Checked(compact.zfill(9), State.VALID)
    if _CUSIP_8.fullmatch(compact):
        return Checked(compact + cusip.calc_check_digit(compact), State.UNCHECKED)
    return Checked("", State.INVALID)


def _check_sedol(compact: str, country: str) -> Checked:
    if _lost_zeros(compact, 7, 1):
        compact = compact.zfill(7)
    return Checked(compact, State.VALID) if _passes(sedol.validate, compact) else Checked("", State.INVALID)


def _check_figi(compact: str, country: str) -> Checked:
    return Checked(compact, State.VALID) if _passes(figi.validate, compact) else Checked("", State.INVALID)


def _lost_zeros(compact: str, length: int, zeros: int) -> bool:
    """A spreadsheet took it for a number: digits only, one to `zeros` too short, none of them in front."""
    return length - zeros <= len(compact) < length and bool(_DIGITS.fullmatch(compact)) and compact[0] != "0"


def _check_cik(compact: str, country: str) -> Checked:
    if len(compact) <= 10 and _DIGITS.fullmatch(compact):
        return Checked(compact.zfill(10), State.UNCHECKED)
    return Checked("", State.INVALID)


def _check_national(check: Callable[[str, str], National | None], text: str, country: str) -> Checked:
    found = check(text, country)
    if found is None:
        return Checked("", State.INVALID)
    return Checked(found.value, State.VALID if found.valid else State.UNCHECKED)


_CHECKS: dict[str, Callable[[str, str], Checked]] = {
    "lei": _check_lei,
    "isin": _check_isin,
    "cusip": _check_cusip,
    "sedol": _check_sedol,
    "figi": _check_figi,
    "cik": _check_cik,
    "vat": partial(_check_national, check_vat),
    "registration_number": partial(_check_national, check_registration),
}


def _split(cell: str) -> list[str]:
    if _THOUSANDS.fullmatch(cell):
        return [cell.replace(",", "")]
    return [part for part in map(str.strip, _SEPARATORS.split(cell)) if part]


def _check_cell(kind: str, cell: str, country: str) -> _Cell:
    parts = _split(cell)
    # `HRB 1, Amtsgericht Ulm` is one number.
    if len(parts) > 1 and kind == "registration_number" and check_identifier(kind, cell, country).state is State.VALID:
        parts = [cell]
    found = [check_identifier(kind, part, country) for part in parts]
    if len(found) == 1:
        return _Cell(found[0].value, found[0].state.value, parts[0] if found[0].state is State.INVALID else "")
    states = {checked.state for checked in found}
    return _Cell(
        " ".join(dict.fromkeys(checked.value for checked in found if checked.value)),
        next((state.value for state in _BEST if state in states), ""),
        " ".join(part for part, checked in zip(parts, found, strict=True) if checked.state is State.INVALID),
    )


def _blank_cells(rows: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    blank = np.full(rows, "", dtype=object)
    return blank, blank.copy(), blank.copy()


def _check_column(values: pd.Series, kind: str, country: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Value, state and bad text of each row; each distinct pair of cell and country is checked once."""
    out = _blank_cells(len(values))
    there = np.flatnonzero(values.notna().to_numpy(dtype=bool))
    if not len(there):
        return out
    texts, distinct = factorize(values.to_numpy(dtype=object)[there])
    home = np.asarray(country, dtype=object)[there] if kind in NATIONAL_KINDS else np.full(len(there), "", dtype=object)
    homes, countries = pd.factorize(home, use_na_sentinel=False)
    codes, pairs = pd.factorize(texts * len(countries) + homes)
    cells = np.empty((len(pairs), 3), dtype=object)
    for position, (text, place) in enumerate(zip(*divmod(pairs, len(countries)), strict=True)):
        named = countries[place]
        cells[position] = _check_cell(kind, str(distinct[text]), named if isinstance(named, str) else "")
    for column, target in enumerate(out):
        target[there] = cells[codes, column]
    return out


def _derive(columns: dict[str, np.ndarray], source: str, target: str, derive: Callable[[str], str]) -> None:
    """Append to `target` what the values of `source` hold, where it is not there already."""
    there = np.flatnonzero(columns[source] != "")
    derived = over_distinct(columns[source][there], lambda cell: " ".join(filter(None, map(derive, cell.split()))), "")
    there, derived = there[derived != ""], derived[derived != ""]
    joined = columns[target][there] + " " + derived
    columns[target][there] = over_distinct(joined, lambda cell: " ".join(dict.fromkeys(cell.split())), "")
    columns[f"{target}_state"][there] = State.VALID.value


def _cusip_of(value: str) -> str:
    return value[2:11] if value[:2] in _CUSIP_COUNTRIES and _passes(cusip.validate, value[2:11]) else ""


def _sedol_of(value: str) -> str:
    within = value[:2] in _SEDOL_COUNTRIES and value[2:4] == "00" and _passes(sedol.validate, value[4:11])
    return value[4:11] if within else ""
