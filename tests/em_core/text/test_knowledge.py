"""The compiled tables: well formed, and the look-ups over them complete."""

from __future__ import annotations

import pytest

from em_core.text.fold import fold
from em_core.text.knowledge import (
    abbreviation_table,
    countries,
    expansions,
    form_details,
    forms_by_first_word,
    forms_by_last_word,
    generic_words,
    legal_forms,
    read_rows,
)


@pytest.mark.parametrize(
    "table",
    [
        "cities.csv", "countries.csv", "country_names.csv", "exchanges.csv", "forms_curated.csv", "legal_forms.csv", "shared_hosts.csv",
        "subdivisions.csv", "vendor_exchanges.csv",
    ],
)  # fmt: skip
def test_every_row_of_a_table_has_the_same_number_of_columns(table: str) -> None:
    rows = read_rows(table)
    assert rows and len({len(row) for row in rows}) == 1
    assert len({tuple(row) for row in rows}) == len(rows)


@pytest.mark.parametrize(
    ("spelling", "form", "kind"),
    [
        ("gmbh", "gmbh", "llc"),
        ("gesellschaft mit beschrankter haftung", "gmbh", "llc"),
        ("limited", "ltd", "llc"),
        ("public limited company", "plc", "jsc"),
        ("incorporated", "inc", "jsc"),
        ("aktiengesellschaft", "ag", "jsc"),
        ("kabushiki kaisha", "kk", "jsc"),
    ],
)
def test_legal_forms(spelling: str, form: str, kind: str) -> None:
    entry = legal_forms()[spelling]
    assert (entry.form, entry.kind) == (form, kind)
    assert form_details()[form].form == form


def test_every_spelling_is_found_by_its_first_and_its_last_word() -> None:
    first, last = forms_by_first_word(), forms_by_last_word()
    for spelling in legal_forms():
        words = spelling.split()
        assert len(words) in first[words[0]] and len(words) in last[words[-1]]
    for lengths in (*first.values(), *last.values()):
        assert list(lengths) == sorted(set(lengths), reverse=True)
    assert set(form_details()) == {entry.form for entry in legal_forms().values()}


def test_countries_are_folded_names_and_codes_of_two_letters() -> None:
    table = countries()
    assert all(name and alpha2.isalpha() and alpha2.isupper() and len(alpha2) == 2 for name, alpha2 in table.items())
    assert [table[name] for name in ("germany", "de", "deu", "276", "deutschland")] == ["DE"] * 5


def test_country_names_are_one_row_for_each_country() -> None:
    rows = read_rows("country_names.csv")
    for place, length in ((0, 2), (1, 3)):
        codes = [row[place] for row in rows]
        assert len(set(codes)) == len(codes) and {len(code) for code in codes} == {length}
    assert all(row[2] for row in rows)


def test_short_forms_stand_for_folded_words() -> None:
    table = expansions()
    assert {"international", "internationale"} <= table["intl"]
    for short, words in table.items():
        assert len(short) > 1 and short == fold(short) and " " not in short
        assert words and all(word == fold(word) for word in words)
    assert set(abbreviation_table()) == {"words", "generic"}


def test_generic_words_are_words() -> None:
    words = generic_words()
    assert {"international", "bank"} & words
    # An ampersand is a word of its own before folding.
    assert all(word == fold(word) and " " not in word for word in words - {"&"})
