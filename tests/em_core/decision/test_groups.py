"""Members of one group are told by their parents and by their names; the code SAME_GROUP changes no decision."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from em_core.decision.decide import Decisions, with_same_group
from em_core.decision.groups import group_ties
from em_core.retrieval.table import EntityTable
from em_core.schema import prepare_reference
from em_core.text.profile import profile


def tie(first: dict[str, str | None], second: dict[str, str | None]) -> str:
    master = prepare_reference(pd.DataFrame([{"entity_id": "1", **first}, {"entity_id": "2", **second}]))
    return str(group_ties(EntityTable.of(master), EntityTable.of(profile(master)), np.array([0]), np.array([1]))[0])


@pytest.mark.parametrize(
    ("first", "second", "said"),
    [
        ({"name": "Acme", "parent_id": "2"}, {"name": "Zenith"}, "its parent"),
        ({"name": "Acme"}, {"name": "Zenith", "parent_id": "1"}, "its subsidiary"),
        ({"name": "Acme", "parent_id": "9"}, {"name": "Zenith", "parent_id": "9"}, "of the same parent"),
        ({"name": "Acme", "parent_id": "9"}, {"name": "Zenith", "parent_id": "8"}, ""),
        ({"name": "Acme"}, {"name": "Zenith"}, ""),
        ({"name": "Heineken N.V."}, {"name": "Heineken Holding N.V."}, "same name, another designator (none / holding)"),
        ({"name": "Alpha Fund 2 LP"}, {"name": "Alpha Fund 3 LP"}, "same name, another designator (number:2 / number:3)"),
        ({"name": "Alphabet Inc Class A"}, {"name": "Alphabet Inc Class C"}, "same name, another designator (class:a / class:c)"),
        ({"name": "Deutsche Bank AG"}, {"name": "Deutsche Bank AG London Branch"}, "same name, another designator (none / branch)"),
        ({"name": "Wind Park 12 GmbH"}, {"name": "Wind Park 13 GmbH"}, "another member of the group by its name"),
        ({"name": "Leasing A GmbH"}, {"name": "Leasing B GmbH"}, "another member of the group by its name"),
        ({"name": "Acme Ltd"}, {"name": "Acme Ltd in liquidation"}, ""),
        ({"name": "Rio Tinto plc"}, {"name": "Rio Tinto Ltd"}, ""),
        ({"name": "Acme Ltd"}, {"name": "Acme Ltd"}, ""),
        ({"name": "Windmill 12 GmbH"}, {"name": "Seaside 13 GmbH"}, ""),
    ],
)  # fmt: skip
def test_what_ties_two_entities(first: dict[str, str | None], second: dict[str, str | None], said: str) -> None:
    assert tie(first, second) == said


def test_no_entity_is_tied_to_none() -> None:
    master = prepare_reference(pd.DataFrame([{"entity_id": "1", "name": "Acme 1", "parent_id": None}]))
    nobody = np.array([0, -1, -1])
    assert group_ties(
        EntityTable.of(master), EntityTable.of(profile(master)), nobody, np.array([-1, 0, -1])
    ).tolist() == ["", "", ""]


METHODS = ["AMBIGUOUS", "NEAR_MISS", "CONFLICT", "SCORER", "LEI", "BELOW_THRESHOLD", "BAD_INPUT"]


@settings(deadline=None)
@given(st.lists(st.tuples(st.sampled_from(METHODS), st.booleans(), st.booleans()), min_size=1))
def test_same_group_renames_open_reviews_and_changes_no_decision(rows: list[tuple[str, bool, bool]]) -> None:
    method = np.array([m for m, _, _ in rows], dtype=object)
    decision = np.where([r for _, r, _ in rows], "review", "auto_match").astype(object)
    tied = np.array(["its parent" if t else "" for _, _, t in rows], dtype=object)
    none = np.zeros(len(rows))
    before = Decisions(decision, method, method, none, none, none, none, none, none)
    after = with_same_group(before, tied)
    assert (after.decision == decision).all()
    for old, new, kind, kin in zip(method, after.method, decision, tied, strict=True):
        renamed = kind == "review" and kin != "" and old in ("AMBIGUOUS", "NEAR_MISS")
        assert new == ("SAME_GROUP" if renamed else old)
