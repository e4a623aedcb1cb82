"""The index of keys: the same finds as a dictionary, and nothing for crowded or empty keys."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from em_core.retrieval.key_index import KeyIndex

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


def has(rows: list[str], queries: list[str]) -> list[bool]:
    """Whether the index has these keys."""
    found = KeyIndex.build(array(rows)).has(array(queries))
    assert found.dtype == bool
    return found.tolist()


def test_what_is_in_it() -> None:
    crowd = ["a", "", "b", "a", *["crowd"] * (CROWDED + 1)]
    assert has(crowd, ["a", "b", "crowd", "", "c", "A"]) == [True, True, True, False, False, False]
    assert pairs(["a", "", "b", "a"], ["b", "", "a", "c", "a"]) == [(0, 2), (2, 0), (2, 3), (4, 0), (4, 3)]


@settings(deadline=None)
@given(KEYS, KEYS)
def test_it_has_what_a_set_has(rows: list[str], queries: list[str]) -> None:
    assert has(rows, queries) == [key != "" and key in set(rows) for key in queries]


@settings(deadline=None, max_examples=30)
@given(KEYS, KEYS)
def test_a_kept_index_finds_the_same(rows: list[str], queries: list[str]) -> None:
    index = KeyIndex.build(array(rows))
    with TemporaryDirectory() as folder:
        index.save(Path(folder) / "keys")
        kept = KeyIndex.load(Path(folder) / "keys")
    for mine, theirs in zip(index.find(array(queries)), kept.find(array(queries)), strict=True):
        assert mine.tolist() == theirs.tolist()


@settings(deadline=None)
@given(st.lists(st.tuples(st.sampled_from(["", "a", "b"]), st.integers(0, 9)), max_size=20))
def test_rows_may_be_given_with_the_keys(held: list[tuple[str, int]]) -> None:
    index = KeyIndex.build(array([key for key, _ in held]), np.array([row for _, row in held], dtype=np.int64))
    for key in ("a", "b"):
        assert index.find(array([key]))[1].tolist() == sorted(row for mine, row in held if mine == key)


def test_an_empty_index_and_empty_questions() -> None:
    for rows in ([], [""], ["", ""]):
        assert pairs(rows, ["", "a"]) == [] and pairs(rows, []) == []
        assert has(rows, ["a", ""]) == [False, False] and has(rows, []) == []
    assert pairs(["a"], []) == []


def test_the_rows_of_a_key_ascend() -> None:
    index = KeyIndex.build(array(["b", "a", "b", "", "a", "b"]))
    assert [row.tolist() for row in (index.find(array(["a"]))[1], index.find(array(["b"]))[1])] == [[1, 4], [0, 2, 5]]
