"""Designators: what tells members of one group apart comes off the end of a name as codes, never to nothing."""

from __future__ import annotations

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from em_core.text.designators import country_of, cut_branch, cut_designators
from em_core.text.fold import fold
from em_core.text.names import parse_name

ANY = settings(deadline=None, max_examples=300)
CODE = re.compile(r"holding|group|branch|fund|liquidation|number:\d+|(class|series):[a-z0-9]{1,2}|country:[A-Z]{2}")


@pytest.mark.parametrize(
    ("name", "left", "codes"),
    [
        ("Foo Holding", "foo", ["holding"]),
        ("Foo Hldgs", "foo", ["holding"]),
        ("Foo Holdings Group", "foo", ["group", "holding"]),
        ("Foo Gruppe", "foo", ["group"]),
        ("Foo II", "foo", ["number:2"]),
        ("Foo XVIII", "foo", ["number:18"]),
        ("Foo Partners V", "foo partners", ["number:5"]),
        ("Foo No. 12", "foo", ["number:12"]),
        ("Foo Number 007", "foo", ["number:7"]),
        ("Foo Fund 3", "foo fund", ["number:3"]),
        ("Foo Growth Fund", "foo growth", ["fund"]),
        ("Foo Growth ETF", "foo growth", ["fund"]),
        ("Foo Class A", "foo", ["class:a"]),
        ("Foo Klasse B", "foo", ["class:b"]),
        ("Foo Series 12", "foo", ["series:12"]),
        ("Foo Series 02", "foo", ["series:2"]),
        ("Foo Branch", "foo", ["branch"]),
        ("Foo in Liquidation", "foo", ["liquidation"]),
        ("Foo in Liqu.", "foo", ["liquidation"]),
        ("Foo w likwidacji", "foo", ["liquidation"]),
        ("Foo UK", "foo", ["country:GB"]),
        ("Foo Deutschland", "foo", ["country:DE"]),
        ("Foo Hong Kong", "foo", ["country:HK"]),
        ("Foo Holding Schweiz II", "foo", ["number:2", "country:CH", "holding"]),
    ],
)
def test_what_is_taken_and_what_is_left(name: str, left: str, codes: list[str]) -> None:
    assert cut_designators(fold(name).split()) == (left.split(), codes)


@pytest.mark.parametrize(
    "name",
    [
        "Holding", "Group", "The Group", "Branch", "India", "UK", "II", "Class A", "Series 7", "Number 10", "Fund 3", "in liquidation",
        "Bank of China", "Air India", "Bank Indonesia", "Royal Jordan", "Foo and Holding", "Foo of India", "Foo Georgia", "Foo Jersey",
        "Foo Chad", "Holdings of Foo", "Foo I", "Foo V", "Area 51", "Forever 21", "Foo 2000", "Group Foo", "Foo Fundamentals",
    ],
)  # fmt: skip
def test_what_is_no_designator_stays(name: str) -> None:
    words = fold(name).split()
    assert cut_designators(words) == (words, [])


def test_a_country_of_four_words() -> None:
    assert cut_designators("foo united states of america".split()) == (["foo"], ["country:US"])


def test_in_brackets_a_country_needs_no_further_proof() -> None:
    assert cut_designators("bank of india".split()) == (["bank", "of", "india"], [])
    assert cut_designators("air india".split(), bracketed=True) == (["air"], ["country:IN"])


@pytest.mark.parametrize(
    ("words", "alpha2"),
    [
        ("france", "FR"), ("deutschland", "DE"), ("hong kong", "HK"), ("united kingdom", "GB"), ("great britain", "GB"), ("us", "US"),
        ("uae", "AE"), ("netherlands", "NL"), ("georgia", ""), ("chad", ""), ("america", ""), ("in", ""), ("paris", ""), ("", ""),
    ],
)  # fmt: skip
def test_countries(words: str, alpha2: str) -> None:
    assert country_of(words.split()) == alpha2


@pytest.mark.parametrize(
    ("name", "left", "place"),
    [
        ("Deutsche Bank AG, London Branch", "Deutsche Bank AG", "London"),
        ("HSBC Bank plc, Filiale Frankfurt", "HSBC Bank plc", "Frankfurt"),
        ("HSBC Bank plc (Paris Succursale)", "HSBC Bank plc ", "Paris"),
        ("BNP Paribas - Zweigniederlassung Zürich", "BNP Paribas ", "Zürich"),
        ("BNP Paribas, BRANCH", "BNP Paribas", "-"),
        ("BNP Paribas/Sucursal en España", "BNP Paribas", "en España"),
        ("Olive Branch", "Olive Branch", ""),
        ("Branch Banking and Trust", "Branch Banking and Trust", ""),
        (", London Branch", ", London Branch", ""),
        ("Foo, Branches of Trees", "Foo, Branches of Trees", ""),
        ("Branch", "Branch", ""),
        ("", "", ""),
    ],
)
def test_a_branch_as_the_last_part(name: str, left: str, place: str) -> None:
    assert cut_branch(name) == (left, place)


@given(st.text(max_size=40))
@ANY
def test_a_branch_leaves_the_beginning_and_never_nothing(text: str) -> None:
    for name in (text, f"{text}, London Branch", f"Foo, {text} Branch"):
        left, place = cut_branch(name)
        assert name.startswith(left) and bool(left) == bool(name)
        assert (left == name) == (place == "")


WORDS = (
    "acme beta bank air energy the of and de holding holdings group fund etf ii iii xx i v x no nr number 3 12 007 class series a b 2a "
    "branch uk us india germany france hong kong united states kingdom of america in liquidation liqu partners trust georgia"
).split()


@given(st.lists(st.sampled_from(WORDS), max_size=8), st.booleans())
@ANY
def test_only_a_tail_is_cut_never_all_and_once_is_enough(words: list[str], bracketed: bool) -> None:
    left, codes = cut_designators(words, bracketed)
    assert left == words[: len(left)] and bool(left) == bool(words)
    assert (left == words) == (codes == [])
    assert all(CODE.fullmatch(code) for code in codes)
    assert cut_designators(left, bracketed) == (left, [])


@given(
    st.lists(st.sampled_from([*WORDS, "(UK)", "(Holding)", "Ltd", ", London Branch", "cl a", "ORD"]), max_size=8).map(
        " ".join
    )
)
@ANY
def test_the_codes_of_a_parsed_name_are_sorted_and_unique(name: str) -> None:
    codes = parse_name(name).designators.split()
    assert codes == sorted(set(codes)) and all(CODE.fullmatch(code) for code in codes)
