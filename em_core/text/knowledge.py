"""The compiled tables of `data/`, read once."""

from __future__ import annotations

import csv
import re
import tomllib
from functools import cache
from importlib.resources import files
from typing import Any, NamedTuple

EVERYWHERE = "*"


class LegalForm(NamedTuple):
    """`form` is one national form (`gmbh`), `kind` its international class (`llc`), `countries` where it exists.

    `countries` are blank-joined alpha-2 codes, `*` = in most of the world, empty = unknown.
    """

    form: str
    kind: str
    countries: str


def read_rows(name: str) -> list[list[str]]:
    """Rows of a table of `data/`, without its header."""
    text = (files("em_core.text") / "data" / name).read_text(encoding="utf-8")
    return list(csv.reader(text.splitlines()))[1:]


@cache
def legal_forms() -> dict[str, LegalForm]:
    """Folded spelling -> legal form."""
    return {
        spelling: LegalForm(form, kind, countries) for spelling, form, kind, countries in read_rows("legal_forms.csv")
    }


@cache
def forms_by_last_word() -> dict[str, tuple[int, ...]]:
    """Last word of a spelling -> numbers of words of the spellings that end so, the longest first."""
    return _lengths(-1)


@cache
def forms_by_first_word() -> dict[str, tuple[int, ...]]:
    """First word of a spelling -> numbers of words of the spellings that begin so, the longest first."""
    return _lengths(0)


def _lengths(position: int) -> dict[str, tuple[int, ...]]:
    found: dict[str, set[int]] = {}
    for spelling in legal_forms():
        words = spelling.split()
        found.setdefault(words[position], set()).add(len(words))
    return {word: tuple(sorted(lengths, reverse=True)) for word, lengths in found.items()}


@cache
def form_details() -> dict[str, LegalForm]:
    """Form code -> the legal form."""
    return {entry.form: entry for entry in legal_forms().values()}


@cache
def countries() -> dict[str, str]:
    """Folded country name or code -> ISO 3166-1 alpha-2."""
    return {row[0]: row[1] for row in read_rows("countries.csv")}


@cache
def abbreviation_table() -> dict[str, Any]:
    """`abbreviations.toml`: upper-case words with their short forms, and words that say little."""
    return tomllib.loads((files("em_core.text") / "data" / "abbreviations.toml").read_text(encoding="utf-8"))


@cache
def expansions() -> dict[str, frozenset[str]]:
    """Folded short form -> the words that it may stand for in company names (`intl` -> `international`)."""
    out: dict[str, set[str]] = {}
    for word, shorts in abbreviation_table()["words"].items():
        for short in shorts:
            key = re.sub("[^a-z0-9]+", "", short.lower())
            if len(key) > 1:
                out.setdefault(key, set()).add(word.lower())
    return {short: frozenset(words) for short, words in out.items()}


@cache
def generic_words() -> frozenset[str]:
    """Folded words that many unrelated firms share: they can neither join two names nor tell them apart."""
    return frozenset(word.lower() for word in abbreviation_table()["generic"]["words"])
