"""What writers of company names use: legal forms, abbreviations, tails, country names. Data in `data/`, read once."""

from __future__ import annotations

import re
import tomllib
from functools import cache, lru_cache
from importlib.resources import files
from typing import Any, NamedTuple

from anyascii import anyascii

from em_core.text.knowledge import abbreviation_table, read_rows

_NOT_ALNUM = re.compile(r"[^a-z0-9]+")
_EDGE = re.compile(r"^[^\w&+]+|[^\w&+]+$")
_LONGEST_FORM = 8  # words of "Societa' a responsabilita' limitata semplificata" and of spaced initials


class Form(NamedTuple):
    """A legal form: `spellings` (the first is the plain short one), `kind`, and whether it may stand first."""

    spellings: tuple[str, ...]
    kind: str
    leading: bool


class SplitName(NamedTuple):
    """`body` and the legal form as written; `form` is None where none was found. `leads`: the form stands first."""

    body: str
    written: str
    form: Form | None
    leads: bool


def _toml(name: str) -> dict[str, Any]:
    return tomllib.loads((files("em_core.pairs") / "data" / name).read_text(encoding="utf-8"))


def squeeze(text: str) -> str:
    """Lower-case ASCII letters and digits of a text, nothing between them."""
    return _NOT_ALNUM.sub("", (text if text.isascii() else anyascii(text)).lower())


def bare(word: str) -> str:
    """A word in upper-case ASCII without the punctuation around it: the key of the abbreviation tables."""
    return _EDGE.sub("", word if word.isascii() else anyascii(word)).upper()


@cache
def form_table() -> dict[str, Form]:
    """Squeezed spelling -> form. A spelling that two forms share belongs to the first of them."""
    table: dict[str, Form] = {}
    for entry in _toml("legal_forms.toml")["form"]:
        form = Form(tuple(entry["spellings"]), entry["kind"], entry.get("leading", False))
        for spelling in form.spellings:
            table.setdefault(squeeze(spelling), form)
    return table


@cache
def _glued_forms() -> tuple[tuple[str, Form], ...]:
    """Spellings in scripts that put no blank between name and form."""
    pairs = [
        (spelling, form)
        for form in form_table().values()
        for spelling in form.spellings
        if spelling and ord(spelling[0]) > 0x2E80
    ]
    return tuple(dict(pairs).items())


@lru_cache(maxsize=65536)
def split_form(name: str) -> SplitName:
    """Take the legal form off a name; the body is never empty."""
    words = name.split()
    table = form_table()
    for count in range(min(_LONGEST_FORM, len(words) - 1), 0, -1):
        form = table.get(squeeze("".join(words[-count:])))
        body = " ".join(words[:-count]).rstrip(" ,;-/")
        if form is not None and squeeze(body):
            return SplitName(body, " ".join(words[-count:]), form, False)
    if len(words) > 1:
        form = table.get(squeeze(words[0]))
        if form is not None and form.leading:
            return SplitName(" ".join(words[1:]), words[0], form, True)
    for spelling, form in _glued_forms():
        if len(name) > len(spelling) + 1:
            if name.endswith(spelling):
                return SplitName(name.removesuffix(spelling).strip(), spelling, form, False)
            if name.startswith(spelling):
                return SplitName(name.removeprefix(spelling).strip(), spelling, form, True)
    return SplitName(name, "", None, False)


@cache
def translations() -> dict[str, tuple[str, ...]]:
    """Kind of form -> what stands in its place when it was guessed or translated."""
    return {kind: tuple(forms) for kind, forms in _toml("legal_forms.toml")["translations"].items()}


@cache
def usual_forms() -> dict[str, tuple[str, ...]]:
    """Country -> forms that a writer adds; key "" for any other country."""
    return {country: tuple(forms) for country, forms in _toml("legal_forms.toml")["usual"].items()}


@cache
def abbreviations() -> dict[str, tuple[str, ...]]:
    """Word in upper case -> its short forms, the most usual first."""
    return {word: tuple(short) for word, short in abbreviation_table()["words"].items()}


@cache
def expansions() -> dict[str, tuple[str, ...]]:
    """Short form -> the words that it may stand for."""
    out: dict[str, list[str]] = {}
    for word, shorts in abbreviations().items():
        for short in shorts:
            if len(short) > 1 and short not in abbreviations():
                out.setdefault(short, []).append(word)
    return {short: tuple(words) for short, words in out.items()}


@cache
def generic_words() -> frozenset[str]:
    """Words that say little about which firm it is; writers leave them out first."""
    return frozenset(abbreviation_table()["generic"]["words"])


@cache
def tails() -> dict[str, Any]:
    """The tables of `tails.toml`."""
    return _toml("tails.toml")


class Country(NamedTuple):
    """How a country is written; `local` is empty where it equals the English name."""

    alpha2: str
    alpha3: str
    english: str
    local: str


@cache
def countries() -> dict[str, Country]:
    """ISO 3166-1 alpha-2 -> its spellings (Unicode CLDR territory names)."""
    return {row[0]: Country(*row) for row in read_rows("country_names.csv")}
