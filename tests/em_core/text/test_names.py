"""Names: what a person would call the same, and what must stay apart."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from em_core.text.fold import fold
from em_core.text.names import NO_NAME, parse_name, parse_names

KEPT_WHOLE = [
    "Company",
    "Limited Brands",
    "SA Recycling",
    "AG Mortgage Investment Trust",
    "LP Building",
    "Co-Operative Bank",
    "AMBA",
    "N.V.",
]


@pytest.mark.parametrize("name", KEPT_WHOLE)
def test_a_form_is_stripped_at_the_ends_only_and_never_to_nothing(name: str) -> None:
    assert parse_name(name).core == fold(name)


@pytest.mark.parametrize(
    ("name", "core", "form"),
    [
        ("Siemens Aktiengesellschaft", "siemens", "ag"),
        ("Nestlé S.A.", "nestle", "sa"),
        ("Foo Bar Co., Ltd.", "foo bar", "coltd"),
        ("ООО Ромашка", "romashka", "ooo"),
        ("PT Bank Mandiri Tbk", "bank mandiri", "tbk"),
        ("The Coca-Cola Company", "coca cola", "co"),
        ("ＡＣＭＥ　Ｌｔｄ", "acme", "ltd"),
        ("GmbH & Co. KG Müller", "muller", "gmbhcokg"),
        ("Rolandi Auto - S.P.A.", "rolandi auto", "spa"),
    ],
)
def test_core_and_legal_form(name: str, core: str, form: str) -> None:
    parsed = parse_name(name)
    assert (parsed.core, parsed.form) == (core, form)


@pytest.mark.parametrize("name", ["株式会社日立製作所", "三星电子有限公司", "(주)삼성"])
def test_glued_cjk_forms_leave_the_name(name: str) -> None:
    parsed = parse_name(name)
    assert parsed.form and parsed.core and parsed.core != parsed.full


@pytest.mark.parametrize(
    ("name", "core"),
    [
        ("ONOFF AG  INH O.N.", "onoff"),
        ("Vodafone Group PLC ORD USD0.20 20/21", "vodafone"),
        ("HEALTHCARE RLTY TR. DL-01", "healthcare rlty tr"),
        ("Foo Trading d/b/a Bar", "foo trading"),
        ("Mobico formerly National Express", "mobico"),
        ("Acme c/o Smith & Sons", "acme"),
    ],
)
def test_noise_around_the_name_goes(name: str, core: str) -> None:
    assert parse_name(name).core == core


@pytest.mark.parametrize(
    ("left", "right"),
    [
        ("Nestlé", "Nestle"),
        ("AT&T", "AT and T"),
        ("Coca-Cola", "coca  cola"),
        ("S.A.P.", "SAP"),
        ("Macy's", "Macys"),
    ],
)
def test_spellings_that_fold_together(left: str, right: str) -> None:
    assert fold(left) == fold(right)


def test_rio_tinto_stays_two_firms() -> None:
    plc, ltd = parse_name("Rio Tinto plc"), parse_name("Rio Tinto Ltd")
    assert plc.core == ltd.core and plc.full != ltd.full and plc.form != ltd.form


@pytest.mark.parametrize("name", ["", " ", "😀", "!!!", "—"])
def test_a_name_without_letters_is_empty_not_invented(name: str) -> None:
    assert parse_name(name) == NO_NAME


@given(st.text(max_size=60))
def test_folding_is_idempotent_and_plain(text: str) -> None:
    once = fold(text)
    assert fold(once) == once
    assert once == once.strip() and all(c.isascii() and (c.isalnum() or c == " ") for c in once)


@given(st.text(alphabet=st.characters(categories=("L", "N", "P", "Zs")), max_size=60))
def test_a_core_is_never_empty_where_the_name_is_not(text: str) -> None:
    parsed = parse_name(text)
    assert bool(parsed.core) == bool(parsed.full)


def test_missing_names_and_order() -> None:
    frame = parse_names(["Beta GmbH", None, float("nan"), "Alpha Inc", "Beta GmbH"])
    assert frame["core"].tolist() == ["beta", "", "", "alpha", "beta"]


def test_a_name_of_two_thousand_letters() -> None:
    assert parse_name("A very long name " * 125).core
