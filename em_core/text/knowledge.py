"""The compiled tables of `data/`, read once."""

from __future__ import annotations

import csv
from functools import cache
from importlib.resources import files
from typing import NamedTuple


class LegalForm(NamedTuple):
    """`form` is one national form (`gmbh`), `kind` its international class (`llc`), empty where there is none."""

    form: str
    kind: str


def _rows(name: str) -> list[list[str]]:
    text = (files("em_core.text") / "data" / name).read_text(encoding="utf-8")
    return list(csv.reader(text.splitlines()))[1:]


@cache
def legal_forms() -> dict[str, LegalForm]:
    """Folded spelling -> legal form."""
    return {spelling: LegalForm(form, kind) for spelling, form, kind in _rows("legal_forms.csv")}


@cache
def longest_form() -> int:
    """Words in the longest spelling of a legal form."""
    return max(spelling.count(" ") + 1 for spelling in legal_forms())


@cache
def countries() -> dict[str, str]:
    """Folded country name or code -> ISO 3166-1 alpha-2."""
    return dict(_rows("countries.csv"))
