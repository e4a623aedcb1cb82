"""Markets: exchanges as ISO 10383 market identifier codes, tickers as symbol and venue.

`data/exchanges.csv` holds what vendors write for an exchange. A code under which vendors mean exchanges of different
namespaces stands there more than once (TSE is Toronto at Google and Tokyo at Capital IQ): it names no market by itself, but
beside a company's country it may.
"""

from __future__ import annotations

import re
import unicodedata
from functools import cache, lru_cache
from typing import NamedTuple

import numpy as np
import pandas as pd

from em_core.text.distinct import over_distinct_rows
from em_core.text.fold import fold
from em_core.text.knowledge import read_rows

_SUFFIX = re.compile(r"\.[a-z]{1,4}", re.IGNORECASE)
_YELLOW_KEY = re.compile(r"\s+(?:equity|pfd|corp|index)\s*$", re.IGNORECASE)
_LEGAL_WORDS = frozenset("the plc inc ltd limited ag llc sa spa co corp".split())
_NO_TICKER = frozenset({"n/a", "#n/a", "n.a.", "#na"})
_DECIMAL = re.compile(r"(\d+)\.0+")
_RIC_CLASS = re.compile(r"([A-Z]{2,6})([a-z])")
_BETWEEN = re.compile(r"[^A-Z0-9&]+")
_KOREAN = re.compile(r"A\d{6}")
# Share classes, never exchanges, behind a dot.
_CLASSES = frozenset("ABC")
# Vendors that write the exchange before the symbol (`NYSE:IBM`).
_PREFIXING = frozenset({"capitaliq", "google", "names", "other", "mic"})
# Countries whose numeric symbols have a fixed number of digits; elsewhere leading zeros are only display.
_DIGITS = {"CN": 6, "JP": 4, "KR": 6, "MY": 4, "TW": 4}


class Market(NamedTuple):
    """An exchange: MIC and operating MIC of ISO 10383, alpha-2 of the place of trading (empty off exchange)."""

    mic: str
    operating_mic: str
    country: str


class _Reading(NamedTuple):
    market: Market
    namespace: str
    sources: frozenset[str]


_Readings = tuple[_Reading, ...]


def _key(text: str) -> str:
    text = text.strip()
    return text.lower() if _SUFFIX.fullmatch(text) else fold(text)


@cache
def _table() -> dict[str, _Readings]:
    """Key of a code, suffix or name -> what it may mean, vendors' readings first."""
    table: dict[str, _Readings] = {}
    for code, mic, operating_mic, country, namespace, source in read_rows("exchanges.csv"):
        key = _key(code)
        reading = _Reading(Market(mic, operating_mic, country), namespace, frozenset(source.split()))
        table[key] = (*table.get(key, ()), reading)
    return table


@lru_cache(maxsize=4096)
def _readings(text: str) -> _Readings:
    """What an exchange's text may mean as a code or a name; as a suffix without its dot only if it is neither."""
    key = _key(text)
    table = _table()
    short = " ".join(word for word in key.split() if word not in _LEGAL_WORDS)
    return table.get(key) or table.get(short) or table.get(f".{key}", ())


def _agreed(readings: _Readings) -> _Reading | None:
    """The reading, if all mean one namespace; the operating exchange before its segments."""
    if len({reading.namespace for reading in readings}) != 1:
        return None
    named = [reading for reading in readings if "iso_name" not in reading.sources] or list(readings)
    return min(named, key=lambda reading: reading.market.mic != reading.market.operating_mic)


def _read(text: str, country: str) -> tuple[str, str]:
    """(venue, its country) of an exchange's text; `country` decides where vendors disagree."""
    readings = _readings(text)
    # Yahoo's `SS` is Shanghai, Bloomberg's Stockholm: a suffix may have lost its dot.
    wider = (*readings, *_table().get(f".{_key(text)}", ()))
    here = tuple(reading for reading in wider if country and reading.market.country == country)
    agreed = _agreed(here) or _agreed(readings)
    if agreed is not None:
        return agreed.namespace, agreed.market.country
    countries = {reading.market.country for reading in here or readings}
    return "", countries.pop() if len(countries) == 1 else ""


