"""Identifiers: what is a key, what is bad data, what says nothing."""

from __future__ import annotations

import string

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from stdnum import cusip, isin
from stdnum.gb import sedol
from stdnum.iso7064 import mod_97_10

from em_core.text.identifiers import (
    ENTITY_KINDS,
    KINDS,
    SECURITY_KINDS,
    Checked,
    State,
    check_identifier,
    check_identifiers,
    identifier_keys,
)

ALPHANUMERIC = string.digits + string.ascii_uppercase
CONSONANTS = "".join(c for c in ALPHANUMERIC if c not in "AEIOU")
NOTHING = Checked("", State.PLACEHOLDER)
BAD = Checked("", State.INVALID)


def test_every_kind_names_an_entity_or_a_security() -> None:
    assert sorted(ENTITY_KINDS + SECURITY_KINDS) == sorted(KINDS)


@pytest.mark.parametrize(
    ("kind", "value", "key"),
    [
        # Apple, Microsoft
        ("lei", "HWUPKR0MPOU8FGXBT394", "HWUPKR0MPOU8FGXBT394"),
        ("lei", "INR2EJN1ERAN0W5ZP974", "INR2EJN1ERAN0W5ZP974"),
        # formatting
        ("lei", " hwup kr0m-pou8 fgxb t394 ", "HWUPKR0MPOU8FGXBT394"),
        ("lei", "LEI: HWUPKR0MPOU8FGXBT394", "HWUPKR0MPOU8FGXBT394"),
        ("lei", "LEI code HWUPKR0MPOU8FGXBT394", "HWUPKR0MPOU8FGXBT394"),
        ("lei", "ＨＷＵＰＫＲ０ＭＰＯＵ８ＦＧＸＢＴ３９４", "HWUPKR0MPOU8FGXBT394"),
        ("lei", "HWUP\u2011KR0M\u00a0POU8FGXBT394\u200b", "HWUPKR0MPOU8FGXBT394"),
        # long runs of zeros and check digits 00 and 01 were really given out
        ("lei", "5493000IBP32UQZ0KL24", "5493000IBP32UQZ0KL24"),
        ("lei", "213800WSGIIZCXF1P572", "213800WSGIIZCXF1P572"),
        ("lei", "13250000000000000301", "13250000000000000301"),
        ("lei", "31570010000000006400", "31570010000000006400"),
        ("isin", "US0378331005", "US0378331005"),
        ("isin", "ISIN us0378331005", "US0378331005"),
        ("isin", "GB00BH4HKS39", "GB00BH4HKS39"),
        ("isin", "GB00B03MLX29", "GB00B03MLX29"),
        ("isin", "GB0002374006", "GB0002374006"),
        ("isin", "JP3633400001", "JP3633400001"),
        ("cusip", "037833100", "037833100"),
        ("cusip", "CUSIP#037833100", "037833100"),
        ("cusip", "037833-10-0", "037833100"),
        ("cusip", '="037833100"', "037833100"),
        # a spreadsheet took them for numbers
        ("cusip", "37833100", "037833100"),
        ("cusip", "37833100.0", "037833100"),
        ("cusip", "1055102", "001055102"),
        ("sedol", "BH4HKS3", "BH4HKS3"),
        ("sedol", "0263494", "0263494"),
        ("sedol", "263494", "0263494"),
        ("sedol", "B000009", "B000009"),
        ("figi", "BBG000B9XRY4", "BBG000B9XRY4"),
        ("figi", "FIGI=bbg000b9xry4", "BBG000B9XRY4"),
        ("vat", "DE143454214", "DE143454214"),
        ("registration_number", "FR:542051180", "FR:542051180"),
    ],
)
def test_valid(kind: str, value: str, key: str) -> None:
    assert check_identifier(kind, value) == Checked(key, State.VALID)


