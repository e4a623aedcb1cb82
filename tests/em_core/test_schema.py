"""The contracts' doors: any header and any kind of missing in, one shape out, bad input refused in one sentence."""

from __future__ import annotations

import string
from decimal import Decimal

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from em_core.errors import UserError
from em_core.schema import (
    ATTRIBUTES,
    DECISIONS,
    REFERENCE,
    RESULT,
    RESULT_SCHEMA,
    SOURCE,
    STAGES,
    TRUTH,
    check_contract,
    map_columns,
    missing_to_none,
    prepare_reference,
    prepare_results,
    prepare_source,
    prepare_truth,
)

CAPITAL_IQ = [
    "CIQ ID",
    "Company Name",
    "Primary Ticker",
    "Primary Exchange",
    "Country Code",
    "State",
    "Zip Code",
    "Website",
]
GLEIF = [
    "LEI",
    "Entity.LegalName",
    "Entity.LegalAddress.FirstAddressLine",
    "Entity.LegalAddress.City",
    "Entity.LegalAddress.Region",
    "Entity.LegalAddress.Country",
    "Entity.LegalAddress.PostalCode",
]


def reference(**columns: list[object]) -> pd.DataFrame:
    return pd.DataFrame({"entity_id": ["1", "2"], "name": ["A", "B"], **columns})


# --- contracts -------------------------------------------------------------------------------------------------------


def test_contracts_agree_with_each_other() -> None:
    assert RESULT_SCHEMA.names == list(RESULT.columns)
    for contract in (REFERENCE, SOURCE, RESULT, TRUTH):
        assert set(contract.key) <= set(contract.columns)
        assert set(contract.required) <= set(contract.columns)
        assert all(meaning.strip() for meaning in contract.columns.values())
    assert set(ATTRIBUTES) - {"parent_id"} <= set(SOURCE.columns)
    assert DECISIONS == ("auto_match", "review", "no_match")
    assert "none" in STAGES


# --- headers ---------------------------------------------------------------------------------------------------------


def test_capital_iq_headers_map_by_themselves() -> None:
    assert map_columns(CAPITAL_IQ, REFERENCE) == {
        "entity_id": "CIQ ID",
        "name": "Company Name",
        "ticker": "Primary Ticker",
        "exchange": "Primary Exchange",
        "country": "Country Code",
        "region": "State",
        "postal_code": "Zip Code",
        "website": "Website",
    }
    assert map_columns(["ciq_id", "company_name", "ticker"], REFERENCE) == {
        "entity_id": "ciq_id",
        "name": "company_name",
        "ticker": "ticker",
    }


def test_gleif_headers_map_and_the_lei_is_the_key() -> None:
    assert map_columns(GLEIF, REFERENCE) == {
        "entity_id": "LEI",
        "lei": "LEI",
        "name": "Entity.LegalName",
        "address": "Entity.LegalAddress.FirstAddressLine",
        "city": "Entity.LegalAddress.City",
        "region": "Entity.LegalAddress.Region",
        "country": "Entity.LegalAddress.Country",
        "postal_code": "Entity.LegalAddress.PostalCode",
    }
    assert "entity_id" not in map_columns(GLEIF, SOURCE)


@pytest.mark.parametrize("key", ["cik", "CIK", "cik_str"])
def test_sec_headers_map_by_themselves(key: str) -> None:
    frame = pd.DataFrame({key: [1045810, 320193], "ticker": ["NAN", "TRUE"], "title": ["NVIDIA CORP", "Apple Inc."]})
    prepared = prepare_reference(frame)
    assert prepared["entity_id"].tolist() == ["1045810", "320193"]
    assert prepared["ticker"].tolist() == ["NAN", "TRUE"]
    assert prepared["name"].tolist() == ["NVIDIA CORP", "Apple Inc."]


