"""Identifiers count only when their check digits do."""

from __future__ import annotations

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from stdnum.iso7064 import mod_97_10

from em_core.text.identifiers import check_identifier, check_identifiers


@pytest.mark.parametrize(
    ("kind", "value", "clean"),
    [
        ("lei", "HWUPKR0MPOU8FGXBT394", "HWUPKR0MPOU8FGXBT394"),
        ("lei", " hwupkr0mpou8fgxbt394 ", "HWUPKR0MPOU8FGXBT394"),
        ("lei", "HWUPKR0MPOU8FGXBT395", None),
        ("isin", "us0378331005", "US0378331005"),
        ("isin", "US0378331006", None),
        ("cusip", "037833100", "037833100"),
        ("cusip", "037833101", None),
        ("cusip", "000000000", None),
        ("figi", "BBG000B9XRY4", "BBG000B9XRY4"),
        ("figi", "BBG000B9XRY5", None),
        ("lei", "nan", None),
        ("isin", "😀", None),
    ],
)
def test_check_digits(kind: str, value: str, clean: str | None) -> None:
    assert check_identifier(kind, value) == clean


@given(
    st.text(alphabet="ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789", min_size=18, max_size=18),
    st.integers(0, 17),
    st.integers(1, 35),
)
def test_one_changed_letter_breaks_an_lei(stem: str, place: int, step: int) -> None:
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
    lei = stem + mod_97_10.calc_check_digits(stem)
    other = alphabet[(alphabet.index(lei[place]) + step) % 36]
    changed = lei[:place] + other + lei[place + 1 :]
    if check_identifier("lei", lei) is not None:
        assert check_identifier("lei", changed) is None


def test_missing_is_neither_valid_nor_bad() -> None:
    frame = pd.DataFrame({"lei": [None, "X", "HWUPKR0MPOU8FGXBT394"], "isin": None, "cusip": None, "figi": None})
    checked = check_identifiers(frame)
    assert checked["lei"].isna().tolist() == [True, True, False]
    assert checked["lei_bad"].tolist() == [False, True, False]
    assert not checked[["isin_bad", "cusip_bad", "figi_bad"]].to_numpy().any()
