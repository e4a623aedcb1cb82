"""The vector index: exact where it says so, honest where it does not, and the same after every way to reach a state."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from em_core.retrieval.faiss_types import Kind, choose
from em_core.retrieval.vectors import VectorIndex

CODED = 1_000  # enough vectors to train codes on


def unit(rows: int, dimensions: int = 16, seed: int = 0) -> np.ndarray:
    """Unit rows around a few directions, so that some are near to each other."""
    rng = np.random.default_rng(seed)
    centres = rng.normal(size=(20, dimensions))
    vectors = centres[rng.integers(20, size=rows)] + 0.4 * rng.normal(size=(rows, dimensions))
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)


def brute(vectors: np.ndarray, queries: np.ndarray, k: int) -> list[list[int]]:
    """The k best rows by a plain sort, ties by row."""
    scores = np.einsum("qd,nd->qn", queries.astype(np.float32), vectors.astype(np.float32))
    return [np.lexsort((np.arange(len(vectors)), -row))[:k].tolist() for row in scores]


def answers(index: VectorIndex, queries: np.ndarray, k: int) -> list[list[int]]:
    query, row = index.search(queries, k)
    return [row[query == i].tolist() for i in range(len(queries))]


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.tuples(*[st.integers(-2, 2)] * 3), min_size=1, max_size=40),
    st.lists(st.tuples(*[st.integers(-2, 2)] * 3), min_size=1, max_size=5),
    st.integers(1, 50),
)
def test_flat_search_is_exact_with_ties_by_row(rows: list, asked: list, k: int) -> None:
    vectors, queries = np.array(rows, dtype=np.float32), np.array(asked, dtype=np.float32)
    found = answers(VectorIndex.build(vectors), queries, k)
    wanted = brute(vectors, queries, k)
    assert found == [best if query.any() else [] for best, query in zip(wanted, queries, strict=True)]


@settings(max_examples=40, deadline=None)
@given(st.data())
def test_any_way_of_adding_and_removing_gives_what_a_list_gives(data: st.DataObject) -> None:
    pool = unit(60, seed=data.draw(st.integers(0, 3)))
    wanted = pool[: data.draw(st.integers(0, 20))]
    index = VectorIndex.build(wanted)
    for _ in range(data.draw(st.integers(1, 4))):
        if data.draw(st.booleans()):
            more = pool[data.draw(st.lists(st.integers(0, 59), max_size=15))]
            index.add(more)
            wanted = np.concatenate([wanted, more])
        else:
            gone = data.draw(st.lists(st.integers(0, max(0, len(wanted) - 1)), max_size=10, unique=True))
            gone = [g for g in gone if g < len(wanted)]
            index.remove(np.array(gone, dtype=np.int64))
            wanted = np.delete(wanted, gone, axis=0)
        if data.draw(st.booleans()):
            with tempfile.TemporaryDirectory() as scratch:
                index.save(Path(scratch) / "vectors")
                index = VectorIndex.load(Path(scratch) / "vectors")
    assert len(index) == len(wanted)
    queries = unit(7, seed=9)
    assert answers(index, queries, 5) == answers(VectorIndex.build(wanted), queries, 5)
    np.testing.assert_array_equal(index.vectors(), wanted.astype(np.float16))


def overlap(found: list[list[int]], wanted: list[list[int]]) -> float:
    return float(np.mean([len(set(a) & set(b)) / len(b) for a, b in zip(found, wanted, strict=True)]))


@pytest.mark.parametrize("kind", ["flat", "pq", "ivf"])
def test_each_type_finds_what_it_says_it_finds(kind: Kind) -> None:
    rng = np.random.default_rng(4)
    vectors = rng.normal(size=(2_000, 32)).astype(np.float32)  # without clusters: hard for codes
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    queries = vectors[:300]
    index = VectorIndex.build(vectors, kind)
    assert index.facts.kind == kind
    found = answers(index, queries, index.facts.at)
    assert all(len(set(rows)) == index.facts.at for rows in found)
    recall = overlap(found, brute(index.vectors(), queries, index.facts.at))
    assert recall == pytest.approx(index.facts.recall, abs=0.03) and recall > 0.85
    assert (recall == 1.0) == (kind == "flat")
    # What is found stands in the order of the exact cosine.
    query, row = index.search(queries, 10)
    cosine = index.cosines(queries, query, row)
    assert (np.diff(cosine)[np.diff(query) == 0] <= 0).all()
    np.testing.assert_allclose(cosine, (queries[query] * vectors[row]).sum(axis=1), atol=2e-3)


@pytest.mark.parametrize(("kind", "dimensions"), [("pq", 16), ("ivf", 16), ("pq", 128)])
def test_coded_types_are_deterministic_saved_and_changed_without_a_trace(
    kind: Kind, dimensions: int, tmp_path: Path
) -> None:
    vectors, queries, new = (unit(n, dimensions, seed) for seed, n in enumerate((CODED, 40, 50)))
    index = VectorIndex.build(vectors, kind)
    assert ("PCAR" in index.facts.factory) == (dimensions == 128)
    before = answers(index, queries, 10)
    assert before == answers(VectorIndex.build(vectors, kind), queries, 10)
    index.save(tmp_path / "vectors")
    loaded = VectorIndex.load(tmp_path / "vectors")
    assert loaded.facts == index.facts and answers(loaded, queries, 10) == before
    loaded.add(new)
    # An added row is found by its own vector.
    assert [found[0] for found in answers(loaded, new, 1)] == list(range(CODED, CODED + 50))
    loaded.remove(np.arange(CODED, CODED + 50))
    assert answers(loaded, queries, 10) == before
    loaded.remove(np.arange(CODED - 300))
    assert len(loaded) == 300 and loaded.facts.kind == "flat"  # too few for codes
    assert answers(loaded, queries, 10) == brute(vectors[CODED - 300 :].astype(np.float16), queries, 10)


def test_the_index_is_made_anew_when_it_has_doubled() -> None:
    index = VectorIndex.build(unit(700), "pq")
    index.add(unit(600, seed=1))
    assert index.facts.trained == 700
    index.add(unit(600, seed=2))
    assert index.facts.trained == 1_900 and len(index) == 1_900


def test_many_equal_vectors_come_in_the_order_of_their_rows() -> None:
    vectors = unit(500)
    vectors[100:400] = vectors[7]
    assert answers(VectorIndex.build(vectors), vectors[7:8], 20) == [[7, *range(100, 119)]]


def test_a_search_does_not_depend_on_the_queries_beside_it() -> None:
    index, queries = VectorIndex.build(unit(CODED), "pq"), unit(50, seed=3)
    assert answers(index, queries, 5) == [answers(index, query[None], 5)[0] for query in queries]


def test_empty_index_blank_query_and_k_beyond_the_rows() -> None:
    empty = VectorIndex.build(np.zeros((0, 16), dtype=np.float32))
    assert answers(empty, unit(2), 5) == [[], []]
    with tempfile.TemporaryDirectory() as scratch:
        empty.save(Path(scratch) / "vectors")
        empty = VectorIndex.load(Path(scratch) / "vectors")
    empty.add(unit(3))
    queries = np.vstack([unit(1), np.zeros((1, 16))])
    assert [len(rows) for rows in answers(empty, queries, 5)] == [3, 0]
    assert answers(empty, np.zeros((0, 16)), 5) == []


def test_wrong_shapes_are_refused_and_change_nothing() -> None:
    index = VectorIndex.build(unit(10))
    with pytest.raises(ValueError, match="dimensions"):
        index.add(unit(2, dimensions=8))
    with pytest.raises(ValueError, match="dimensions"):
        index.search(unit(2, dimensions=8), 1)
    with pytest.raises(ValueError, match="finite"):
        VectorIndex.build(np.full((2, 3), np.nan))
    with pytest.raises(IndexError):
        index.remove(np.array([10]))
    assert len(index) == 10


def test_the_type_follows_the_size() -> None:
    kinds = [choose(rows, 256).kind for rows in (0, 500, 100_000, 400_000, 1_900_000, 10_000_000)]
    assert kinds == ["flat", "flat", "flat", "pq", "pq", "ivf"]
    assert [choose(n, 256).factory for n in (400_000, 1_900_000)] == ["PCAR160,PQ80x4fs", "PCAR128,PQ64x4fs"]
    assert choose(400_000, 256, "flat").kind == "flat" and choose(5_000, 256, "ivf").kind == "ivf"
    assert all("vectors of 256" in choose(rows, 256).reason for rows in (10, 10**5, 10**6, 10**7))


@given(st.integers(0, 10**8), st.integers(1, 2_000), st.sampled_from(["auto", "flat", "pq", "ivf"]))
def test_every_plan_can_be_built(rows: int, dimensions: int, kind: Kind) -> None:
    plan = choose(rows, dimensions, kind)
    assert plan.kind == kind or kind == "auto" or plan.kind == "flat"
    if plan.factory:
        turned, codes = plan.factory.rsplit("PQ", 1)
        kept = int(turned[4:-1]) if turned.startswith("PCAR") else dimensions
        assert kept <= dimensions and kept % int(codes.split("x")[0]) == 0
