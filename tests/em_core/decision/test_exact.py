"""The exact stage: every rung, conflicts with both sides named, ties and what settles them."""

from __future__ import annotations

from functools import cache

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from em_core.decision.exact import RUNGS, ExactHits, ExactStage
from em_core.schema import IDENTIFIERS, prepare_reference, prepare_source
from em_core.text.identifiers import KINDS
from em_core.text.profile import profile

APPLE, MICROSOFT = "HWUPKR0MPOU8FGXBT394", "INR2EJN1ERAN0W5ZP974"
COLUMNS = [
    "entity_id", "name", "aliases", "lei", "isin", "cusip", "figi", "cik", "country", "city", "ticker", "exchange", "website", "parent_id",
]  # fmt: skip
MASTER = pd.DataFrame(
    [
        ("apple", "Apple Inc.", ["Apple Computer"], APPLE, "US0378331005", None, "BBG000B9XRY4", "320193", "US", "Cupertino", "AAPL",
        "NasdaqGS",
         "https://www.apple.com", None),
        ("bank", "Apple Bank for Savings", [], None, None, None, None, None, "US", "New York", None, None, "applebank.com", None),
        ("msft", "Microsoft Corporation", [], MICROSOFT, None, "594918104", None, "789019", "US", "Redmond", "MSFT", "NMS",
        "microsoft.com", None),
        ("orange-fr", "Orange S.A.", [], None, None, None, None, None, "FR", "Paris", "ORA", "PAR", "orange.com", None),
        ("orange-pl", "Orange S.A.", [], None, None, None, None, None, "PL", "Warszawa", None, None, None, "orange-fr"),
        ("rio-plc", "Rio Tinto plc", [], None, None, None, None, None, "GB", "London", "RIO", "LSE", "riotinto.com", None),
        ("rio-ltd", "Rio Tinto Ltd", [], None, None, None, None, None, "AU", "Melbourne", "RIO", "ASX", "riotinto.com", None),
        ("mobico", "Mobico Group PLC", ["National Express Group plc"], None, None, None, None, None, "GB", "Birmingham", "MCG", "LSE",
        None, None),
        ("heineken", "Heineken N.V.", [], None, "NL0000009165", None, None, None, "NL", "Amsterdam", "HEIA", "AMS", None, "heineken-h"),
        ("heineken-h", "Heineken Holding N.V.", [], None, "NL0000008977", None, None, None, "NL", "Amsterdam", "HEIO", "AMS", None, None),
        ("kla", "KLA Corporation (formerly KLA-Tencor Corporation)", [], None, None, None, None, None, "US", "Milpitas", "KLAC", "NMS",
        None, None),
        ("twin-1", "Twin Fund", [], "969500TJ5KRTCJQWXH05", None, None, None, None, "FR", "Lyon", None, None, None, None),
        ("twin-2", "Twin Fund", [], None, None, None, None, None, "FR", "Nice", None, None, None, None),
    ],
    columns=COLUMNS,
)  # fmt: skip


@cache
def whole_stage() -> ExactStage:
    reference = prepare_reference(MASTER)
    return ExactStage.build(profile(reference), reference["aliases"])


def outcomes(rows: list[int]) -> ExactHits:
    """What the stage says of records that carry everything these rows of the master hold."""
    feed = MASTER.iloc[rows].drop(columns=["entity_id", "parent_id", "aliases"])
    feed = feed.assign(source_id=[str(i) for i in range(len(rows))])
    return whole_stage()(profile(prepare_source(feed, system="s")))


@cache
def outcome_alone(row: int) -> ExactHits:
    return outcomes([row])


@pytest.fixture(scope="module")
def stage() -> ExactStage:
    return whole_stage()


def walk(stage: ExactStage, **record: str | None) -> ExactHits:
    source = prepare_source(pd.DataFrame([{"source_id": "1", "name": None, **record}]), system="s")
    return stage(profile(source))


def look_up(stage: ExactStage, **record: str | None) -> tuple[str, str, str | None, str | None]:
    hits = walk(stage, **record)
    ids = [*MASTER["entity_id"], None]
    return hits.state[0], hits.rung[0], ids[hits.entity[0]], ids[hits.other[0]]


