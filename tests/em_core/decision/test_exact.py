"""The exact stage: checked identifiers, unique names, conflicts and ties."""

from __future__ import annotations

import pandas as pd
import pytest

from em_core.decision.exact import ExactStage, names_differ
from em_core.schema import prepare_reference, prepare_source
from em_core.text.fold import fold_all
from em_core.text.profile import profile

APPLE, MICROSOFT = "HWUPKR0MPOU8FGXBT394", "INR2EJN1ERAN0W5ZP974"
MASTER = pd.DataFrame(
    [
        ("apple", "Apple Inc.", APPLE, "037833100", "US", "AAPL"),
        ("bank", "Apple Bank for Savings", None, None, "US", None),
        ("msft", "Microsoft Corporation", MICROSOFT, "594918104", "US", "MSFT"),
        ("orange-fr", "Orange S.A.", None, None, "FR", None),
        ("orange-pl", "Orange S.A.", None, None, "PL", None),
        ("rio-plc", "Rio Tinto plc", None, None, "GB", None),
        ("rio-ltd", "Rio Tinto Ltd", None, None, "AU", None),
        ("twin-a", "Fund A", "969500TJ5KRTCJQWXH05", None, "FR", None),
    ],
    columns=["entity_id", "name", "lei", "cusip", "country", "ticker"],
)


@pytest.fixture(scope="module")
def stage() -> ExactStage:
    reference = prepare_reference(MASTER)
    return ExactStage.build(profile(reference), fold_all(reference["name"]), reference.index.to_numpy())


def look_up(stage: ExactStage, **record: str | None) -> tuple[str, str, str | None, str | None]:
    source = prepare_source(pd.DataFrame([{"source_id": "1", "name": None, **record}]), system="s")
    hits = stage(profile(source))
    ids = [*MASTER["entity_id"], None]
    return hits.state[0], hits.rung[0], ids[hits.entity[0]], ids[hits.other[0]]


def test_a_valid_identifier_hits(stage: ExactStage) -> None:
    assert look_up(stage, name="Apple", lei=APPLE) == ("hit", "LEI", "apple", None)
    assert look_up(stage, name="APPLE COMPUTER", cusip="037833100") == ("hit", "CUSIP", "apple", None)


def test_an_identifier_with_another_firms_name_is_a_conflict(stage: ExactStage) -> None:
    assert look_up(stage, name="Microsoft Corporation", lei=APPLE) == ("conflict", "LEI", "apple", "msft")


def test_two_identifiers_that_disagree_are_a_conflict(stage: ExactStage) -> None:
    assert look_up(stage, name="Apple Inc.", lei=APPLE, cusip="594918104") == ("conflict", "LEI", "apple", "msft")


def test_an_invalid_identifier_never_matches(stage: ExactStage) -> None:
    assert look_up(stage, name="Unheard of", lei=APPLE[:-1] + "5")[0] == ""
    assert look_up(stage, name="Unheard of", cusip="000000000")[0] == ""


def test_a_ticker_alone_is_no_hit(stage: ExactStage) -> None:
    assert look_up(stage, name="Apple Savings", ticker="AAPL")[0] == ""


def test_a_unique_whole_name_hits_and_a_shared_one_does_not(stage: ExactStage) -> None:
    assert look_up(stage, name="RIO TINTO PLC")[2] == "rio-plc"
    assert look_up(stage, name="Rio Tinto")[0] == ""
    assert look_up(stage, name="Orange S.A.")[0] == ""


def test_another_country_speaks_against_a_name(stage: ExactStage) -> None:
    assert look_up(stage, name="Apple Inc.", country="Germany")[0] == ""
    assert look_up(stage, name="Apple Inc.", country="USA")[1] == "NAME_UNIQUE"


def test_names_differ_is_symmetric_and_forgives_initials_and_blanks() -> None:
    left = ["microsoft", "ibm", "", "siemens", "general electric"]
    right = ["apple", "international business machines", "apple", "siemens energy", "ge"]
    assert names_differ(left, right).tolist() == [True, False, False, False, False]
    assert names_differ(right, left).tolist() == names_differ(left, right).tolist()