@pytest.mark.parametrize("header", ["Customer No.", "CUSTOMER_ID", "vendor id", "Id", "source-id", "Record ID"])
def test_source_keys_of_common_systems(header: str) -> None:
    assert map_columns([header, "Legal Name"], SOURCE) == {"source_id": header, "name": "Legal Name"}


def test_the_contracts_own_name_wins_over_a_known_header() -> None:
    columns = ["Company", "Title", "name", "id", "source_id"]
    found = map_columns(columns, SOURCE)
    assert found["name"] == "name"
    assert found["source_id"] == "source_id"


def test_no_header_serves_two_columns_unless_the_user_says_so() -> None:
    found = map_columns(["id", "company", "symbol", "market", "state"], SOURCE)
    assert len(set(found.values())) == len(found)
    both = map_columns(["id", "company"], SOURCE, {"name": "company", "aliases": "company"})
    assert both["name"] == both["aliases"] == "company"


def test_a_mapping_wins_and_frees_the_other_headers() -> None:
    found = map_columns(["name", "official", "id"], SOURCE, {"name": "official"})
    assert found["name"] == "official"
    assert "name" not in found.values()


@pytest.mark.parametrize(
    ("mapping", "words"), [({"nom": "name"}, "no reference column; known: entity_id"), ({"name": "Firma"}, "'Firma'")]
)
def test_a_wrong_mapping_is_refused(mapping: dict[str, str], words: str) -> None:
    with pytest.raises(UserError, match=words):
        prepare_reference(reference(), mapping)


@given(st.lists(st.text(max_size=8), max_size=12), st.sampled_from([REFERENCE, SOURCE, TRUTH]))
def test_any_headers_map_to_columns_and_headers_that_exist(headers: list[str], contract: object) -> None:
    found = map_columns(headers, contract)  # type: ignore[arg-type]
    assert set(found) <= set(contract.columns)  # type: ignore[attr-defined]
    assert set(found.values()) <= set(headers)


# --- missing values --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        pytest.param(pd.Series([None, np.nan, pd.NA, pd.NaT, "", "  ", "\u00a0\t"], dtype=object), [None] * 7, id="missing"),
        pytest.param(pd.Series(["NAN", "nan", "None", "NA", "0", " x "]), ["NAN", "nan", "None", "NA", "0", "x"], id="text"),
        pytest.param(pd.Series([1.0, np.nan, 2.5, 1e16]), ["1", None, "2.5", "10000000000000000"], id="float"),
        pytest.param(pd.Series([123.0, "x", np.float64(7), 1.5, 8], dtype=object), ["123", "x", "7", "1.5", "8"], id="mixed"),
        pytest.param(pd.Series([2**62 + 1, None], dtype="Int64"), [str(2**62 + 1), None], id="large-int"),
        pytest.param(pd.Series([1.0, None], dtype="Float64"), ["1", None], id="nullable-float"),
        pytest.param(pd.Series([np.inf, -np.inf]), ["inf", "-inf"], id="infinite"),
        pytest.param(pd.Series(["a", None], dtype="string"), ["a", None], id="string-type"),
        pytest.param(pd.Series(["a", None, " "], dtype="category"), ["a", None, None], id="category"),
        pytest.param(pd.Series([True, None], dtype="boolean"), ["True", None], id="truth"),
        pytest.param(pd.Series([Decimal("10.50"), None], dtype=object), ["10.50", None], id="decimal"),
        pytest.param(pd.Series([], dtype=float), [], id="empty"),
    ],
)  # fmt: skip
def test_every_kind_of_missing_is_none_and_the_rest_is_text(values: pd.Series, expected: list[str | None]) -> None:
    out = missing_to_none(values)
    assert out.dtype == object
    assert out.tolist() == expected


def test_a_nul_character_is_a_blank() -> None:
    out = missing_to_none(pd.Series(["Acme\0GmbH", "\0", "Acme\0", "Acme"], dtype=object))
    assert out.tolist() == ["Acme GmbH", None, "Acme", "Acme"]


