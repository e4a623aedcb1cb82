"""A record's profile: everything comparable about it, derived once. Both sides of every comparison pass through here."""

from __future__ import annotations

import re

import numpy as np
import pandas as pd

from em_core.text.cities import city_keys
from em_core.text.domains import registrable_domains
from em_core.text.fold import fold_all, over_distinct
from em_core.text.identifiers import check_identifiers
from em_core.text.markets import ticker_columns
from em_core.text.name_table import name_table
from em_core.text.places import country_codes, subdivision_codes
from em_core.text.postal import postal_keys

_NUMBER = re.compile(r"\d+")


def _numbers(core: str) -> str:
    return " ".join(sorted(_NUMBER.findall(core)))


def _text(values: np.ndarray) -> np.ndarray:
    """Missing as empty text."""
    return pd.Series(values, dtype=object).fillna("").to_numpy(dtype=object)


def profile(frame: pd.DataFrame) -> pd.DataFrame:
    """Derived columns of a prepared reference or source table (see `em_core.schema`), same index and order.

    The parsed name and its keys (see `em_core.text.name_table`), `numbers` (digits in the core), `country` (alpha-2), `subdivision` (ISO
    3166-2, else the folded region), `city`, `postal_code`, `industry` (folded), `domain` (registrable), `symbol`, `venue`, `venue_country`
    (see `em_core.text.markets`), and for every identifier `<id>`, `<id>_state`,
    `<id>_bad` (see `em_core.text.identifiers`). Text columns are
    empty where there is nothing to compare.
    """
    names = name_table(frame["name"].to_numpy(dtype=object))
    columns: dict[str, np.ndarray] = {str(column): names[column].to_numpy(dtype=object) for column in names}
    columns["numbers"] = over_distinct(columns["core"], _numbers, "")
    country = columns["country"] = _text(country_codes(frame["country"]))
    region = fold_all(frame["region"])
    code = _text(subdivision_codes(frame["region"], country))
    columns["subdivision"] = np.where(code != "", code, region).astype(object)
    columns["city"] = city_keys(frame["city"])
    columns["postal_code"] = postal_keys(frame["postal_code"], country)
    columns["industry"] = fold_all(frame["industry"])
    columns["domain"] = registrable_domains(frame["website"])
    tickers = ticker_columns(frame["ticker"].to_numpy(dtype=object), frame["exchange"].to_numpy(dtype=object), country)
    columns |= {str(column): tickers[column].to_numpy(dtype=object) for column in tickers}
    identifiers = check_identifiers(frame, country)
    columns |= {str(column): identifiers[column].to_numpy(dtype=object) for column in identifiers}
    return pd.DataFrame(columns, index=frame.index)
