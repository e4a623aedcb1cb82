"""A record's profile: everything comparable about it, derived once. Both sides of every comparison pass through here."""

from __future__ import annotations

import re

import numpy as np
import pandas as pd

from em_core.schema import IDENTIFIERS
from em_core.text.fold import fold_all, over_distinct
from em_core.text.identifiers import check_identifiers
from em_core.text.names import parse_names
from em_core.text.places import country_codes, hosts

_NUMBER = re.compile(r"\d+")


def _numbers(core: str) -> str:
    return " ".join(sorted(_NUMBER.findall(core)))


def _compact(core: str) -> str:
    return core.replace(" ", "")


def profile(frame: pd.DataFrame) -> pd.DataFrame:
    """Derived columns of a prepared reference or source table (see `em_core.schema`), same index and order.

    `full`, `core`, `form`, `kind` (see `em_core.text.names`), `compact` (core without blanks), `numbers` (digits in the core),
    `country` (alpha-2), `region`, `city`, `postal_code`, `industry` (folded), `host`, `ticker`, `exchange`, and for every identifier
    `<id>` (valid, compact) and `<id>_bad`. Text columns are empty where there is nothing to compare.
    """
    names = parse_names(frame["name"])
    columns: dict[str, np.ndarray] = {str(column): names[column].to_numpy(dtype=object) for column in names}
    columns["compact"] = over_distinct(columns["core"], _compact, "")
    columns["numbers"] = over_distinct(columns["core"], _numbers, "")
    columns["country"] = pd.Series(country_codes(frame["country"]), dtype=object).fillna("").to_numpy(dtype=object)
    for column in ("region", "city", "postal_code", "industry", "ticker", "exchange"):
        columns[column] = fold_all(frame[column])
    columns["postal_code"] = over_distinct(columns["postal_code"], _compact, "")
    columns["host"] = pd.Series(hosts(frame["website"]), dtype=object).fillna("").to_numpy(dtype=object)
    identifiers = check_identifiers(frame)
    for kind in IDENTIFIERS:
        columns[kind] = pd.Series(identifiers[kind].to_numpy(), dtype=object).fillna("").to_numpy(dtype=object)
        columns[f"{kind}_bad"] = identifiers[f"{kind}_bad"].to_numpy()
    return pd.DataFrame(columns, index=frame.index)
