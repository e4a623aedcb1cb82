"""Comparing names: symmetric, bounded, and a name is always the same as itself."""

from __future__ import annotations

import pandas as pd
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from em_core.text.compare import (
    RELATIONS,
    NameComparison,
    compare_name,
    compare_names,
    compare_parsed,
    names_differ,
    word_agreement,
)
from em_core.text.fold import fold
from em_core.text.names import NO_NAME, parse_name, parse_names

ANY = settings(deadline=None, max_examples=150)

PARTS = (
    "Acme Acmes Beta Betas Müller Mueller Muller Ltd Inc AG S.A. GmbH plc Holding Group Fund II No 3 10 Class A (UK) India liquidation dba "
    "formerly c/o /DE/ Intl International Internationale Internat Tech Technology Invest Investments Global A B i y of and the ООО Ромашка "
    "Foods Food Steel Seel AB ab ACM Acmebeta Acme1"
).split()
NAME = st.one_of(
    st.text(max_size=40),
    st.lists(st.sampled_from(PARTS), min_size=1, max_size=6).map(" ".join),
)
# Words of one script that are neither abbreviated, generic nor of one letter.
PLAIN = st.lists(
    st.sampled_from("Acme Acmes Beta Betas Müller Mueller Muller Ltd Inc AG plc Holding Fund II (UK) Ромашка".split()),
    min_size=1,
    max_size=5,
).map(" ".join)


def test_the_relations_are_what_a_comparison_can_say() -> None:
    found = {
        compare_name(left, right).relation
        for left, right in [
            ("Acme Ltd", "Acme Limited"),
            ("Rio Tinto plc", "Rio Tinto Ltd"),
            ("Acme Holding AG", "Acme AG"),
            ("IBM", "International Business Machines"),
            ("Acme Steel", "Acme"),
            ("Acme", "Zyzzyva"),
            ("", "Acme"),
        ]
    }
    assert found == set(RELATIONS)


@pytest.mark.parametrize(
    ("left", "right", "relation"),
    [
        ("Acme Ltd", "ACME, Limited.", "same"),
        ("Acme Ltd", "Acme", "same"),
        ("Acme Steel", "Steel Acme", "same"),
        ("Acme Intl", "Acme International", "same"),
        ("Acme Internationl", "Acme International", "same"),
        ("Müller Söhne GmbH", "Mueller Soehne GmbH", "same"),
        ("Coca Cola", "CocaCola", "same"),
        ("Acme Ltd Class A", "Acme Ltd", "same"),
        ("Acme Ltd in liquidation", "Acme Ltd", "same"),
        ("Acme Ltd ORD USD0.20", "Acme Ltd", "same"),
        ("Newco Ltd (formerly Acme Ltd)", "Acme Ltd", "same"),
        ("Acme Holding AG", "Acme AG", "group"),
        ("Acme (UK) Ltd", "Acme (France) Ltd", "group"),
        ("Acme No 1 Ltd", "Acme No 2 Ltd", "group"),
        ("Acme Fund 1", "Acme Fund 2", "group"),
        ("Acme AG, London Branch", "Acme AG", "group"),
        ("Acme GmbH", "Acme AG", "form"),
        ("Acme c/o Beta Ltd", "Beta Ltd", "different"),
        ("Acme Steel Works", "Zyzzyva Foods", "different"),
    ],
)
def test_relations(left: str, right: str, relation: str) -> None:
    assert compare_name(left, right).relation == compare_name(right, left).relation == relation


@given(NAME, NAME)
@ANY
def test_a_comparison_is_bounded_and_of_a_known_relation(left: str, right: str) -> None:
    relation, score = compare_name(left, right)
    assert relation in RELATIONS and 0 <= score <= 1
    assert (relation == "unknown") == (fold(left) == "" or fold(right) == "")
    assert not names_differ(left, right) or relation == "different"


@given(PLAIN, PLAIN)
@ANY
def test_a_comparison_of_plain_words_is_symmetric(left: str, right: str) -> None:
    assert compare_name(left, right) == compare_name(right, left)
    assert names_differ(left, right) == names_differ(right, left)


