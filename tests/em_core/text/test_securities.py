"""Security descriptions: cut off the end of a name with proof only, and never the name itself."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from em_core.text.fold import fold
from em_core.text.securities import cut_security, share_class

ANY = settings(deadline=None, max_examples=300)

# Tails as vendors and brokers write them.
TAILS = [
    "ORD", "ORD NPV", "ORD USD0.20", "ORD GBP0.05", "ADR", "SPONSORED ADR", "SPON ADS", "UNSPONSORED ADR",
    "GDR REG S", "REGISTERED SHS", "REG SHS", "NPV", "DL-,01", "EO 1", "INH O.N.", "NA O.N.", "VZO O.N.", "ST O.N.",
    "CL A", "CLASS B", "COM CL A", "CL B NEW", "CAP STK CL C", "COMMON STOCK", "CAPITAL STOCK", "PFD", "7.5% PFD", "PREF", "PN N1",
    "WTS", "DEP SHS", "SHARES OF BENEFICIAL INTEREST", "CDI", "A SHS", "B SHS", "SER A PFD", "HKD0.10 H SHS", "NAMENSAKTIEN",
]  # fmt: skip


@pytest.mark.parametrize("tail", TAILS)
@pytest.mark.parametrize("name", ["Vodafone", "Acme Steel Works", "Bank of Somewhere"])
def test_a_tail_goes_and_the_name_stays(name: str, tail: str) -> None:
    words = fold(f"{name} {tail}").split()
    left, description = cut_security(words)
    assert left + description == words
    assert description and " ".join(left).startswith(fold(name))
    assert cut_security(left) == (left, [])


@pytest.mark.parametrize("tail", ["NPV (REGD)", "ORD GBP0.01 (REGD)"])
def test_more_tails(tail: str) -> None:
    assert cut_security(fold(f"Acme Steel {tail}").split())[0] == ["acme", "steel"]


@pytest.mark.parametrize(
    ("name", "left", "description"),
    [
        ("Vodafone Group PLC ORD USD0.20 20/21", "vodafone group plc", "ord usd0 20 20 21"),
        ("Alphabet Inc Cap Stk Cl C", "alphabet inc", "cap stk cl c"),
        ("Alibaba Group Spon ADS", "alibaba group", "spon ads"),
        ("E.ON SE NA O.N.", "e on se", "na on"),
        ("Petrobras PN", "petrobras", "pn"),
        ("Apple Inc Com", "apple inc", "com"),
        ("Deutsche Telekom AG NA", "deutsche telekom ag", "na"),
        ("Simon Property Trust Shares", "simon property trust", "shares"),
        ("Berkshire Hathaway Class B", "berkshire hathaway", "class b"),
    ],
)
def test_what_is_left(name: str, left: str, description: str) -> None:
    assert cut_security(fold(name).split()) == (left.split(), description.split())


@pytest.mark.parametrize(
    "name",
    [
        "Limited Brands", "Common Fund", "Common Ground", "Bank of Units", "United Units", "First Shares", "American Shares",
        "Ord Minnett", "Ordinary People", "Preferred Bank", "Preferred Apartment Communities", "Warrant Group", "Class A", "Class Act",
        "Dot Com", "Amazon Com", "Great Ads", "Area 51", "Forever 21", "Studio 54", "Sector 10", "Channel 4", "Series 7", "3i", "3M",
        "Plan B", "Vitamin C", "True Value", "Bank of Value", "Something New", "Par Pacific", "E On", "Hepatitis C Trust",
        "American Depositary Company", "ADR", "ORD", "Shares", "Rights", "Units", "Common Stock", "Stock Units",
        "Human Rights", "Animal Rights", "Auto Parts", "Gift Certs", "Na Na", "Formula 1", "Motor Units", "Legal Rights",
    ],
)  # fmt: skip
def test_names_that_end_in_such_words_survive(name: str) -> None:
    words = fold(name).split()
    assert cut_security(words) == (words, [])


WORDS = (
    "acme beta the of and inc ag plc trust group units shares shs ord adr ads com common stock pfd na on reg s cl class a b c d n h new "
    "series ser 1 01 10 usd0 gbp0 dl eo o st par value npv rights wts"
).split()


@given(st.lists(st.sampled_from(WORDS), max_size=8))
@ANY
def test_only_a_tail_is_cut_never_all_and_once_is_enough(words: list[str]) -> None:
    left, description = cut_security(words)
    assert left + description == words
    assert bool(left) == bool(words)
    # `on` alone is a tail of its own behind two words.
    assert left[-1:] == ["on"] or cut_security(left) == (left, [])


def test_once_is_enough_for_brazilian_tails_too() -> None:
    left, _ = cut_security("acme steel on pfd".split())
    assert cut_security(left) == (left, [])


@given(st.text(max_size=40))
@ANY
def test_any_text(text: str) -> None:
    words = fold(text).split()
    left, description = cut_security(words)
    assert left + description == words and bool(left) == bool(words)


@pytest.mark.parametrize(
    ("description", "letter"),
    [
        ("cl a", "a"), ("class b", "b"), ("klasse c", "c"), ("classe d", "d"), ("clase e", "e"), ("ser f", "f"), ("series g", "g"),
        ("serie h", "h"), ("com cl a", "a"), ("cap stk cl c", "c"), ("cl b new", "b"), ("a shares", "a"), ("b shs", "b"), ("b", "b"),
        ("d dl 01", "d"), ("", ""), ("ord", ""), ("class", ""), ("class ab", ""), ("class 1", ""), ("na on", ""), ("reg s", ""),
        ("n shs", ""), ("pref b", ""), ("spon adr", ""),
    ],
)  # fmt: skip
def test_the_letter_of_a_share_class(description: str, letter: str) -> None:
    assert share_class(description.split()) == letter


@given(st.lists(st.sampled_from(WORDS), max_size=8))
@ANY
def test_a_share_class_is_one_letter_of_the_description(words: list[str]) -> None:
    letter = share_class(words)
    assert letter == "" or (len(letter) == 1 and letter.isalpha() and letter in words)
