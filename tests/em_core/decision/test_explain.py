"""Reasons and evidence: what a steward reads is what was compared, and never empty."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import cache
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from em_core.decision.contributions import FAMILIES, PARTS
from em_core.decision.decide import Decisions, decide, with_same_group
from em_core.decision.exact import RUNGS, ExactStage
from em_core.decision.explain import evidence, reasons, short_reasons
from em_core.decision.groups import group_ties
from em_core.decision.policy import DecisionPolicy, Evidence, PolicySettings
from em_core.retrieval.table import EntityTable
from em_core.schema import prepare_reference, prepare_source
from em_core.text.profile import profile

APPLE, MICROSOFT, OTHER = "HWUPKR0MPOU8FGXBT394", "INR2EJN1ERAN0W5ZP974", "969500TJ5KRTCJQWXH05"
MASTER = pd.DataFrame(
    [
        {"entity_id": "apple", "name": "Apple Inc.", "aliases": ["Apple Computer"], "lei": APPLE, "isin": "US0378331005", "country": "US",
         "city": "Cupertino", "website": "apple.com", "industry": "Electronics"},
        {"entity_id": "msft", "name": "Microsoft Corporation", "lei": MICROSOFT, "country": "US", "city": "Redmond"},
        {"entity_id": "orange-fr", "name": "Orange S.A.", "country": "FR", "city": "Paris"},
        {"entity_id": "orange-pl", "name": "Orange Polska S.A.", "country": "PL", "city": "Warszawa", "parent_id": "orange-fr"},
        {"entity_id": "orange-be", "name": "Orange Belgium S.A.", "country": "BE", "parent_id": "orange-fr"},
        {"entity_id": "heineken", "name": "Heineken N.V.", "country": "NL"},
        {"entity_id": "heineken-h", "name": "Heineken Holding N.V.", "country": "NL"},
        {"entity_id": "shared-1", "name": "Twin One Ltd", "isin": "GB0002634946"},
        {"entity_id": "shared-2", "name": "Twin Two Ltd", "isin": "GB0002634946"},
        {"entity_id": "mobico", "name": "Mobico Group PLC", "aliases": ["National Express Group plc"], "country": "GB"},
    ]
)  # fmt: skip
IDS: list[str] = MASTER["entity_id"].tolist()
# Every rule was right on 200 of 200 labelled records.
ALL_RUNGS = {code: Evidence.of(np.ones(200, dtype=bool), 0.95) for code in RUNGS}
POLICY = DecisionPolicy(
    settings=PolicySettings(), auto_threshold=0.9, review_threshold=0.3, auto_evidence=Evidence.of(np.ones(100, dtype=bool), 0.95),
    rungs=ALL_RUNGS, labels_from="labels",
)  # fmt: skip
NO_RUNGS = POLICY.model_copy(update={"rungs": {}})


@cache
def reference() -> pd.DataFrame:
    return prepare_reference(MASTER)


@cache
def master_rows() -> EntityTable:
    return EntityTable.of(reference())


@cache
def stage() -> ExactStage:
    return ExactStage.build(profile(reference()), reference()["aliases"])


class Told(NamedTuple):
    """What a steward reads about one record."""

    decision: str
    method: str
    reason: str
    evidence: dict[str, Any]


def tell_all(
    records: list[dict[str, str | None]],
    candidates: list[list[tuple[str, float]]],
    policy: DecisionPolicy = POLICY,
    clash: bool = False,
) -> list[Told]:
    """Decide and explain records, each with (entity, probability) of its candidates, the best first."""
    rows = [(q, IDS.index(e), place, p) for q, found in enumerate(candidates) for place, (e, p) in enumerate(found)]
    table = pd.DataFrame(rows, columns=["query", "entity", "rank", "p"])
    table = table.astype({"query": "int64", "entity": "int64", "rank": "int64", "p": "float64"})
    frame = pd.DataFrame([{"source_id": str(i), "name": None, **record} for i, record in enumerate(records)])
    described = profile(prepare_source(frame, system="s"))
    hits = stage()(described)
    nothing = np.full(len(table), np.nan)
    bad_input = (described["full"] == "").to_numpy()
    identifier = np.zeros(len(table)) if clash else nothing
    decisions = decide(policy, hits, table, table["p"].to_numpy(), nothing, identifier, bad_input)
    nearest = decisions.entity.copy()
    for query, found in enumerate(candidates):
        if nearest[query] < 0 and found and not bad_input[query]:
            nearest[query] = IDS.index(found[0][0])
    ties = group_ties(master_rows(), stage().lookups.entities, decisions.entity, decisions.runner_up)
    decisions = with_same_group(decisions, ties)
    said = evidence(described, master_rows(), stage(), hits, decisions, nearest, ties, {})
    why = reasons(master_rows(), decisions, hits, policy, nearest, ties)
    return [
        Told(decision, method, reason, json.loads(item))
        for decision, method, reason, item in zip(decisions.decision, decisions.method, why, said, strict=True)
    ]


def tell(*candidates: tuple[str, float], policy: DecisionPolicy = POLICY, clash: bool = False, **record: Any) -> Told:
    """`tell_all` for one record."""
    return tell_all([record], [list(candidates)], policy, clash)[0]


def test_an_exact_match_names_its_rule_and_the_labels_behind_it() -> None:
    told = tell(name="Apple", lei=APPLE, country="US", city="Cupertino", website="www.apple.com")
    assert (told.decision, told.method) == ("auto_match", "LEI")
    assert told.reason == "Same LEI as 'Apple Inc.'; this rule was right on 200 of 200 labelled records."
    assert told.evidence["entity_id"] == "apple"
    assert told.evidence["name"] == {
        "source": "Apple", "reference": "Apple Inc.", "similarity": 100, "relation": "the same name",
    }  # fmt: skip
    assert {told.evidence[k] for k in ("lei", "country", "city", "website")} == {"agrees"}


def test_missing_attributes_are_left_out() -> None:
    told = tell(name="Microsoft Corp", industry="Software", website="microsoft.com")
    assert set(told.evidence) == {"entity_id", "name", "legal form"}


def test_what_differs_is_said() -> None:
    told = tell(("apple", 0.5), name="Apple Inc", country="GB", city="London", industry="Fruit", lei=None)
    assert {k: v for k, v in told.evidence.items() if v == "differs"} == {
        "country": "differs", "city": "differs", "industry": "differs",
    }  # fmt: skip
    assert told.evidence["legal form"] == "agrees"


def test_another_security_contradicts_nothing_but_another_lei_does() -> None:
    told = tell(("apple", 0.5), name="Apple Incorporated", isin="DE0007164600", lei=OTHER, policy=NO_RUNGS)
    assert told.evidence["entity_id"] == "apple" and told.evidence["lei"] == "differs"
    assert "isin" not in told.evidence
    assert tell(name="Apple Inc", isin="US0378331005|US5949181045").evidence["isin"] == "agrees"


@pytest.mark.parametrize(
    ("name", "entity", "relation"),
    [
        ("Apple", "apple", "the same name"),
        ("Microsoft GmbH", "msft", "the same name with a legal form that excludes this one"),
        ("Heineken Nederland N.V.", "heineken", "the name of another member of the group"),
        ("Apple Bank", "apple", "shared words"),
        ("Volkswagen AG", "apple", "another name"),
        ("MC", "msft", "another name"),
    ],
)
def test_how_the_names_compare_is_said(name: str, entity: str, relation: str) -> None:
    assert tell((entity, 0.2), name=name, policy=NO_RUNGS).evidence["name"]["relation"] == relation


def test_another_name_of_the_entity_does_not_hide_that_the_forms_exclude_each_other() -> None:
    told = tell(("apple", 0.2), name="Apple GmbH", policy=NO_RUNGS)
    assert told.evidence["name"]["relation"] == "the same name with a legal form that excludes this one"


@pytest.mark.parametrize(
    ("identifier", "column", "word"),
    [
        ({"lei": APPLE[:-1] + "5"}, "lei", f"one edit from {APPLE} of 'Apple Inc.'"),
        ({"lei": "HWUPKROMPOU8FGXBT394"}, "lei", f"one edit from {APPLE} of 'Apple Inc.'"),
        ({"isin": "US0378331006"}, "isin", "one edit from US0378331005 of 'Apple Inc.'"),
    ],
)
def test_an_invalid_identifier_comes_with_what_was_meant(identifier: dict[str, Any], column: str, word: str) -> None:
    told = tell(("msft", 0.2), name="Somebody", **identifier)
    assert told.evidence[column] == f"invalid: fails its check digits; {word}"


@pytest.mark.parametrize(
    "identifier",
    [
        {"isin": "GB0002634947"},  # two entities carry the one that may be meant
        {"isin": "DE0007164601"},  # none is near
        {"lei": "HWUPKR0MPOU8FGXBT3945X"},  # two edits
        {"lei": f"{APPLE[:-1]}5|{MICROSOFT[:-1]}5"},  # two values
    ],
)
def test_a_guess_is_not_said(identifier: dict[str, Any]) -> None:
    told = tell(("msft", 0.2), name="Somebody", **identifier)
    (column,) = identifier
    assert told.evidence[column].startswith("invalid") and "one edit" not in told.evidence[column]


def test_a_valid_identifier_beside_an_invalid_one_keeps_its_own_word() -> None:
    told = tell(name="Apple", lei=f"{APPLE}|{MICROSOFT[:-1]}5")
    assert told.evidence["lei"] == "agrees"
    assert told.evidence["invalid lei"].endswith(f"one edit from {MICROSOFT} of 'Microsoft Corporation'")


def test_a_number_without_check_digits_is_invalid_without_a_guess() -> None:
    assert tell(("apple", 0.2), name="Apple", cik="32019x3").evidence["cik"] == "invalid"


@pytest.mark.parametrize(
    ("identifier", "word"),
    [({"cusip": "000000000"}, "cusip"), ({"lei": "549300XXXXXXXXXXXXXX"}, "lei"), ({"isin": "N/A"}, "isin")],
)
def test_a_placeholder_is_said(identifier: dict[str, Any], word: str) -> None:
    assert tell(("msft", 0.2), name="Somebody", **identifier).evidence[word] == "placeholder"
    assert tell(name="Somebody", **identifier).evidence == {word: "placeholder"}


@pytest.mark.parametrize(
    ("record", "method", "other"),
    [
        ({"name": "Apple Computer"}, "ALIAS_UNIQUE", "Apple Computer"),
        ({"name": "NATIONAL EXPRESS GROUP PLC", "country": "GB"}, "ALIAS_COUNTRY", "National Express Group plc"),
        ({"name": "Newco Ltd (formerly Microsoft Corporation)"}, "ALIAS_UNIQUE", "Microsoft Corporation"),
    ],
)
def test_the_other_name_that_hit_is_said(record: dict[str, Any], method: str, other: str) -> None:
    told = tell(**record)
    assert told.method == method and told.evidence["other name"] == other and f"('{other}')" in told.reason


def test_without_such_a_hit_no_other_name_is_said() -> None:
    assert "other name" not in tell(name="Apple Inc.").evidence


@pytest.mark.parametrize(
    ("first", "second", "relation"),
    [
        ("orange-pl", "orange-fr", "its parent"),
        ("orange-fr", "orange-pl", "its subsidiary"),
        ("orange-pl", "orange-be", "of the same parent"),
        ("heineken", "heineken-h", "same name, another designator (none / holding)"),
        ("heineken-h", "heineken", "same name, another designator (holding / none)"),
        ("apple", "msft", None),
        ("shared-1", "shared-2", None),
    ],
)
def test_what_ties_the_match_to_the_runner_up(first: str, second: str, relation: str | None) -> None:
    told = tell((first, 0.6), (second, 0.4), name="Quux", policy=NO_RUNGS)
    names = MASTER.set_index("entity_id")["name"]
    wanted = None if relation is None else {"entity_id": second, "name": names[second], "relation": relation}
    assert told.evidence.get("group") == wanted


@pytest.mark.parametrize(
    ("told", "method", "reason"),
    [
        (lambda: tell(), "BAD_INPUT", "The record has no usable name."),
        (lambda: tell(name="!!!"), "BAD_INPUT", "The record has no usable name."),
        (lambda: tell(lei=APPLE), "BAD_INPUT", "The record has no usable name; its LEI belongs to 'Apple Inc.'."),
        (lambda: tell(name="Quux"), "NO_CANDIDATE", "No reference name shares any letters with this one."),
        (
            lambda: tell(name="Microsoft Corporation", lei=APPLE),
            "CONFLICT",
            "The entity of this LEI has a clearly different name: 'Apple Inc.' against 'Microsoft Corporation'.",
        ),
        (
            lambda: tell(name="Apple", lei=APPLE, isin="GB0002634946"),
            "CONFLICT",
            "LEI and ISIN point to different entities: 'Apple Inc.' against 'Twin One Ltd'.",
        ),
        (
            lambda: tell(name="Twin", isin="GB0002634946"),
            "AMBIGUOUS",
            "Several entities have the same ISIN: 'Twin One Ltd' against 'Twin Two Ltd'.",
        ),
        (
            lambda: tell(("apple", 0.52), ("msft", 0.5), name="Quux"),
            "AMBIGUOUS",
            "'Apple Inc.' and 'Microsoft Corporation' fit about equally well (0.52).",
        ),
        (
            lambda: tell(("apple", 0.95), ("msft", 0.5), name="Quux"),
            "SCORER",
            "'Apple Inc.' is the only good fit (0.95, automatic from 0.90).",
        ),
        (
            lambda: tell(("apple", 0.95), ("msft", 0.5), name="Quux", clash=True),
            "CONFLICT",
            "The name fits 'Apple Inc.' (0.95), but a valid identifier disagrees.",
        ),
        (
            lambda: tell(("apple", 0.6), name="Quux"),
            "NEAR_MISS",
            "'Apple Inc.' may fit (0.60); automatic from 0.90.",
        ),
        (
            lambda: tell(("apple", 0.6), name="Quux", policy=POLICY.model_copy(update={"auto_threshold": None})),
            "NEAR_MISS",
            "'Apple Inc.' may fit (0.60); no score is automatic.",
        ),
        (
            lambda: tell(("heineken", 0.6), ("heineken-h", 0.3), name="Quux"),
            "SAME_GROUP",
            "Right group, maybe the wrong entity: 'Heineken N.V.' (0.60) or 'Heineken Holding N.V.' (0.30), "
            "same name, another designator (none / holding); automatic from 0.90.",
        ),
        (
            lambda: tell(("orange-pl", 0.52), ("orange-fr", 0.5), name="Quux"),
            "SAME_GROUP",
            "Right group, maybe the wrong entity: 'Orange Polska S.A.' (0.52) or 'Orange S.A.' (0.50), its parent; "
            "automatic from 0.90.",
        ),
        (
            lambda: tell(("orange-pl", 0.95), ("orange-fr", 0.5), name="Quux"),
            "SCORER",
            "'Orange Polska S.A.' is the only good fit (0.95, automatic from 0.90).",
        ),
        (
            lambda: tell(("apple", 0.1), name="Quux"),
            "BELOW_THRESHOLD",
            "The nearest, 'Apple Inc.', is unlikely (0.10, review from 0.30).",
        ),
        (
            lambda: tell(name="Apple Inc.", country="US"),
            "NAME_COUNTRY",
            "Same name and country as 'Apple Inc.'; this rule was right on 200 of 200 labelled records.",
        ),
    ],
)  # fmt: skip
def test_reasons(told: Callable[[], Told], method: str, reason: str) -> None:
    found = told()
    assert (found.method, found.reason) == (method, reason)


def test_an_attribute_that_broke_a_tie_is_named() -> None:
    double = pd.DataFrame(
        [
            {"entity_id": "1", "name": "Twin Fund", "country": "FR", "city": "Lyon"},
            {"entity_id": "2", "name": "Twin Fund", "country": "FR", "city": "Nice"},
        ]
    )
    master = prepare_reference(double)
    mine = ExactStage.build(profile(master), master["aliases"])
    feed = pd.DataFrame([{"source_id": "1", "name": "Twin Fund", "country": "FR", "city": "Nice"}])
    described = profile(prepare_source(feed, system="s"))
    hits = mine(described)
    one = np.array([0])
    decided = Decisions(
        np.array(["auto_match"], dtype=object),
        np.array(["exact"], dtype=object),
        hits.rung,
        hits.entity,
        one - 1,
        one + 1.0,
        one + 1.0,
        one + 0.9,
        one + 0.3,
    )
    (reason,) = reasons(EntityTable.of(master), decided, hits, POLICY, hits.entity, np.array([""], dtype=object))
    assert "as 'Twin Fund' (of several, by country, whole name, name, city)" in reason


RECORD = st.fixed_dictionaries(
    {
        "name": st.sampled_from(
            ["Apple Inc.", "Apple", "Microsoft", "Orange S.A.", "Twin", "Quux", "", "!!!", "Heineken Holding NV", None]
        ),
        "lei": st.sampled_from([None, APPLE, MICROSOFT, APPLE[:-1] + "5", "549300XXXXXXXXXXXXXX"]),
        "isin": st.sampled_from([None, "US0378331005", "GB0002634946", "N/A"]),
        "country": st.sampled_from([None, "US", "FR", "PL"]),
    }
)
CANDIDATES = st.lists(st.sampled_from(IDS), unique=True, max_size=3).flatmap(
    lambda ids: st.lists(st.floats(0, 1), min_size=len(ids), max_size=len(ids)).map(
        lambda p: list(zip(ids, sorted(p, reverse=True), strict=True))
    )
)


@settings(deadline=None, max_examples=12)
@given(st.lists(st.tuples(RECORD, CANDIDATES), min_size=1, max_size=4))
def test_reasons_are_never_empty_and_every_record_is_told_on_its_own(
    rows: list[tuple[dict[str, str | None], list[tuple[str, float]]]],
) -> None:
    records, candidates = [record for record, _ in rows], [found for _, found in rows]
    whole = tell_all(records, candidates)
    for told, record, found in zip(whole, records, candidates, strict=True):
        assert told.reason.endswith(".") and told.reason[0] == told.reason[0].upper() and "''" not in told.reason
        assert told.evidence.get("entity_id") in (None, *IDS)
        assert told == tell_all([record], [found])[0]


def test_short_reasons_are_the_strongest_of_each_family_and_never_of_what_is_missing() -> None:
    parts, seen = np.zeros((2, len(PARTS))), np.full((2, len(PARTS)), np.nan)
    told = {"same_country": (1.0, 0.9), "same_city": (100.0, 0.5), "same_form": (0.0, -0.4), "core_ratio": (99.0, 0.05)}
    for feature, (value, moved) in told.items():
        seen[0, PARTS.index(feature)], parts[0, PARTS.index(feature)] = value, moved
    # Trees can move a score against the plain sense of a value; the missing website moved it too.
    seen[0, PARTS.index("same_region")], parts[0, PARTS.index("same_region")] = 0.0, 2.0
    parts[0, PARTS.index("same_domain")] = -3.0
    assert short_reasons(parts, seen) == [{"for": {"same country": 0.9}, "against": {"another legal form": -0.4}}, {}]


@settings(deadline=None, max_examples=30)
@given(st.integers(0, 2**32 - 1))
def test_short_reasons_say_what_moved_the_score(seed: int) -> None:
    rng = np.random.default_rng(seed)
    parts = rng.normal(size=(3, len(PARTS)))
    seen = np.where(rng.random(parts.shape) < 0.3, np.nan, rng.choice([0.0, 0.5, 1.0, 60.0, 100.0], parts.shape))
    for row, told in enumerate(short_reasons(parts, seen)):
        for side, sign in (("for", 1), ("against", -1)):
            said = told.get(side, {})
            assert len(said) <= min(3, len(FAMILIES)) and "not compared" not in " ".join(said)
            for moved in said.values():
                assert moved * sign >= 0.1 and np.isclose(parts[row], moved, atol=0.006).any()
