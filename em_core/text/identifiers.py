"""Identifiers: checked by their own check digits, never trusted because they are there."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np
import pandas as pd
from stdnum import cusip, figi, isin, lei
from stdnum.exceptions import ValidationError

from em_core.schema import IDENTIFIERS
from em_core.text.fold import over_distinct

_VALIDATE: dict[str, Callable[[str], str]] = {
    "lei": lei.validate,  # ISO 17442, check digits ISO 7064 mod 97-10
    "isin": isin.validate,  # ISO 6166, Luhn
    "cusip": cusip.validate,  # ANSI X9.6
    "figi": figi.validate,  # OMG FIGI
}


def check_identifier(kind: str, value: str) -> str | None:
    """The compact form of a valid identifier, None for an invalid one or a placeholder such as 000000000.

    `kind` is one of `em_core.schema.IDENTIFIERS`.
    """
    try:
        compact = str(_VALIDATE[kind](value))
    except ValidationError:
        return None
    # Check digits pass for 000000000 and the like: filler, not an identifier.
    return None if len(set(compact)) <= 2 else compact


def check_identifiers(frame: pd.DataFrame) -> pd.DataFrame:
    """For each identifier column of the contract: `<id>` valid and compact or None, `<id>_bad` present but invalid."""
    out: dict[str, np.ndarray] = {}
    for kind in IDENTIFIERS:
        values = frame[kind]
        valid = over_distinct(values, partial(check_identifier, kind), None)
        out[kind] = valid
        out[f"{kind}_bad"] = values.notna().to_numpy() & pd.isna(valid)
    return pd.DataFrame(out, index=frame.index)
