"""How near two texts are in the dates, durations, years, prices and measures that they name, wherever these stand.

Words do not say that `28-Mar-11` is March 28, 2011, that 3:59 is nearer to 4:01 than to 4:59, or that 8 GB and 16 GB are two products.
A text may name several values of a kind: the two that lie nearest are compared.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date

import numpy as np
import pandas as pd
import scipy.sparse as sp

from em_core.ditto.spans import (
    CURRENCY_CODES,
    DATES,
    EDGE,
    END,
    MEASURE,
    MONTHS,
    NUMBER,
    SHORT_DATE,
    UNIT_OF,
    calendar_day,
    readings,
)

MOST = 4  # values of a kind that are kept of a text
_DIGIT = re.compile(r"\d")
_DATE = re.compile("|".join(DATES.values()))
# Most texts name no date, price or duration: to look for its mark first takes a small part of the time of the pattern.
_MAYBE_YEAR = re.compile(r"[12]\d\d\d|-\d\d(?!\d)")
_MAYBE_DATE = re.compile(r"\d-\d|\b(?:" + "|".join(MONTHS) + r")[a-z]{,6}[\s.,-]")
_MAYBE_PRICE = re.compile(rf"\$|{CURRENCY_CODES}")
_SHORT_DATE = re.compile(SHORT_DATE)
_DURATION = re.compile(r"(?<![\w:.,])(?:(\d{1,2}):)?(\d{1,3}):([0-5]\d)(?![\w:]|[.,]\d)")
_YEAR = re.compile(rf"(?:19|20)\d\d(?<![\w.,]\d{{4}}){END}")
_PRICE = re.compile(
    rf"(?:\$|(?<![a-z])(?:{CURRENCY_CODES}))\s?({NUMBER}){END}|{EDGE}({NUMBER})\s?(?:{CURRENCY_CODES})(?!\w)"
)
_MEASURE = re.compile(MEASURE)


def _amount(number: str) -> float:
    return float(number.replace(",", ""))


def _dates(text: str) -> list[float]:
    """Days since the year 1. Both readings of 3/4/2004, as nobody knows which is month: the nearest will be compared."""
    if not _MAYBE_YEAR.search(text):
        return []
    days: list[date | None] = []
    if _MAYBE_DATE.search(text):
        days += map(calendar_day, _DATE.findall(text))
    for span in _SHORT_DATE.findall(text):
        days += readings(span)
    return [float(day.toordinal()) for day in days if day]


def _durations(text: str) -> list[float]:
    """Seconds of `3:59` and `1:03:59`; times of the day are read alike."""
    return [float(3600 * int(hours or 0) + 60 * int(minutes) + int(seconds))
            for hours, minutes, seconds in (_DURATION.findall(text) if ":" in text else [])]  # fmt: skip


def _years(text: str) -> list[float]:
    return [float(year) for year in _YEAR.findall(text)]


def _prices(text: str) -> list[float]:
    """Amounts beside a currency, whichever it is."""
    found = _PRICE.findall(text) if _MAYBE_PRICE.search(text) else []
    return [_amount(before or behind) for before, behind in found]


def _measures(text: str) -> list[tuple[str, float]]:
    """(unit, number), spellings of a unit alike."""
    found = []
    for span in _MEASURE.findall(text):
        number = re.findall(NUMBER, span)[0]
        found.append((UNIT_OF[span[len(number) :].strip(" -")], _amount(number)))
    return found


_FIND: dict[str, Callable[[str], list[float]]] = {
    "days": _dates,
    "seconds": _durations,
    "years": _years,
    "price": _prices,
}


@dataclass(frozen=True)
class Quantities:
    """What n texts name: the first `MOST` values of each kind, (n, MOST), NaN where there are fewer; units and measures as sets."""

    values: dict[str, np.ndarray]
    units: sp.csr_matrix
    measures: sp.csr_matrix

    @classmethod
    def read(cls, texts: Sequence[str]) -> Quantities:
        """Of texts in lower-case ASCII (currency signs but the dollar as codes)."""
        digits = [text if _DIGIT.search(text) else "" for text in texts]
        measures = [_measures(text) for text in digits]
        return cls(
            {kind: _padded([find(text) for text in digits]) for kind, find in _FIND.items()},
            _sets([[unit for unit, _ in found] for found in measures]),
            _sets([[f"{unit} {number}" for unit, number in found] for found in measures]),
        )

    def compare(self, left: np.ndarray, right: np.ndarray) -> dict[str, np.ndarray]:
        """Of pairs of rows, each (n,), the same in either order; NaN where a side names no such value."""
        out = {}
        for kind, values in self.values.items():
            x, y = values[left][:, :, None], values[right][:, None, :]
            with np.errstate(invalid="ignore", divide="ignore"):
                apart = abs(x - y) / np.maximum(x, y) if kind == "price" else abs(x - y)
            # 1 for equal values, towards 0 as for what is missing: a linear model reads it too.
            out[f"{kind}, nearness"] = 1 / (1 + np.fmin.reduce(apart.reshape(len(left), MOST * MOST), axis=1))
        units, measures = (
            np.asarray(bag[left].minimum(bag[right]).sum(axis=1)).ravel() for bag in (self.units, self.measures)
        )
        unknown = units == 0
        out["measures shared"] = np.where(unknown, np.nan, measures)
        out["measures that differ"] = np.where(unknown, np.nan, np.maximum(0, units - measures))
        return out


def _padded(found: Sequence[Sequence[float]]) -> np.ndarray:
    table = np.full((len(found), MOST), np.nan)
    for row, values in enumerate(found):
        first = list(dict.fromkeys(values))[:MOST]
        table[row, : len(first)] = first
    return table


def _sets(found: Sequence[Sequence[str]]) -> sp.csr_matrix:
    """(n, distinct tokens) 1 where a text has the token."""
    codes, tokens = pd.factorize(np.array([token for each in found for token in each], dtype=object))
    ends = np.cumsum([0, *map(len, found)])
    sets = sp.csr_matrix((np.ones(len(codes), dtype=np.float32), codes, ends), shape=(len(found), max(1, len(tokens))))
    sets.sum_duplicates()
    sets.data[:] = 1
    return sets
