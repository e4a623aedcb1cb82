"""The table of names: keys that are equal for equal names only, and one row for each text."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from em_core.text.fold import fold
from em_core.text.name_table import compact, name_table, search_texts
from em_core.text.names import ParsedName, parse_name

ANY = settings(deadline=None, max_examples=80)
COLUMNS = [*ParsedName._fields, "written", "compact", "search", "core_key", "name_key"]

PARTS = (
    "Acme ACME Beta the of Ltd Limited Inc AG S.A. GmbH Holding Group Fund II 3 Class A (UK) India liquidation ORD USD0.20 dba formerly "
    "c/o /DE/ ООО Ромашка 株式会社 AB ab"
).split()
NAME = st.one_of(st.none(), st.text(max_size=30), st.lists(st.sampled_from(PARTS), max_size=6).map(" ".join))


def array(*texts: str | None) -> np.ndarray:
    """(n,) objects."""
    out = np.empty(len(texts), dtype=object)
    out[:] = texts
    return out


def keys(text: str | None) -> tuple[str, str]:
    """(name key, core key) of one text."""
    row = name_table(array(text)).iloc[0]
    return row["name_key"], row["core_key"]


@given(st.lists(NAME, max_size=8))
@ANY
def test_one_row_for_each_text(texts: list[str | None]) -> None:
    table = name_table(array(*texts))
    assert sorted(table.columns) == sorted(COLUMNS) and len(table) == len(texts)
    assert table["written"].tolist() == [text or "" for text in texts]
    for row, text in zip(table.to_dict("records"), texts, strict=True):
        parsed = parse_name(text or "")
        assert all(row[field] == value for field, value in parsed._asdict().items())
        assert row["compact"] == compact(parsed.core)
        assert bool(row["name_key"]) == bool(row["core_key"]) == bool(fold(text or ""))
        assert row["name_key"] in ("", f"{row['core_key']}|{parsed.form}")
        alone = name_table(array(text)).iloc[0]
        assert all(alone[column] == row[column] for column in COLUMNS)


@given(st.lists(NAME, max_size=8))
@ANY
def test_equal_whole_names_are_equal_names(texts: list[str | None]) -> None:
    table = name_table(array(*texts))
    named = table[table["name_key"] != ""]
    assert (named.groupby("name_key")[["core_key", "compact", "form"]].nunique() <= 1).all(axis=None)
    assert search_texts(texts).tolist() == table["search"].tolist()


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Acme Steel Ltd", "ACME-STEEL LIMITED"),
        ("Acme Steel Ltd", "AcmeSteel Ltd."),
        ("Acme Ltd", "The Acme Ltd"),
        ("Acme Ltd", "Acme Ltd Class A"),
        ("Acme Ltd", "Acme Ltd CL B"),
        ("Acme Ltd", "Acme Ltd ORD USD0.20"),
        ("Acme Ltd", "Acme Ltd in liquidation"),
        ("Acme Ltd", "Acme Ltd (formerly Beta Ltd)"),
        ("Acme Corp", "ACME CORP /DE/"),
        ("Acme (UK) Ltd", "Acme UK Limited"),
        ("Acme No. 2 Ltd", "Acme II Ltd"),
        ("Acme Hldgs plc", "Acme Holdings plc"),
    ],
)
def test_what_makes_no_other_name(one: str, other: str) -> None:
    assert keys(one) == keys(other)


@pytest.mark.parametrize(
    ("one", "other", "core_differs"),
    [
        ("Acme Ltd", "Acme plc", False),
        ("Acme Ltd", "Acme", False),
        ("Acme Ltd", "Acme Holding Ltd", True),
        ("Acme Ltd", "Acme Group Ltd", True),
        ("Acme Ltd", "Acme (UK) Ltd", True),
        ("Acme No 1 Ltd", "Acme No 2 Ltd", True),
        ("Acme AG", "Acme AG, London Branch", True),
        ("Acme Growth Fund", "Acme Growth", True),
        ("Acme", "Beta", True),
    ],
)
def test_what_makes_another_name(one: str, other: str, core_differs: bool) -> None:
    (name, core), (other_name, other_core) = keys(one), keys(other)
    assert name != other_name
    assert (core != other_core) is core_differs


@pytest.mark.parametrize("text", [None, "", " ", "!!!", "😀"])
def test_without_a_name_there_is_no_key(text: str | None) -> None:
    assert keys(text) == ("", "")
    assert search_texts([text]).tolist() == [""]


@pytest.mark.parametrize(
    ("text", "search"),
    [
        ("Acme Steel Ltd", "acme steel ltd"),
        ("Acme Steel Limited ORD USD0.20", "acme steel ltd"),
        ("Acme (UK) Ltd", "acme gb ltd"),
        ("Acme No. 2 Holdings plc", "acme holding 2 plc"),
        ("Acme Ltd (formerly Beta Foods Inc)", "acme ltd beta foods inc"),
        ("Acme Ltd c/o Beta Foods Inc", "acme ltd"),
        ("Acme", "acme"),
    ],
)
def test_what_retrieval_compares(text: str, search: str) -> None:
    assert search_texts([text]).tolist() == [search]


def test_an_empty_table_has_its_columns() -> None:
    table = name_table(array())
    assert sorted(table.columns) == sorted(COLUMNS) and len(table) == 0
    assert len(search_texts([])) == 0


def test_a_share_class_makes_another_entity_of_a_fund_only() -> None:
    a, c = name_table(np.array(["Templeton Growth Fund Class A", "Templeton Growth Fund Class C"], dtype=object))[
        "name_key"
    ]
    one, other = name_table(np.array(["Alphabet Inc CL A", "Alphabet Inc"], dtype=object))["name_key"]
    assert a != c and one == other
