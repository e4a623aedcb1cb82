"""Parsed names as a table, with the keys by which equal names find each other."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import pandas as pd

from em_core.text.designators import firm_codes
from em_core.text.distinct import over_distinct_rows
from em_core.text.fold import fold, over_distinct
from em_core.text.names import parse_names


def compact(text: str) -> str:
    """A folded text without blanks."""
    return text.replace(" ", "")


def _firm(designators: str) -> str:
    return " ".join(firm_codes(designators))


def _other_names(also: tuple[tuple[str, str], ...]) -> str:
    return " ".join(fold(name) for relation, name in also if relation != "care_of")


def _search_text(core: str, designators: str, form: str, others: str) -> str:
    # A code is searched by what it says: country:GB as gb, number:2 as 2.
    words = (code.partition(":")[2].lower() or code for code in designators.split())
    return " ".join(part for part in (core, *words, form, others) if part)


def name_table(texts: np.ndarray) -> pd.DataFrame:
    """Columns of `em_core.text.names.ParsedName` plus `written`, `compact`, `search`, `name_key`, `core_key`, one row for each text.

    `search` is what retrieval compares: core, designators, legal form in one spelling, other names; without security descriptions.

    `core_key` is the core without blanks and the designators that tell members of a group apart; `name_key` has the legal form too: equal
    keys are equal names. Both are empty for a text without a name.
    """
    parsed = parse_names(texts)
    parsed["written"] = pd.Series(texts, dtype=object).fillna("").to_numpy(dtype=object)
    parsed["compact"] = over_distinct(parsed["core"], compact, "")
    firm = over_distinct(parsed["designators"], _firm, "")
    others = np.array([_other_names(also) if also else "" for also in parsed["also"]], dtype=object)
    parsed["search"] = (
        over_distinct_rows(
            (parsed["core"], parsed["designators"], parsed["form"], others),
            _search_text,
        )
        if len(parsed)
        else np.zeros(0, dtype=object)
    )
    core, form = parsed["compact"].to_numpy(dtype=object), parsed["form"].to_numpy(dtype=object)
    named = core != ""
    parsed["core_key"] = np.where(named, core + "|" + firm, "").astype(object)
    parsed["name_key"] = np.where(named, core + "|" + firm + "|" + form, "").astype(object)
    return parsed


def search_texts(texts: Iterable[object]) -> np.ndarray:
    """Column `search` of `name_table` for n texts."""
    return name_table(np.array(list(texts), dtype=object))["search"].to_numpy(dtype=object)