def market(text: str) -> Market | None:
    """The exchange (ISO 10383) that a code, suffix or name of any vendor stands for.

    MIC, Bloomberg's exchange code, RIC or Yahoo suffix with or without its dot, Yahoo's, Capital IQ's or Google's exchange
    name, plain name. None if unknown, or if vendors mean exchanges of different ticker namespaces by it.
    """
    agreed = _agreed(_readings(text))
    return None if agreed is None else agreed.market


def _symbol(text: str) -> str:
    return _BETWEEN.sub(" ", text.upper()).strip()


def _is_bloomberg(text: str) -> bool:
    return len(text) == 2 and any("bloomberg" in reading.sources for reading in _readings(text))


def _is_prefix(text: str) -> bool:
    return any(reading.sources & _PREFIXING for reading in _readings(text))


def parse_ticker(text: str) -> tuple[str, str]:
    """(symbol, exchange's text or empty) of a ticker in any vendor's form.

    `AAPL US Equity`, `NYSE:IBM`, `VOD:LN`, `VOD.L`, `BRKb.N`. The symbol is upper-case ASCII, its share class behind one
    blank (`BRK B`), its zeros as written; a suffix keeps its dot in the exchange's text, for Bloomberg's `SS` and Yahoo's
    `.SS` are different exchanges. Both are empty for text without a symbol.
    """
    text = _YELLOW_KEY.sub("", unicodedata.normalize("NFKC", text).strip(" \t\r\n()[]$'\""))
    if text.lower() in _NO_TICKER:
        return "", ""
    left, colon, right = (part.strip() for part in text.partition(":"))
    if colon:
        if not _is_prefix(left) and _readings(right):
            left, right = right, left
        return parse_ticker(right)[0], left
    words = text.split()
    if len(words) > 1 and (
        _is_bloomberg(words[-1]) or (len(words[-1]) > 2 and len(words) == 2 and _readings(words[-1]))
    ):
        return _symbol(" ".join(words[:-1])), words[-1].upper()
    decimal = _DECIMAL.fullmatch(text)
    if decimal:
        return decimal.group(1), ""
    root, dot, tail = text.rpartition(".")
    if root and dot and tail.upper() not in _CLASSES and f".{tail}".lower() in _table():
        ric = _RIC_CLASS.fullmatch(root)
        return _symbol(" ".join(ric.groups()) if ric else root), f".{tail.upper()}"
    return _symbol(text), ""


def _comparable(symbol: str, exchange_country: str) -> str:
    """One spelling of a numeric symbol: zeros that a spreadsheet lost come back, zeros for display go.

    Without an exchange only six digits, as China and Korea write them, keep their zeros.
    """
    if exchange_country == "KR" and _KOREAN.fullmatch(symbol):
        symbol = symbol[1:]
    if not symbol.isdigit():
        return symbol
    if exchange_country in _DIGITS:
        return symbol.zfill(_DIGITS[exchange_country])
    return symbol if not exchange_country and len(symbol) >= 6 else symbol.lstrip("0") or "0"


def _ticker(ticker: str, exchange: str, country: str) -> tuple[str, str, str]:
    symbol, inside = parse_ticker(ticker)
    venue, exchange_country = _read(exchange, country)
    if not venue and inside:
        venue, inside_country = _read(inside, exchange_country or country)
        exchange_country = inside_country or exchange_country
    return _comparable(symbol, exchange_country), venue, exchange_country or country


def ticker_columns(ticker: np.ndarray, exchange: np.ndarray, country: np.ndarray) -> pd.DataFrame:
    """Comparable parts of n tickers: object columns `symbol`, `venue`, `venue_country`, each empty where unknown.

    `ticker` and `exchange` are raw text or missing, `country` alpha-2 codes or empty. `venue` is the ticker namespace of the
    exchange in `exchange`, else of the one inside the ticker: a country where symbols are unique nation-wide (`US`, `CA`,
    `DE`, `JP`, `CN`, `TW`, `KR`), elsewhere the operating MIC. `venue_country` is the exchange's, else the record's.
    """
    parts = over_distinct_rows((ticker, exchange, country), _ticker)
    rows = list(parts) or np.empty((0, 3), dtype=object)
    return pd.DataFrame(rows, columns=["symbol", "venue", "venue_country"], dtype=object)
