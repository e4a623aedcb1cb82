"""Places: countries as ISO 3166-1 alpha-2, web sites as registrable hosts."""

from __future__ import annotations

import re
from collections.abc import Iterable

import numpy as np

from em_core.text.fold import fold, over_distinct
from em_core.text.knowledge import countries

_HOST = re.compile(r"^(?:[a-z][a-z0-9+.-]*://)?(?:[^@/\s]*@)?(?:www\d?\.)?([a-z0-9-]+(?:\.[a-z0-9-]+)+)", re.IGNORECASE)


def place_key(text: str) -> str:
    """What the country table is keyed by: the folded text, but short names of other scripts as they are written.

    Folded, they would read like codes: Egypt in Arabic like MSR, Montserrat.
    """
    key = fold(text)
    return text.strip().casefold() if len(key) <= 3 and not text.isascii() else key


def country_code(text: str) -> str | None:
    """ISO 3166-1 alpha-2 code of a country's name (many languages), alpha-2 or alpha-3 code; None if unknown."""
    return countries().get(place_key(text))


def country_codes(values: Iterable[object]) -> np.ndarray:
    """`country_code` of each value; missing and unknown give None."""
    return over_distinct(values, country_code, None)


def host(text: str) -> str | None:
    """Host of a web address without scheme, `www.` and path; None if there is none."""
    found = _HOST.match(text.strip())
    return found.group(1).lower() if found else None


def hosts(values: Iterable[object]) -> np.ndarray:
    """`host` of each value; missing gives None."""
    return over_distinct(values, host, None)