def test_missing_to_none_keeps_the_index_also_when_it_repeats() -> None:
    out = missing_to_none(pd.Series(["a", None, "b"], index=[7, 7, 3]))
    assert out.index.tolist() == [7, 7, 3]
    assert out.tolist() == ["a", None, "b"]


@given(st.lists(st.one_of(st.none(), st.text(max_size=6), st.floats(), st.integers(-(2**70), 2**70)), max_size=6))
def test_missing_to_none_is_idempotent(values: list[object]) -> None:
    once = missing_to_none(pd.Series(values, dtype=object))
    assert once.tolist() == missing_to_none(once).tolist()
    assert all(v is None or (v and v == v.strip()) for v in once)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("a|b; c ||", ["a", "b", "c"]),
        (["a", None, " ", " b ", np.nan, pd.NA], ["a", "b"]),
        (np.array(["a", None], dtype=object), ["a"]),
        (("a",), ["a"]),
        (None, []),
        (np.nan, []),
        (pd.NA, []),
        (pd.NaT, []),
        ("", []),
        (7.0, ["7"]),
        (42, ["42"]),
    ],
)
def test_aliases_are_lists_of_text(value: object, expected: list[str]) -> None:
    prepared = prepare_reference(reference(aliases=[value, None]))
    assert prepared["aliases"].tolist() == [expected, []]


# --- reference -------------------------------------------------------------------------------------------------------


def test_a_prepared_reference_has_the_whole_contract() -> None:
    frame = pd.DataFrame(
        {"junk": ["x", "y"], "Company Name": [" Acme ", "Beta"], "ciq_id": [10.0, 2.0], "zip": ["01234", None]},
        index=["r1", "r2"],
    )
    prepared = prepare_reference(frame)
    assert list(prepared.columns) == list(REFERENCE.columns)
    assert prepared.index.tolist() == [0, 1]
    assert prepared["entity_id"].tolist() == ["10", "2"]
    assert prepared["name"].tolist() == ["Acme", "Beta"]
    assert prepared["postal_code"].tolist() == ["01234", None]
    assert prepared["parent_id"].tolist() == [None, None]
    assert prepared["aliases"].tolist() == [[], []]
    prepared["aliases"].iloc[0].append("x")
    assert prepared["aliases"].iloc[1] == [], "rows share one list"


def test_preparing_twice_changes_nothing_and_the_input_stays() -> None:
    frame = reference(aliases=["a|b", None], lei=["", "5493001KJTIIGC8Y1R12"])
    before = frame.copy(deep=True)
    once = prepare_reference(frame)
    pd.testing.assert_frame_equal(frame, before)
    pd.testing.assert_frame_equal(once, prepare_reference(once))


def test_columns_without_names_can_be_mapped() -> None:
    prepared = prepare_reference(pd.DataFrame([["1", "Acme"]]), {"entity_id": "0", "name": "1"})
    assert prepared.loc[0, ["entity_id", "name"]].tolist() == ["1", "Acme"]


@pytest.mark.parametrize(
    ("frame", "words"),
    [
        (pd.DataFrame({"name": ["A"]}), ["master.csv", "no column for 'entity_id'", "it has: name", "mapping file"]),
        (pd.DataFrame({"x": ["A"]}), ["'entity_id' and 'name'"]),
        (pd.DataFrame(), ["no column for"]),
        (reference().iloc[:0], ["master.csv", "no rows"]),
        (reference(entity_id=["1", "1"]), ["row 2", "entity_id='1'", "1 row(s)"]),
        (reference(entity_id=[1.0, 1.0]), ["row 2", "entity_id='1'"]),
        (reference(entity_id=["1", " 1 "]), ["row 2", "entity_id='1'"]),
        (reference(entity_id=["1", " "]), ["row 2, column 'entity_id'", "missing"]),
        (reference(name=["A", None]), ["row 2, column 'name'", "missing"]),
        (pd.DataFrame([["1", "A", "2"]], columns=["entity_id", "name", "entity_id"]), ["'entity_id' appears twice"]),
    ],
)
def test_a_bad_reference_is_refused_in_one_sentence(frame: pd.DataFrame, words: list[str]) -> None:
    with pytest.raises(UserError) as caught:
        prepare_reference(frame, origin="master.csv")
    assert "\n" not in str(caught.value)
    for word in words:
        assert word in str(caught.value)