@pytest.mark.parametrize(
    ("kind", "value", "key"),
    [
        ("cusip", "03783310", "037833100"),
        ("cusip", "00206R10", "00206R102"),
        ("cik", "320193", "0000320193"),
        ("cik", "CIK=320193", "0000320193"),
        ("cik", "CIK0000320193", "0000320193"),
        ("cik", "320193.0", "0000320193"),
        ("cik", "1800", "0000001800"),
        ("cik", "66740", "0000066740"),
    ],
)
def test_without_a_check_digit_it_is_usable_but_unchecked(kind: str, value: str, key: str) -> None:
    assert check_identifier(kind, value) == Checked(key, State.UNCHECKED)


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        ("lei", "HWUPKR0MPOU8FGXBT395"),
        ("lei", "HWUPKR0MPOU8FGXBT39"),
        ("lei", "HWUPKR0MPOU8FGXBT3944"),
        ("lei", "12417"),  # remainder 1, but too short
        ("lei", "Apple Inc."),
        ("isin", "US0378331006"),
        ("isin", "ZZ0378331005"),
        ("cusip", "037833101"),
        ("cusip", "37833101X"),
        ("cusip", "COMPUTER"),
        ("cusip", "3.78E+08"),
        ("cusip", "3.7833E8"),
        ("cusip", "3,78E+08"),
        ("sedol", "BH4HKS4"),
        ("sedol", "263495"),
        ("figi", "BBG000B9XRY5"),
        ("cik", "13185605123"),
        ("cik", "3.2E+05"),
        ("cik", "AAPL"),
        ("vat", "DE143454215"),
        ("vat", "hello"),
        ("registration_number", "FR:542051181"),
        ("registration_number", "hello"),
    ],
)
def test_invalid(kind: str, value: str) -> None:
    assert check_identifier(kind, value) == BAD


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    "value",
    [
        *(
            "N/A",
            "#N/A",
            "na",
            "nan",
            "None",
            "NULL",
            "unknown",
            "TBD",
            "Test",
            "TEST1234567",
            "pending",
            "-",
            "--",
            "?",
            "😀",
        ),
        *("0", "000000000", "0000000000", "999999999", "xxxxxxxxx", "XXXXXXXX", "n.a."),
        *("123456789", "987654321", "0123456789", "1234567890", "ABCDEFGHI", "not available"),
    ],
)
def test_filler_is_nothing(kind: str, value: str) -> None:
    assert check_identifier(kind, value, "GB") == NOTHING


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        ("lei", "LEI:"),
        ("lei", "549300XXXXXXXXXXXXXX"),
        ("lei", "549300XXXXXXXXXXXX12"),
        ("lei", "HWUPKR0MPOU8XXXXXXXX"),
        ("lei", "54930000000000000000"),
        ("lei", "54930099999999999999"),
        ("lei", "12345678901234567890"),
        ("lei", "ABCDEFGHIJ1234567890"),
        ("isin", "US0000000000"),
        ("isin", "US9999999999"),
        ("isin", "USXXXXXXXXXX"),
        ("isin", "US037833XXXX"),
        ("figi", "BBG000000000"),
        ("figi", "BBGXXXXXXXXX"),
        ("cusip", "1234XXXX"),
        ("sedol", "BXXXXXX"),
        ("vat", "DE000000000"),
        ("vat", "DE123456789"),
        ("vat", "ATU00000000"),
        ("vat", "GBXXXXXXXXX"),
        ("vat", "NL999999999B01"),
        ("registration_number", "GB:00000000"),
        ("registration_number", "HRB 00000"),
    ],
)
def test_a_real_beginning_filled_up_is_nothing(kind: str, value: str) -> None:
    assert check_identifier(kind, value) == NOTHING