@given(NAME, NAME)
@example("Acme Intl", "International")
@example("Y", "0 I")
@example("Eris Tech S.R.L.", "General Machines Technology Ltd")
@ANY
def test_a_comparison_of_any_two_texts_is_symmetric(left: str, right: str) -> None:
    assert compare_name(left, right) == compare_name(right, left)
    assert names_differ(left, right) == names_differ(right, left)


@given(NAME)
@example("dba Foo")
@example("Foo formerly Bar")
@example("A")
@example("&")
@ANY
def test_a_name_is_the_same_as_itself(name: str) -> None:
    relation, score = compare_name(name, name)
    if fold(name):
        assert relation == "same" and score >= 0.95
    else:
        assert (relation, score) == ("unknown", 0.0)
    assert not names_differ(name, name)


@given(NAME)
@ANY
def test_empty_says_nothing_about_any_name(name: str) -> None:
    assert compare_name("", name) == compare_name(name, "") == NameComparison("unknown", 0.0)
    assert not names_differ("", name) and not names_differ(name, "")
    assert compare_parsed(NO_NAME, parse_name(name)).score == 0


@given(st.lists(st.tuples(st.one_of(st.none(), NAME), st.one_of(st.none(), NAME)), max_size=6))
@ANY
def test_a_table_says_what_single_comparisons_do(pairs: list[tuple[str | None, str | None]]) -> None:
    pairs = pairs + pairs[:2]
    left, right = (parse_names([pair[side] for pair in pairs]) for side in (0, 1))
    left.index = right.index = pd.RangeIndex(10, 10 + len(pairs))
    table = compare_names(left, right)
    assert list(table.columns) == ["relation", "score", "differ"] and table.index.equals(left.index)
    for row, (one, other) in enumerate(pairs):
        a, b = one or "", other or ""
        found = tuple(table.iloc[row])
        if fold(a) and fold(a) == fold(b):
            # Equal texts need no comparison.
            assert found == ("same", 1.0, False)
        else:
            assert found == (*compare_name(a, b), names_differ(a, b))


@pytest.mark.parametrize(
    ("left", "right", "differ"),
    [
        ("Volkswagen AG", "Apple Inc", True),
        ("Acme Steel", "Acme Foods", False),
        ("Apple", "Apple Bank", False),
        ("IBM", "International Business Machines", False),
        ("", "Apple", False),
        ("!!!", "???", False),
    ],
)
def test_names_that_clearly_differ(left: str, right: str, differ: bool) -> None:
    assert names_differ(left, right) is names_differ(right, left) is differ


@pytest.mark.parametrize(
    ("left", "right", "least", "most"),
    [
        ("steel", "steel", 1, 1),
        ("mueller", "muller", 0.95, 0.99),
        ("foods", "food", 0.6, 0.99),
        ("intl", "international", 0.85, 0.95),
        ("internationl", "international", 0.8, 0.9),
        ("telekom", "telecom", 0.8, 0.9),
        ("trasnport", "transport", 0.8, 0.9),
        ("tech", "technology", 0.6, 0.95),
        ("steel", "foods", 0, 0),
        ("bank", "tank", 0, 0),
        ("2019", "2018", 0, 0),
        ("100", "1000", 0, 0),
        ("a", "b", 0, 0),
    ],
)
def test_words(left: str, right: str, least: float, most: float) -> None:
    assert least <= word_agreement(left, right) <= most


LETTERS = st.text(alphabet="abdeimnory12", min_size=1, max_size=10)


@given(LETTERS, LETTERS, st.integers(0, 9))
@ANY
def test_word_agreement_is_symmetric_bounded_and_certain_for_one_word(left: str, other: str, place: int) -> None:
    for right in (other, left[:place] + other[:1] + left[place + 1 :], left + other, left[1:] or left):
        assert word_agreement(left, right) == word_agreement(right, left)
        assert 0 <= word_agreement(left, right) <= 1
        assert (word_agreement(left, right) == 1) == (left == right)