def test_the_count_of_repeated_keys_counts_only_them() -> None:
    frame = pd.DataFrame({"entity_id": ["1", "2", "1", "1"], "name": ["a", "b", "c", "d"]})
    with pytest.raises(UserError, match=r"row 3: duplicate key \(entity_id='1'\); 2 row\(s\)"):
        prepare_reference(frame)


def test_a_reference_of_one_row_is_fine() -> None:
    assert len(prepare_reference(reference().iloc[:1])) == 1


def test_what_is_no_text_is_refused_by_the_contract() -> None:
    prepared = prepare_reference(reference())
    prepared["lei"] = [1, 2]
    with pytest.raises(UserError, match="column 'lei'"):
        check_contract(prepared, REFERENCE, "reference", REFERENCE.required)
    with pytest.raises(UserError, match="reference"):
        check_contract(prepare_reference(reference()).assign(extra=None), REFERENCE, "reference", REFERENCE.required)


# --- source ----------------------------------------------------------------------------------------------------------


def test_blank_names_are_kept_as_rows() -> None:
    prepared = prepare_source(pd.DataFrame({"id": [1, 2, 3], "name": ["A", " ", None]}), system="crm")
    assert prepared["name"].tolist() == ["A", None, None]
    assert prepared["source_system"].tolist() == ["crm"] * 3
    assert list(prepared.columns) == list(SOURCE.columns)


def test_the_feeds_name_fills_only_what_the_table_lacks() -> None:
    frame = pd.DataFrame({"source_system": ["erp", None], "id": ["1", "1"], "name": ["A", "B"]})
    assert prepare_source(frame, system="crm")["source_system"].tolist() == ["erp", "crm"]
    with pytest.raises(UserError, match="row 2, column 'source_system'"):
        prepare_source(frame)


def test_a_feed_without_a_name_is_refused_with_the_remedy() -> None:
    with pytest.raises(UserError, match=r"feed.csv: no column 'source_system'.*name the feed"):
        prepare_source(pd.DataFrame({"id": ["1", "1"], "name": ["A", "B"]}), origin="feed.csv")


def test_one_id_in_two_feeds_is_no_duplicate() -> None:
    frame = pd.DataFrame({"source_system": ["a", "b", "a"], "id": ["1", "1", "1"], "name": ["A", "B", "C"]})
    assert len(prepare_source(frame.iloc[:2])) == 2
    with pytest.raises(UserError, match=r"row 3: duplicate key \(source_system='a', source_id='1'\); 1 row"):
        prepare_source(frame)


@settings(max_examples=50, deadline=None)
@given(
    st.dictionaries(
        st.text(string.ascii_letters + string.digits, min_size=1, max_size=5),
        st.one_of(st.none(), st.text(max_size=8), st.sampled_from(["🙂", "x" * 2000, "NAN", "\u200b"])),
        min_size=1,
        max_size=6,
    )
)
def test_no_source_row_is_dropped_or_moved(names: dict[str, str | None]) -> None:
    prepared = prepare_source(pd.DataFrame({"id": list(names), "name": list(names.values())}), system="s")
    assert prepared["source_id"].tolist() == list(names)
    assert prepared["name"].tolist() == [(name or "").replace("\0", " ").strip() or None for name in names.values()]


# --- truth -----------------------------------------------------------------------------------------------------------


