"""AI Search over the wire: what it holds, what it finds, and that it finds what FAISS finds."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from em_core.errors import UserError
from em_core.retrieval.ai_search import AiSearchIndex, cosine_of, filter_of
from em_core.retrieval.index import CandidateIndex, RetrievalSettings
from em_core.retrieval.searched import SearchedVectors, bring_up_to_date, name_ids, searching
from tests.workspace.endpoints import Endpoints
from tests.workspace.server import Workspace, serve

NAME = "main.matching.entity_names"


@pytest.fixture(scope="module")
def standing_in(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Workspace, Any]]:
    pytest.importorskip("databricks.sdk")
    from databricks.sdk import WorkspaceClient

    space = Workspace(Path("python"), tmp_path_factory.mktemp("volumes"))
    server = serve(space)
    yield space, WorkspaceClient(host=f"http://127.0.0.1:{server.server_port}", token=space.token, auth_type="pat")
    server.shutdown()


@pytest.fixture
def make(standing_in: tuple[Workspace, Any]) -> Any:
    """`make(dimensions, kind)`: an index that is not there yet."""
    space, client = standing_in
    space.endpoints = Endpoints()
    space.refusals.clear()

    def index(dimensions: int, kind: Any = "STANDARD") -> AiSearchIndex:
        return AiSearchIndex(client, "matching", NAME, dimensions, kind, seconds=5, pause=0.01)

    return index


@pytest.fixture(scope="module")
def candidates(reference: pd.DataFrame, tiny_base: Path) -> CandidateIndex:
    """200 entities with vectors, some of them under several names."""
    rows = reference.head(200).copy()
    rows["aliases"] = [[f"{name} Group", "Acme"] if i % 9 == 0 else [] for i, name in enumerate(rows["name"])]
    return CandidateIndex.build(rows, RetrievalSettings(encoder=f"static:{tiny_base}"))


def unit(*rows: list[float]) -> np.ndarray:
    vectors = np.array(rows, dtype=np.float32)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


@pytest.mark.parametrize("kind", ["STANDARD", "STORAGE_OPTIMIZED"])
def test_what_is_written_is_found_by_cosine_and_filter(make: Any, kind: str) -> None:
    index = make(2, kind)
    assert index.create() and not index.create()
    vectors = unit([1, 0], [1, 1], [0, 1])
    assert index.upsert(["a", "b", "c"], vectors, {"country": ["DE", "FR", None]}) == 3
    found = list(index.search(unit([1, 0.1]), 2))
    assert [(query, key) for query, key, _ in found] == [(0, "a"), (0, "b")]
    np.testing.assert_allclose([cosine for _, _, cosine in found], vectors[:2] @ unit([1, 0.1])[0], atol=1e-5)
    assert [key for _, key, _ in index.search(unit([1, 0.1]), 5, {"country": "FR"})] == ["b"]
    assert [key for _, key, _ in index.search(unit([1, 0.1]), 5, {"country": ["FR", "DE"]})] == ["a", "b"]
    assert list(index.search(np.zeros((1, 2)), 5)) == []
    index.upsert(["a"], unit([0, 1]), {"country": ["DE"]})
    index.delete(["c"])
    assert index.rows() == 2 and next(iter(index.search(unit([0, 1]), 1)))[1] == "a"


def test_the_candidate_index_finds_the_same_through_it(make: Any, candidates: CandidateIndex, tmp_path: Path) -> None:
    assert candidates.vector is not None
    remote = make(candidates.vector.facts.dimensions)
    done = bring_up_to_date(remote, candidates, tmp_path / "state.parquet")
    assert done["written"] == len(candidates.owner) and len(set(name_ids(candidates))) == len(candidates.owner)
    queries = candidates.vector.vectors()[::17].astype(np.float32) + np.float32(0.01)
    queries /= np.linalg.norm(queries, axis=1, keepdims=True)
    here, there = candidates.vector.search(queries, 5), SearchedVectors.of(candidates, remote).search(queries, 5)
    np.testing.assert_array_equal(here[0], there[0])
    products = [candidates.vector.cosines(queries, *found) for found in (here, there)]
    np.testing.assert_allclose(*products, atol=2e-3)
    records = (
        candidates.reference.head(12)
        .drop(columns=["entity_id"])
        .assign(source_system="crm", source_id=[str(i) for i in range(12)])
    )
    from em_core.schema import prepare_source
    from em_core.text.profile import profile

    asked = profile(prepare_source(records))
    best = [c.search(asked).groupby("query")["entity"].first() for c in (candidates, searching(candidates, remote))]
    assert best[0].tolist() == best[1].tolist()


def test_only_what_changed_goes_over_the_wire(
    make: Any,
    standing_in: tuple[Workspace, Any],
    candidates: CandidateIndex,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert candidates.vector is not None
    remote, state = make(candidates.vector.facts.dimensions), tmp_path / "state.parquet"
    bring_up_to_date(remote, candidates, state)
    rows = len(candidates.owner)
    assert bring_up_to_date(remote, candidates, state) == {"written": 0, "deleted": 0, "unchanged": rows}
    fewer = candidates.reference.copy()
    moved = fewer["entity_id"].iloc[1]
    fewer.loc[1, "country"] = "XX"
    changed = CandidateIndex.build(fewer.iloc[:-10].reset_index(drop=True), candidates.settings)
    # The same encoder: another reference would give other weights, and with them other vectors.
    changed.vector, gone = candidates.vector.copy(), np.flatnonzero(candidates.owner >= len(fewer) - 10)
    changed.vector.remove(gone)
    done = bring_up_to_date(remote, changed, state)
    names = int((changed.reference["entity_id"].to_numpy()[changed.owner] == moved).sum())
    assert done == {"written": names, "deleted": len(gone), "unchanged": len(changed.owner) - names}
    assert remote.rows() == len(changed.owner)
    # A state of another index says nothing about this one.
    known = pd.read_parquet(state)
    known.assign(index="main.matching.other").to_parquet(state)
    assert bring_up_to_date(remote, changed, state)["written"] == len(changed.owner)
    # An index that was lost gets everything again, also if the first try is cut off.
    standing_in[0].endpoints.indexes.clear()
    monkeypatch.setattr(AiSearchIndex, "upsert", lambda *_: (_ for _ in ()).throw(UserError("cut off")))
    with pytest.raises(UserError, match="cut off"):
        bring_up_to_date(remote, changed, state)
    monkeypatch.undo()
    assert bring_up_to_date(remote, changed, state)["written"] == len(changed.owner)


def test_bad_rows_and_another_form_are_refused_in_a_sentence(make: Any, standing_in: tuple[Workspace, Any]) -> None:
    index = make(2)
    index.create()
    with pytest.raises(ValueError, match="unit length"):
        index.upsert(["a"], np.array([[3.0, 4.0]]), {"country": [None]})
    with pytest.raises(ValueError, match="2 dimensions"):
        index.upsert(["a"], np.ones((1, 3)), {"country": [None]})
    standing_in[0].endpoints.indexes[NAME].described["direct_access_index_spec"]["schema_json"] = (
        '{"name_id": "string"}'
    )
    with pytest.raises(UserError, match=r"upsert of 1 row\(s\) failed"):
        index.upsert(["a"], unit([1, 0]), {"country": [None]})
    with pytest.raises(UserError, match="another form"):
        make(3).__class__(index.client, "matching", NAME, 3, pause=0.01).create()
    with pytest.raises(UserError, match="is STANDARD, not STORAGE_OPTIMIZED"):
        AiSearchIndex(index.client, "matching", NAME, 2, "STORAGE_OPTIMIZED", pause=0.01).create()
    with pytest.raises(UserError, match="direct access index is not synced"):
        index.sync()


def test_a_busy_service_is_asked_again(make: Any, standing_in: tuple[Workspace, Any]) -> None:
    index = make(2)
    index.create()
    standing_in[0].refusals = [429, 503]
    assert index.upsert(["a"], unit([1, 0]), {"country": [None]}) == 1
    assert not standing_in[0].refusals and index.rows() == 1


@given(st.floats(-1, 1))
def test_a_score_gives_its_cosine_back(cosine: float) -> None:
    distance = 2 - 2 * cosine  # squared, of unit vectors
    assert cosine_of(1 / (1 + distance)) == pytest.approx(cosine, abs=1e-9)


def test_each_kind_of_endpoint_has_its_own_filter() -> None:
    assert filter_of(None, "STANDARD") == filter_of({}, "STORAGE_OPTIMIZED") == {}
    assert filter_of({"country": "DE"}, "STANDARD") == {"filters_json": '{"country": ["DE"]}'}
    assert filter_of({"country": ["D'E", "FR"]}, "STORAGE_OPTIMIZED") == {
        "filter_string": r"`country` IN ('D\'E', 'FR')"
    }