def test_filler_is_nothing_even_with_right_check_digits() -> None:
    lei = "549300" + "0" * 12
    assert check_identifier("lei", lei + mod_97_10.calc_check_digits(lei)) == NOTHING
    assert check_identifier("isin", isin.from_natid("XS", "0")) == NOTHING
    assert check_identifier("isin", isin.from_natid("US", "123456789")) == NOTHING
    assert check_identifier("cusip", "12345678" + cusip.calc_check_digit("12345678")) == NOTHING
    assert check_identifier("sedol", "123456" + sedol.calc_check_digit("123456")) == NOTHING


def test_short_runs_are_real_where_registers_count() -> None:
    assert check_identifier("registration_number", "SC123456", "GB").value == "GB:SC123456"
    assert check_identifier("cik", "1234567").value == "0001234567"


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("value", ["", " ", "\t\n"])
def test_blank_is_missing(kind: str, value: str) -> None:
    assert check_identifier(kind, value) == Checked("", State.MISSING)


@pytest.mark.parametrize("kind", ["vat", "registration_number"])
def test_a_national_number_without_country_is_no_key(kind: str) -> None:
    assert check_identifier(kind, "143454214") == Checked("", State.UNCHECKED)


def test_an_unknown_kind_is_an_error() -> None:
    with pytest.raises(KeyError):
        check_identifier("duns", "150483782")


def _leis() -> st.SearchStrategy[str]:
    stem = st.text(alphabet=ALPHANUMERIC, min_size=18, max_size=18)
    return stem.map(lambda s: s + mod_97_10.calc_check_digits(s))


def _isins() -> st.SearchStrategy[str]:
    number = st.text(alphabet=ALPHANUMERIC, min_size=9, max_size=9)
    return st.builds(isin.from_natid, st.sampled_from(["US", "GB", "DE", "FR", "XS", "JP"]), number)


def _cusips() -> st.SearchStrategy[str]:
    return st.text(alphabet=ALPHANUMERIC, min_size=8, max_size=8).map(lambda s: s + cusip.calc_check_digit(s))


def _sedols() -> st.SearchStrategy[str]:
    old = st.text(alphabet=string.digits, min_size=6, max_size=6)
    new = st.builds(
        str.__add__,
        st.sampled_from([c for c in CONSONANTS if c.isalpha()]),
        st.text(alphabet=CONSONANTS, min_size=5, max_size=5),
    )
    return (old | new).map(lambda s: s + sedol.calc_check_digit(s))


CHECKED = st.one_of(
    *(st.tuples(st.just(kind), values) for kind, values in
      (("lei", _leis()), ("isin", _isins()), ("cusip", _cusips()), ("sedol", _sedols())))
)  # fmt: skip


@given(CHECKED)
def test_the_normal_form_is_a_fixed_point(case: tuple[str, str]) -> None:
    kind, value = case
    assert check_identifier(kind, value) in (Checked(value, State.VALID), NOTHING)


@given(CHECKED, st.sets(st.integers(1, 20)), st.sampled_from([" ", "-", " - "]))
def test_formatting_does_not_matter(case: tuple[str, str], places: set[int], mark: str) -> None:
    kind, value = case
    formatted = "".join((mark if i in places else "") + c for i, c in enumerate(value)).lower()
    assert check_identifier(kind, formatted) == check_identifier(kind, value)


@given(CHECKED, st.data())
def test_a_changed_character_never_gives_the_same_key(case: tuple[str, str], data: st.DataObject) -> None:
    kind, value = case
    place = data.draw(st.integers(0, len(value) - 1))
    other = data.draw(st.sampled_from([c for c in ALPHANUMERIC if c != value[place]]))
    assert check_identifier(kind, value[:place] + other + value[place + 1 :]).value != value


@given(_leis(), st.data())
def test_a_changed_letter_or_digit_breaks_an_lei(lei: str, data: st.DataObject) -> None:
    # Only a digit for a letter can hide: it shifts all digits before it, and 1 in 97 such changes keeps the remainder.
    place = data.draw(st.integers(0, 19))
    alphabet = string.digits if lei[place].isdigit() else string.ascii_uppercase
    other = data.draw(st.sampled_from([c for c in alphabet if c != lei[place]]))
    changed = check_identifier("lei", lei[:place] + other + lei[place + 1 :])
    assert changed in (BAD, NOTHING)


