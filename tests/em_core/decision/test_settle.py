"""Breaking ties: the entity with most agreement, if it is one; missing says nothing."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from em_core.decision.settle import distinct_pairs, settle
from em_core.retrieval.table import EntityTable

# Attribute -> (points for agreement, points for difference, word of the reason).
POINTS = {
    "country": (2, -2, "country"),
    "name_key": (2, 0, "whole name"),
    "core_key": (1, 0, "name"),
    "subdivision": (1, -1, "region"),
    "city": (1, -1, "city"),
    "postal_code": (1, 0, "postal code"),
    "domain": (2, 0, "domain"),
    "venue": (1, 0, "exchange"),
}
ROW = st.fixed_dictionaries(dict.fromkeys(POINTS, st.sampled_from(["", "x", "y"])))


def table(rows: list[dict[str, str]]) -> pd.DataFrame:
    """Rows of attributes; what is not given is missing."""
    return pd.DataFrame([dict.fromkeys(POINTS, "") | row for row in rows], columns=list(POINTS), dtype=object)


def score(record: dict[str, str], entity: dict[str, str]) -> tuple[int, str]:
    """(points, reason) of one pair."""
    points, agreed = 0, []
    for column, (plus, minus, word) in POINTS.items():
        here, there = record.get(column, ""), entity.get(column, "")
        if here and there:
            points += plus if here == there else minus
            agreed += [word] if here == there else []
    return points, ", ".join(agreed)


def one_tie(record: dict[str, str], *entities: dict[str, str]) -> tuple[list[list[int]], list[list[int]], list[str]]:
    """Settle one record among all of these entities."""
    count = len(entities)
    settled, tied, reasons = settle(
        np.zeros(count, dtype=np.int64), np.arange(count), table([record]), EntityTable.of(table([*entities]))
    )
    return settled.tolist(), tied.tolist(), reasons.tolist()


@settings(deadline=None, max_examples=200)
@given(st.data(), st.lists(ROW, min_size=1, max_size=4), st.lists(ROW, min_size=2, max_size=5))
def test_it_settles_as_counting_by_hand_does(
    data: st.DataObject, records: list[dict[str, str]], entities: list[dict[str, str]]
) -> None:
    among = {
        row: sorted(data.draw(st.sets(st.integers(0, len(entities) - 1), min_size=2)))
        for row in sorted(data.draw(st.sets(st.integers(0, len(records) - 1))))
    }
    pairs = [(row, entity) for row, found in among.items() for entity in found]
    row, entity = (np.array([pair[side] for pair in pairs], dtype=np.int64) for side in (0, 1))
    wanted, ties, why = [], [], []
    for r, found in among.items():
        best, second = sorted(found, key=lambda e: (-score(records[r], entities[e])[0], e))[:2]
        most, reason = score(records[r], entities[best])
        if most > 0 and most > score(records[r], entities[second])[0]:
            wanted.append([r, best])
            why.append(reason)
        else:
            ties.append([r, best, second])
    settled, tied, reasons = settle(row, entity, table(records), EntityTable.of(table(entities)))
    assert (settled.tolist(), tied.tolist(), reasons.tolist()) == (wanted, ties, why)
    assert settled.shape[1:] == (2,) and tied.shape[1:] == (3,)


@pytest.mark.parametrize("column", list(POINTS))
def test_each_attribute_alone_settles_a_tie_and_says_so(column: str) -> None:
    settled, tied, reasons = one_tie({column: "x"}, {}, {column: "x"}, {column: "y"})
    assert (settled, tied, reasons) == ([[0, 1]], [], [POINTS[column][2]])


@pytest.mark.parametrize("column", list(POINTS))
def test_a_missing_attribute_says_nothing(column: str) -> None:
    assert one_tie({}, {column: "x"}, {column: "y"}) == ([], [[0, 0, 1]], [])
    assert one_tie({column: "x"}, {}, {}) == ([], [[0, 0, 1]], [])
    assert one_tie({"domain": "d"}, {"domain": "d"}, {column: "z"})[0] == [[0, 0]]


def test_without_agreement_nothing_is_settled_though_one_differs_less() -> None:
    assert one_tie({"country": "x", "city": "x"}, {"country": "y", "city": "y"}, {"city": "y"}) == ([], [[0, 1, 0]], [])
    assert one_tie({"country": "x"}, {"country": "y"}, {}) == ([], [[0, 1, 0]], [])


def test_a_tie_names_the_two_best_lower_position_first() -> None:
    best = {"country": "x", "city": "x"}
    record = best | {"venue": "x"}
    assert one_tie(record, {"venue": "x"}, best, {}, best, best) == ([], [[0, 1, 3]], [])


def test_several_rows_and_other_positions() -> None:
    row, entity = np.array([2, 2, 5, 5, 5]), np.array([0, 3, 1, 2, 3])
    records = table([{}] * 2 + [{"city": "x"}] + [{}] * 2 + [{"domain": "z"}])
    entities = table([{"city": "x"}, {"domain": "z"}, {"domain": "z"}, {"city": "y"}])
    settled, tied, reasons = settle(row, entity, records, EntityTable.of(entities))
    assert (settled.tolist(), tied.tolist(), reasons.tolist()) == ([[2, 0]], [[5, 1, 2]], ["city"])


def test_nothing_to_settle() -> None:
    empty = np.zeros(0, dtype=np.int64)
    settled, tied, reasons = settle(empty, empty, table([]), EntityTable.of(table([])))
    assert settled.shape == (0, 2) and tied.shape == (0, 3) and reasons.shape == (0,)


@settings(deadline=None)
@given(st.lists(st.tuples(st.integers(0, 4), st.integers(0, 4)), max_size=20))
def test_distinct_pairs_are_sorted_and_once(pairs: list[tuple[int, int]]) -> None:
    row, entity = (np.array([pair[side] for pair in pairs], dtype=np.int64) for side in (0, 1))
    out = distinct_pairs(row, entity)
    found = list(zip(*(part.tolist() for part in out), strict=True))
    assert found == sorted(set(pairs)) and all(a < b for a, b in pairwise(found))
    assert all(part.dtype == np.int64 for part in out)
