"""Rows that come and go: as if the index had always been so, while the vocabulary stays."""

from __future__ import annotations

import copy
import tempfile
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from em_core.ditto.base_model import PACKAGED_MODEL
from em_core.errors import UserError
from em_core.retrieval.index import CandidateIndex, IndexChange, RetrievalSettings
from em_core.schema import prepare_reference, prepare_source
from em_core.text.profile import profile

WORDS = ["acme", "beacon", "cedar", "delta", "holding", "bank", "energy", "trust", "ltd", "gmbh"]
NAME = st.lists(st.sampled_from(WORDS), min_size=1, max_size=4).map(" ".join)
ROW = st.tuples(NAME, st.lists(NAME, max_size=2), st.sampled_from(["", "DE", "FR"]))
ROWS = st.lists(ROW, min_size=1, max_size=8)
NEVER = RetrievalSettings(encoder=None, refit_share=1e9)
ALWAYS = RetrievalSettings(encoder=None, refit_share=0.0)


def master(rows: list[tuple[str, list[str], str]], prefix: str = "E") -> pd.DataFrame:
    names, aliases, countries = zip(*rows, strict=True)
    ids = [f"{prefix}{i}" for i in range(len(rows))]
    return prepare_reference(
        pd.DataFrame({"entity_id": ids, "name": names, "aliases": list(aliases), "country": countries})
    )


def queries() -> pd.DataFrame:
    names = [*WORDS, "acme bank ltd", "cedar energy holding", "delta trust dba beacon bank", "abe"]
    return profile(
        prepare_source(pd.DataFrame({"source_id": range(len(names)), "name": names, "country": "DE"}), system="t")
    )


QUERIES = queries()


def same(left: CandidateIndex, right: CandidateIndex) -> None:
    pd.testing.assert_frame_equal(left.search(QUERIES), right.search(QUERIES))
    pd.testing.assert_frame_equal(left.reference, right.reference)
    pd.testing.assert_frame_equal(left.profile, right.profile)
    assert left.owner.tolist() == right.owner.tolist() and left.version == right.version
    assert left.keys.index.digest.tolist() == right.keys.index.digest.tolist()
    assert left.keys.index.row.tolist() == right.keys.index.row.tolist()


@settings(max_examples=10, deadline=None)
@given(ROWS, ROWS)
def test_adding_then_removing_changes_nothing(rows: list, more: list) -> None:
    index = CandidateIndex.build(master(rows), NEVER)
    before = copy.copy(index)
    index.add(master(more, "N"))
    index.remove([f"N{i}" for i in range(len(more))])
    same(index, before)
    assert (index.lexical.postings != before.lexical.postings).nnz == 0


@settings(max_examples=10, deadline=None)
@given(ROWS, ROWS, st.data())
def test_built_whole_or_by_adding(rows: list, more: list, data: st.DataObject) -> None:
    whole = CandidateIndex.build(pd.concat([master(rows), master(more, "N")], ignore_index=True), NEVER)
    # The same vocabulary: the added rows are taken away and come back.
    index = copy.copy(whole)
    index.remove([f"N{i}" for i in range(len(more))])
    cut = data.draw(st.integers(0, len(more)))
    for part in (slice(0, cut), slice(cut, None)):
        index.add(master(more, "N").iloc[part])
    same(index, whole)
    # Or learned anew from the same rows.
    grown = CandidateIndex.build(master(rows), ALWAYS)
    assert grown.add(master(more, "N")).refitted
    same(grown, whole)


@settings(max_examples=8, deadline=None)
@given(ROWS, ROWS, st.sets(st.integers(0, 7)))
def test_a_changed_index_is_saved_as_it_stands(rows: list, more: list, gone: set[int]) -> None:
    index = CandidateIndex.build(master(rows), NEVER)
    index.add(master(more, "N"))
    index.remove([f"E{i}" for i in gone if i < len(rows)])
    with tempfile.TemporaryDirectory() as scratch:
        index.save(Path(scratch) / "index")
        loaded = CandidateIndex.load(Path(scratch) / "index")
        same(loaded, index)
        assert (loaded.changed, loaded.learned) == (index.changed, index.learned)
        # A loaded index changes like the one that was saved.
        again = copy.copy(index)
        for each in (loaded, again):
            each.update(master(more, "N").assign(name="cedar trust"))
        same(loaded, again)