@given(_isins(), st.sampled_from(ALPHANUMERIC))
def test_the_isin_check_agrees_with_stdnum(value: str, last: str) -> None:
    for text in (value, value[:-1] + last, "ZZ" + value[2:]):
        if check_identifier("isin", text) != NOTHING:
            assert bool(check_identifier("isin", text).value) == isin.is_valid(text)


@given(st.sampled_from(KINDS), st.text(max_size=30), st.sampled_from(["", "DE", "GB", "US", "FR", "XX"]))
def test_any_text_has_a_state_and_only_usable_ones_a_value(kind: str, value: str, country: str) -> None:
    checked = check_identifier(kind, value, country)
    assert not checked.value or checked.state in (State.VALID, State.UNCHECKED)
    assert not set(checked.value) & set(string.whitespace)
    if checked.value:
        assert check_identifier(kind, checked.value, country).value == checked.value


def checked(country: list[str] | None = None, **columns: list[object]) -> pd.DataFrame:
    rows = len(next(iter(columns.values())))
    table = pd.DataFrame(columns, dtype=object)
    return check_identifiers(table, np.array(country or [""] * rows, dtype=object))


def test_the_table_has_three_text_columns_for_each_kind_and_the_index_of_the_input() -> None:
    table = pd.DataFrame({"lei": ["HWUPKR0MPOU8FGXBT394", None]}, index=[7, 3], dtype=object)
    out = check_identifiers(table, np.array(["", ""], dtype=object))
    assert list(out) == [column for kind in KINDS for column in (kind, f"{kind}_state", f"{kind}_bad")]
    assert out.index.tolist() == [7, 3]
    assert out.map(lambda cell: type(cell) is str).to_numpy().all()
    assert out["lei"].tolist() == ["HWUPKR0MPOU8FGXBT394", ""]
    assert (out[[c for c in out if not c.startswith("lei")]] == "").to_numpy().all()


@pytest.mark.parametrize("kind", KINDS)
def test_missing_is_neither_usable_nor_bad(kind: str) -> None:
    values = [None, np.nan, float("nan"), pd.NA, "", " ", "nan", "None", "<NA>"]
    out = checked(["US"] * len(values), **{kind: values})
    assert (out[kind] == "").all()
    assert (out[f"{kind}_bad"] == "").all()
    assert out[f"{kind}_state"].tolist() == [""] * 6 + ["placeholder"] * 3
    assert identifier_keys(out).empty


def test_an_empty_table_stays_empty() -> None:
    out = check_identifiers(pd.DataFrame({"lei": []}, dtype=object), np.array([], dtype=object))
    assert len(out) == 0
    assert identifier_keys(out).empty


@pytest.mark.parametrize("mark", ["|", ";", ",", "\n", " | ", "; ", ", "])
def test_a_cell_may_hold_several_values(mark: str) -> None:
    out = checked(isin=[mark.join(["DE0007164600", "bad one", "JP3633400001", "de0007164600", "n/a"])])
    assert out["isin"].tolist() == ["DE0007164600 JP3633400001"]
    assert out["isin_state"].tolist() == ["valid"]
    assert out["isin_bad"].tolist() == ["bad one"]


@pytest.mark.parametrize(
    ("cell", "state", "bad"),
    [
        ("03783310|037833101|N/A", "unchecked", "037833101"),
        ("N/A|037833101|037833102", "invalid", "037833101 037833102"),
        ("N/A|TBD", "placeholder", ""),
        (" | ", "", ""),
    ],
)
def test_the_state_of_a_cell_is_the_best_of_its_values(cell: str, state: str, bad: str) -> None:
    out = checked(cusip=[cell])
    assert out["cusip_state"].tolist() == [state]
    assert out["cusip_bad"].tolist() == [bad]


