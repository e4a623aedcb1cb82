"""The index of keys: the same finds as a dictionary, and nothing for crowded or empty keys."""

from __future__ import annotations

from collections import defaultdict

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from em_core.decision.keys import KeyIndex

CROWDED = 64
KEYS = st.lists(st.sampled_from(["", "a", "b", "a b", "ä", "c", "日立", "A"]), max_size=30)


def array(keys: list[str]) -> np.ndarray:
    """(n,) objects."""
    return np.array(keys, dtype=object)


def brute_force(rows: list[str], queries: list[str]) -> list[tuple[int, int]]:
    """(query, row) pairs by a dictionary."""
    table: dict[str, list[int]] = defaultdict(list)
    for row, key in enumerate(rows):
        if key:
            table[key].append(row)
    found = [(query, table.get(key, [])) for query, key in enumerate(queries)]
    return [(query, row) for query, members in found if len(members) <= CROWDED for row in members]


def pairs(rows: list[str], queries: list[str]) -> list[tuple[int, int]]:
    """(query, row) pairs by the index."""
    query, row = KeyIndex.build(array(rows)).find(array(queries))
    assert query.dtype.kind == row.dtype.kind == "i" and len(query) == len(row)
    return list(zip(query.tolist(), row.tolist(), strict=True))


@settings(deadline=None, max_examples=300)
@given(KEYS, KEYS)
def test_finds_are_those_of_a_dictionary(rows: list[str], queries: list[str]) -> None:
    assert pairs(rows, queries) == brute_force(rows, queries)


@settings(deadline=None)
@given(KEYS, st.sampled_from([CROWDED - 1, CROWDED, CROWDED + 1, 2 * CROWDED]), KEYS)
def test_a_crowded_key_finds_nothing(rows: list[str], count: int, queries: list[str]) -> None:
    crowd = [*rows, *["crowd"] * count, "last"]
    wanted = ["crowd", *queries, "last", "crowd"]
    assert pairs(crowd, wanted) == brute_force(crowd, wanted)
    assert len(pairs(crowd, ["crowd"])) == (count if count <= CROWDED else 0)


def test_what_is_in_it() -> None:
    index = KeyIndex.build(array(["a", "", "b", "a", *["crowd"] * (CROWDED + 1)]))
    assert "a" in index and "b" in index and "crowd" in index
    assert "" not in index and "c" not in index and None not in index
    assert pairs(["a", "", "b", "a"], ["b", "", "a", "c", "a"]) == [(0, 2), (2, 0), (2, 3), (4, 0), (4, 3)]


def test_an_empty_index_and_empty_questions() -> None:
    for rows in ([], [""], ["", ""]):
        assert pairs(rows, ["", "a"]) == [] and pairs(rows, []) == []
        assert "a" not in KeyIndex.build(array(rows))
    assert pairs(["a"], []) == []


def test_the_rows_of_a_key_ascend() -> None:
    index = KeyIndex.build(array(["b", "a", "b", "", "a", "b"]))
    assert list(index.keys) == ["b", "a"]
    assert index.start.tolist() == [0, 3, 5] and index.rows.tolist() == [0, 2, 5, 1, 4]