def test_truth_knows_none_of_these() -> None:
    prepared = prepare_truth(pd.DataFrame({"source_id": ["1", "2"], "entity_id": ["E1", ""]}))
    assert prepared["entity_id"].tolist() == ["E1", None]
    assert prepared["source_system"].tolist() == [None, None]
    with pytest.raises(UserError, match=r"row 2: duplicate key"):
        prepare_truth(pd.DataFrame({"source_id": ["1", "1"], "entity_id": ["E1", "E2"]}))
    with pytest.raises(UserError, match=r"truth.csv: no column for 'entity_id'"):
        prepare_truth(pd.DataFrame({"source_id": ["1"]}), origin="truth.csv")
    with pytest.raises(UserError, match="row 1, column 'source_id'"):
        prepare_truth(pd.DataFrame({"source_id": [None], "entity_id": ["E1"]}))


# --- results ---------------------------------------------------------------------------------------------------------


def results(**columns: list[object]) -> pd.DataFrame:
    base: dict[str, list[object]] = {column: ["", ""] for column in RESULT.columns}
    base |= {
        "source_system": ["crm", "crm"],
        "source_id": ["1", "2"],
        "matched_entity_id": ["E1", ""],
        "decision": ["auto_match", "no_match"],
        "confidence": ["0.99", "0.1"],
        "stage": ["exact", "none"],
        "matched_at": ["2026-01-02T03:04:05.123456+00:00", "2026-01-02T03:04:06+00:00"],
    }
    return pd.DataFrame({**base, **columns})


def test_results_read_from_text_get_their_types_back() -> None:
    prepared = prepare_results(results())
    assert list(prepared.columns) == list(RESULT.columns)
    assert prepared["confidence"].tolist() == [0.99, 0.1]
    assert prepared["margin"].isna().all()
    assert prepared["margin"].dtype == float
    assert prepared["matched_entity_id"].tolist() == ["E1", None]
    assert str(prepared["matched_at"].dtype).endswith("UTC]")
    assert prepared["matched_at"].iloc[0] == pd.Timestamp("2026-01-02T03:04:05.123456Z")
    again = prepare_results(prepared)
    pd.testing.assert_frame_equal(again, prepared)


def test_results_may_be_empty_and_lack_times() -> None:
    assert prepare_results(results().iloc[:0]).empty
    assert prepare_results(results(matched_at=["", None]))["matched_at"].isna().all()


@pytest.mark.parametrize(
    ("frame", "words"),
    [
        (results().drop(columns="stage"), "not a results table, column 'stage' is missing"),
        (results(decision=["auto_match", "maybe"]), "row 2, column 'decision': not one of auto_match"),
        (results(decision=["auto_match", ""]), "row 2, column 'decision'"),
        (results(source_id=["1", "1"]), "row 2: duplicate key"),
        (results(source_id=["1", ""]), "row 2, column 'source_id': the value is missing"),
        (results(confidence=["0.9", "high"]), "column 'confidence': not a number: 'high' in row 2"),
        (results(confidence=["0.9", "0,5"]), "not a number: '0,5' in row 2"),
        (results(confidence=[0.9, 1.5]), "row 2, column 'confidence': not between 0 and 1"),
        (results(confidence=[-0.1, 0.5]), "row 1, column 'confidence': not between 0 and 1"),
        (results(matched_at=["2026-01-02", "yesterday"]), "column 'matched_at': not an ISO 8601 time: 'yesterday' in row 2"),
    ],
)  # fmt: skip
def test_bad_results_are_refused(frame: pd.DataFrame, words: str) -> None:
    with pytest.raises(UserError) as caught:
        prepare_results(frame, origin="out.csv")
    assert str(caught.value).startswith("out.csv")
    assert words in str(caught.value)


@pytest.mark.parametrize(
    ("headers", "key"),
    [
        (["id", "name", "lei"], "id"),
        (["LEI", "name"], "LEI"),
        (["Key", "name"], "Key"),
        (["id", "ciq_id", "name"], "ciq_id"),
    ],
)
def test_the_key_of_a_master(headers: list[str], key: str) -> None:
    assert map_columns(headers, REFERENCE)["entity_id"] == key