def test_the_contract_and_the_ladder_know_the_same_identifiers() -> None:
    assert KINDS == IDENTIFIERS


@pytest.mark.parametrize(
    ("record", "rung", "entity"),
    [
        ({"name": "Apple", "lei": APPLE}, "LEI", "apple"),
        ({"name": "Apple", "lei": "hwup krom pou8 fgxb t394".replace("o", "0", 1)}, "LEI", "apple"),
        ({"name": "APPLE COMPUTER", "isin": "US0378331005"}, "ISIN", "apple"),
        ({"name": "APPLE", "cusip": "037833100"}, "CUSIP", "apple"),  # the reference has the ISIN alone
        ({"name": "MICROSOFT CORP", "isin": "US5949181045"}, "CUSIP", "msft"),  # and here the CUSIP alone
        ({"name": "Apple", "cik": "0000320193"}, "CIK", "apple"),
        ({"name": "Apple", "figi": "BBG000B9XRY4"}, "FIGI", "apple"),
        ({"name": "APPLE INC NOTES 2030", "cusip": "037833EH9"}, "CUSIP_ISSUER", "apple"),
        ({"name": "MICROSOFT", "ticker": "MSFT", "exchange": "XNAS"}, "TICKER_EXCHANGE", "msft"),
        ({"name": "MICROSOFT", "ticker": "MSFT US Equity"}, "TICKER_EXCHANGE", "msft"),
        ({"name": "Microsoft", "ticker": "MSFT", "country": "USA"}, "TICKER_COUNTRY", "msft"),
        ({"name": "Rio Tinto", "ticker": "RIO", "exchange": "London Stock Exchange"}, "TICKER_EXCHANGE", "rio-plc"),
        ({"name": "Apple", "website": "http://shop.apple.com/de"}, "DOMAIN_NAME", "apple"),
        ({"name": "ORANGE SA", "country": "France"}, "NAME_COUNTRY", "orange-fr"),
        ({"name": "MICROSOFT CORP. ORD USD0.01"}, "NAME_UNIQUE", "msft"),
        ({"name": "RIO TINTO PUBLIC LIMITED COMPANY"}, "NAME_UNIQUE", "rio-plc"),
        ({"name": "National Express Group PLC", "country": "GB"}, "ALIAS_COUNTRY", "mobico"),
        ({"name": "National Express Group PLC"}, "ALIAS_UNIQUE", "mobico"),
        ({"name": "KLA-Tencor Corp"}, "ALIAS_UNIQUE", "kla"),
        ({"name": "Newco Ltd (formerly Microsoft Corporation)"}, "ALIAS_UNIQUE", "msft"),
        ({"name": "Rio Tinto", "country": "AU"}, "CORE_COUNTRY", "rio-ltd"),
        ({"name": "MICROSOFT"}, "CORE_UNIQUE", "msft"),
    ],
)
def test_every_rung(stage: ExactStage, record: dict[str, str], rung: str, entity: str) -> None:
    assert look_up(stage, **record) == ("hit", rung, entity, None)


@pytest.mark.parametrize(
    ("record", "first", "second"),
    [
        ({"name": "Microsoft Corporation", "lei": APPLE}, "apple", "msft"),
        ({"name": "Apple Inc.", "lei": APPLE, "cusip": "594918104"}, "apple", "msft"),
        ({"name": "Apple Inc.", "isin": "US0378331005", "lei": MICROSOFT}, "msft", "apple"),
        ({"name": "Volkswagen AG", "lei": APPLE}, "apple", None),
        ({"name": "Apple Bank for Savings", "lei": APPLE}, "apple", "bank"),
        ({"name": "Heineken Holding NV", "isin": "NL0000009165"}, "heineken", "heineken-h"),
    ],
)
def test_a_conflict_names_both_sides(stage: ExactStage, record: dict[str, str], first: str, second: str | None) -> None:
    state, _, entity, other = look_up(stage, **record)
    assert (state, entity, other) == ("conflict", first, second)
    assert walk(stage, **record).why[0]