def test_an_updated_entity_answers_to_its_new_name_only() -> None:
    index = CandidateIndex.build(master([("acme", [], ""), ("beacon", ["cedar"], ""), ("delta", [], "")]), NEVER)
    change = index.update(master([("energy", [], "")]).assign(entity_id="E1"))
    assert (change.added, change.removed, change.updated) == (0, 0, 1)
    assert index.reference["entity_id"].tolist() == ["E0", "E2", "E1"]
    found = index.search(
        profile(prepare_source(pd.DataFrame({"source_id": ["1", "2"], "name": ["cedar", "delta"]}), system="t"))
    )
    assert found["query"].tolist() == [1] and found["entity"].tolist() == [1]
    # N-grams that the vocabulary does not know are dropped: the key finds the entity all the same.
    named = index.search(profile(prepare_source(pd.DataFrame({"source_id": ["1"], "name": ["energy"]}), system="t")))
    assert "NAME" in named["key"].iloc[0].split() and named["entity"].iloc[0] == 2


def test_the_vocabulary_is_learned_anew_when_enough_has_changed() -> None:
    index = CandidateIndex.build(
        master([(f"{w} bank", [], "") for w in WORDS]), RetrievalSettings(encoder=None, refit_share=0.25)
    )
    first = index.add(master([("zyxwv quux", [], "")], "N"))
    assert first == IndexChange(1, 0, 0, 0.1, False) and "zyx" not in index.lexical.vectorizer.vocabulary_
    assert index.update(master([("zyxwv corge", [], "")], "N")) == IndexChange(0, 0, 1, 0.2, False)
    last = index.remove(["E0"])
    assert last.refitted and last.changed_share == pytest.approx(0.3) and "zyx" in index.lexical.vectorizer.vocabulary_
    assert (index.changed, index.learned) == (0, 10)


def test_bad_ids_are_refused_and_change_nothing() -> None:
    index = CandidateIndex.build(master([("acme", [], ""), ("beacon", [], "")]), NEVER)
    before = copy.copy(index)
    for wrong, act in (
        ("already in the index", lambda: index.add(master([("cedar", [], "")]))),
        ("duplicate key", lambda: index.add(pd.concat([master([("cedar", [], "")], "N")] * 2, ignore_index=True))),
        ("is not in the index", lambda: index.remove(["E0", "X"])),
        ("is not in the index", lambda: index.update(master([("cedar", [], "")], "N"))),
        ("'name'", lambda: index.add(master([("cedar", [], "")], "N").assign(name=None))),
    ):
        with pytest.raises(UserError, match=wrong):
            act()
    same(index, before)


def test_an_index_may_become_empty_and_be_filled_again(tmp_path: Path) -> None:
    index = CandidateIndex.build(master([("acme", ["cedar"], ""), ("beacon", [], "")]), NEVER)
    index.remove(["E1", "E0"])
    assert index.entities == 0 and index.search(QUERIES).empty and not len(index.reference)
    index.save(tmp_path / "index")
    loaded = CandidateIndex.load(tmp_path / "index")
    assert loaded.search(QUERIES).empty
    loaded.add(master([("acme ltd", [], "")]))
    assert set(loaded.search(QUERIES)["entity"]) == {0}


def test_vectors_follow() -> None:
    settings = RetrievalSettings(encoder=PACKAGED_MODEL, refit_share=1e9)
    index = CandidateIndex.build(master([("acme bank", [], ""), ("cedar energy", ["delta"], "")]), settings)
    before, other = index.search(QUERIES), index.with_settings(index.settings)
    index.add(master([("beacon trust", ["holding"], "")], "N"))
    pd.testing.assert_frame_equal(other.search(QUERIES), before)
    added = index.search(QUERIES)
    assert index.vector is not None and len(index.vector.vectors()) == len(index.owner) == 5
    assert added[added["entity"] == 2]["vector"].notna().all() and len(added[added["entity"] == 2])
    index.remove(["N0"])
    pd.testing.assert_frame_equal(index.search(QUERIES), before)
    index.remove(["E0", "E1"])
    assert index.search(QUERIES).empty
    index.add(master([("acme bank", [], "")]))
    assert np.isclose(index.search(QUERIES)["vector"].max(), before["vector"].max(), atol=0.2)