def test_commas_of_a_formatted_number_separate_nothing() -> None:
    assert checked(cik=["1,318,605", "320193,789019", "3,2E+05"])["cik"].tolist() == [
        "0001318605",
        "0000320193 0000789019",
        "",
    ]
    out = checked(["DE"], registration_number=["HRB 6684, Amtsgericht München"])
    assert out["registration_number"].tolist() == ["DE:MUNCHEN_HRB_6684"]
    assert out["registration_number_bad"].tolist() == [""]


def test_the_same_national_number_in_two_countries_is_two_keys() -> None:
    out = checked(["GB", "KY", ""], registration_number=["02345679"] * 3)
    assert out["registration_number"].tolist() == ["GB:02345679", "KY:02345679", ""]
    assert out["registration_number_state"].tolist() == ["unchecked"] * 3


@pytest.mark.parametrize(
    ("value", "cusips", "sedols"),
    [
        ("US0378331005", "037833100", ""),  # Apple
        ("CA0641491075", "064149107", ""),
        ("BMG0450A1053", "G0450A105", ""),
        ("KYG5479M1050", "G5479M105", ""),
        ("PA1436583006", "143658300", ""),
        ("AN8068571086", "806857108", ""),
        ("GB00BH4HKS39", "", "BH4HKS3"),  # Vodafone
        ("IE00B4BNMY34", "", "B4BNMY3"),
        ("JE00B4T3BW64", "", "B4T3BW6"),
        ("DE0007164600", "", ""),
        ("LR0008862868", "", ""),
        ("US0378331006", "", ""),  # invalid: nothing to derive from
    ],
)
def test_an_isin_holds_a_cusip_or_a_sedol(value: str, cusips: str, sedols: str) -> None:
    out = checked(isin=[value])
    assert out["cusip"].tolist() == [cusips]
    assert out["sedol"].tolist() == [sedols]
    assert out["cusip_state"].tolist() == ["valid" if cusips else ""]


def test_derived_values_follow_the_given_ones_and_do_not_repeat_them() -> None:
    out = checked(isin=["US0378331005|US5949181045"] * 3, cusip=["594918104", "037833101", "03783310"])
    assert out["cusip"].tolist() == ["594918104 037833100", "037833100 594918104", "037833100 594918104"]
    assert out["cusip_state"].tolist() == ["valid"] * 3
    assert out["cusip_bad"].tolist() == ["", "037833101", ""]


def test_a_vat_number_gives_the_registration_number() -> None:
    out = checked(["", "CH"], vat=["FR59542051180", "105.909.036"], registration_number=["FR:775670417", None])
    assert out["registration_number"].tolist() == ["FR:775670417 FR:542051180", "CH:CHE105909036"]


def test_keys_are_one_row_for_each_usable_value_in_order() -> None:
    table = checked(
        ["", "US", ""],
        isin=["US0378331005", None, "JP3633400001;DE0007164600"],
        lei=["HWUPKR0MPOU8FGXBT394", "HWUPKR0MPOU8FGXBT395", None],
        cik=["320193", "0", None],
    )
    keys = identifier_keys(table)
    assert keys["row"].dtype == np.int64
    assert keys.to_numpy().tolist() == [
        [0, "lei", "HWUPKR0MPOU8FGXBT394"],
        [0, "isin", "US0378331005"],
        [0, "cusip", "037833100"],
        [0, "cik", "0000320193"],
        [2, "isin", "JP3633400001"],
        [2, "isin", "DE0007164600"],
    ]


def test_rows_do_not_influence_each_other() -> None:
    values = ["HWUPKR0MPOU8FGXBT394", None, "HWUPKR0MPOU8FGXBT395", "HWUPKR0MPOU8FGXBT394", "N/A"]
    together = checked(lei=values)
    for position, value in enumerate(values):
        assert together.iloc[position].tolist() == checked(lei=[value]).iloc[0].tolist()