@pytest.mark.parametrize(
    "record",
    [
        {"name": "Unheard of", "lei": APPLE[:-1] + "5"},
        {"name": "Unheard of", "cusip": "000000000"},
        {"name": "Unheard of", "lei": "549300XXXXXXXXXXXXXX"},
        {"name": "Apple Savings", "ticker": "AAPL"},
        {"name": "Apple Bank of Nowhere", "ticker": "AAPL", "exchange": "NMS"},
        {"name": "Volkswagen", "ticker": "MSFT", "exchange": "NMS"},
        {"name": "Limited"},
        {"name": "CORP"},
        {"name": "Microsoft GmbH"},
        {"name": "Rio Tinto NV"},
        {"name": "Apple Inc.", "country": "Germany"},
        {"name": "", "ticker": "NAN"},
    ],
)
def test_what_is_no_hit(stage: ExactStage, record: dict[str, str]) -> None:
    assert look_up(stage, **record)[0] == ""


def test_several_entities_on_a_rung_are_a_tie_unless_an_attribute_settles_it(stage: ExactStage) -> None:
    assert look_up(stage, name="Orange S.A.") == ("ambiguous", "NAME_UNIQUE", "orange-fr", "orange-pl")
    assert look_up(stage, name="Rio Tinto") == ("ambiguous", "CORE_UNIQUE", "rio-plc", "rio-ltd")
    assert look_up(stage, name="Twin Fund", country="FR") == ("ambiguous", "NAME_COUNTRY", "twin-1", "twin-2")
    hits = walk(stage, name="Twin Fund", country="FR", city="Nice, Cedex 2")
    assert (hits.state[0], hits.entity[0], hits.notes["NAME_COUNTRY"][0]) == (
        "hit",
        12,
        "country, whole name, name, city",
    )
    assert look_up(stage, name="Twin Fund", lei="969500TJ5KRTCJQWXH05")[2] == "twin-1"


def test_the_alias_that_hit_is_kept(stage: ExactStage) -> None:
    assert walk(stage, name="National Express Group PLC").notes["ALIAS_UNIQUE"][0] == "National Express Group plc"


def test_an_identifier_with_the_entitys_former_name_is_no_conflict(stage: ExactStage) -> None:
    reference = prepare_reference(MASTER.assign(lei=[APPLE if e == "mobico" else None for e in MASTER["entity_id"]]))
    there = ExactStage.build(profile(reference), reference["aliases"])
    assert look_up(there, name="National Express Group", lei=APPLE)[:3] == ("hit", "LEI", "mobico")
    assert look_up(there, name="Volkswagen", lei=APPLE)[0] == "conflict"


def test_only_allowed_rungs_decide(stage: ExactStage) -> None:
    hits = walk(stage, name="Microsoft", ticker="MSFT", exchange="NMS", country="US")
    assert hits.first(["TICKER_COUNTRY", "CORE_COUNTRY"])[0][0] == "TICKER_COUNTRY"
    assert hits.first(["CORE_COUNTRY", "LEI"])[0][0] == "CORE_COUNTRY"
    rung, entity = hits.first([])
    assert (rung[0], entity[0]) == ("", -1)


def test_a_hidden_entity_is_not_found(stage: ExactStage) -> None:
    source = prepare_source(pd.DataFrame([{"source_id": "1", "name": "Microsoft", "lei": MICROSOFT}]), system="s")
    assert stage(profile(source), np.array([2])).state[0] == ""


@settings(deadline=None, max_examples=40)
@given(st.lists(st.sampled_from(range(len(MASTER))), min_size=1, max_size=6))
def test_a_record_s_outcome_does_not_depend_on_its_neighbours(rows: list[int]) -> None:
    whole = outcomes(rows)
    assert whole.ladder.shape == (len(rows), len(RUNGS))
    for position, row in enumerate(rows):
        alone = outcome_alone(row)
        assert (alone.ladder[0] == whole.ladder[position]).all()
        assert (alone.state[0], alone.entity[0]) == (whole.state[position], whole.entity[position])
        assert whole.entity[position] == row or whole.state[position] == "ambiguous"
