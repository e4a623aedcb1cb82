"""Profiles: one row for each record, empty text for what is missing, and no row depends on another."""

from __future__ import annotations

from typing import Any

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from em_core.schema import IDENTIFIERS, prepare_reference, prepare_source
from em_core.text.profile import profile

ROWS: list[dict[str, Any]] = [
    {
        "name": "Apple Inc.", "lei": "HWUPKR0MPOU8FGXBT394", "isin": "US0378331005", "country": "USA", "region": "California",
        "city": "Cupertino", "postal_code": "95014-2083", "ticker": "AAPL", "exchange": "NasdaqGS", "website": "https://www.apple.com/de",
        "industry": "Consumer Electronics",
    },
    {"name": "BASF SE", "country": "Deutschland", "region": "Rheinland-Pfalz", "city": "Ludwigshafen am Rhein", "postal_code": "67056"},
    {"name": "Studio 54 Fund 3", "cusip": "000000000", "lei": "HWUPKR0MPOU8FGXBT395"},
    {"name": "株式会社日立製作所", "country": "JP"},
    {"name": None},
    {"name": "Newco (formerly Oldco Ltd)", "country": "Nowhere", "website": "not a site", "region": "Some Region"},
]  # fmt: skip


def source(*rows: dict[str, Any]) -> pd.DataFrame:
    """A feed of these rows."""
    return prepare_source(pd.DataFrame([{"source_id": str(i), **row} for i, row in enumerate(rows)]), system="s")


def test_what_is_derived_from_a_full_record() -> None:
    row = profile(source(ROWS[0])).iloc[0]
    expected = {
        "core": "apple", "form": "inc", "name_key": "apple||inc", "core_key": "apple|", "country": "US", "subdivision": "US-CA",
        "city": "cupertino", "industry": "consumer electronics", "domain": "apple.com", "symbol": "AAPL", "venue_country": "US",
        "lei": "HWUPKR0MPOU8FGXBT394", "lei_state": "valid", "isin": "US0378331005", "cusip": "037833100", "numbers": "",
    }  # fmt: skip
    assert {column: row[column] for column in expected} == expected
    assert row["postal_code"] and row["venue"]


@pytest.mark.parametrize(
    ("name", "numbers"), [("Studio 54 7 Ltd", "54 7"), ("A1 B22", "1 22"), ("Foo Fund 3", ""), ("Foo", "")]
)
def test_numbers_are_those_of_the_core(name: str, numbers: str) -> None:
    assert profile(source({"name": name}))["numbers"].tolist() == [numbers]


def test_a_region_without_a_code_is_its_folded_text() -> None:
    rows = profile(source(ROWS[1], ROWS[5]))
    assert rows["subdivision"].tolist() == ["DE-RP", "some region"]
    assert rows["country"].tolist() == ["DE", ""]


def test_identifiers_carry_their_state_and_what_was_wrong() -> None:
    row = profile(source(ROWS[2])).iloc[0]
    assert (row["lei"], row["lei_state"], row["lei_bad"]) == ("", "invalid", "HWUPKR0MPOU8FGXBT395")
    assert (row["cusip"], row["cusip_state"], row["cusip_bad"]) == ("", "placeholder", "")


def test_missing_is_empty_text_everywhere() -> None:
    row = profile(source({"name": None})).iloc[0]
    texts = row.drop(["also", "script"])
    assert set(texts) == {""} and row["also"] == () and row["script"] == "Zyyy"


def test_every_value_is_text() -> None:
    table = profile(source(*ROWS)).drop(columns="also")
    assert {type(value) for column in table for value in table[column]} == {str}
    assert {name for kind in IDENTIFIERS for name in (kind, f"{kind}_state", f"{kind}_bad")} <= set(table.columns)


def test_both_sides_get_the_same_profile() -> None:
    rows = [row for row in ROWS if row["name"]]
    reference = prepare_reference(pd.DataFrame([{"entity_id": str(i), **row} for i, row in enumerate(rows)]))
    pd.testing.assert_frame_equal(profile(reference), profile(source(*rows)))


@settings(deadline=None, max_examples=15)
@given(st.lists(st.integers(0, len(ROWS) - 1), min_size=1, max_size=6))
def test_a_profile_does_not_depend_on_its_neighbours(order: list[int]) -> None:
    table = profile(source(*ROWS))
    frame = source(*(ROWS[i] for i in order))
    frame.index = pd.RangeIndex(5, 5 + len(frame))
    mine = profile(frame)
    assert mine.index.equals(frame.index)
    pd.testing.assert_frame_equal(mine.reset_index(drop=True), table.iloc[order].reset_index(drop=True))


def test_an_empty_table_has_all_columns() -> None:
    empty = profile(source(ROWS[0]).iloc[:0])
    assert list(empty.columns) == list(profile(source(ROWS[0])).columns) and len(empty) == 0
