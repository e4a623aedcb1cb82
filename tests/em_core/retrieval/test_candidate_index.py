"""The candidate index: same answers after save and load, whatever the batch, and no padding."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from em_core.errors import UserError
from em_core.retrieval.index import CandidateIndex, RetrievalSettings
from em_core.schema import prepare_reference
from em_core.text.name_table import search_texts

NAMES = [
    "Siemens AG",
    "Siemens Energy AG",
    "Nestlé S.A.",
    "Rio Tinto plc",
    "Rio Tinto Ltd",
    "Apple Bank for Savings",
    "Apple Inc.",
]
LEXICAL = RetrievalSettings(encoder=None)


def master(names: list[str], aliases: list[list[str]] | None = None) -> pd.DataFrame:
    frame = pd.DataFrame({"entity_id": [f"E{i}" for i in range(len(names))], "name": names})
    return prepare_reference(frame if aliases is None else frame.assign(aliases=aliases))


@pytest.fixture(scope="module")
def with_vectors() -> CandidateIndex:
    return CandidateIndex.build(master(NAMES), RetrievalSettings())


def same(left: pd.DataFrame, right: pd.DataFrame) -> None:
    pd.testing.assert_frame_equal(left, right, check_exact=False, atol=1e-4, rtol=0)


def test_saved_index_answers_the_same(with_vectors: CandidateIndex, tmp_path: Path) -> None:
    with_vectors.save(tmp_path / "index")
    loaded = CandidateIndex.load(tmp_path / "index")
    queries = search_texts(["siemens", "rio tinto", "Nestle", "unheard of"])
    found = loaded.search(queries)
    same(with_vectors.search(queries), found)
    first = loaded.reference["entity_id"].to_numpy()[found[found["rank"] == 0]["entity"]]
    assert first[0] == "E0" and first[2] == "E2"
    pd.testing.assert_frame_equal(loaded.reference, with_vectors.reference)


def test_both_channels_speak(with_vectors: CandidateIndex) -> None:
    found = with_vectors.search(search_texts(["Siemens"]))
    assert found["vector"].between(-1.01, 1.01).all() and found["lexical"].iloc[0] > 0.5


@settings(max_examples=25, deadline=None)
@given(st.permutations(range(len(NAMES))), st.integers(1, 5))
def test_a_query_does_not_depend_on_its_neighbours(order: list[int], cut: int) -> None:
    index = CandidateIndex.build(master(NAMES), LEXICAL)
    texts = search_texts(NAMES)
    whole = index.search(texts)
    shuffled = index.search(texts[order][:cut])
    for row, original in enumerate(order[:cut]):
        left = shuffled[shuffled["query"] == row].drop(columns="query").reset_index(drop=True)
        right = whole[whole["query"] == original].drop(columns="query").reset_index(drop=True)
        pd.testing.assert_frame_equal(left, right)


def test_k_above_the_reference_gives_distinct_hits_without_padding(with_vectors: CandidateIndex) -> None:
    found = with_vectors.search(search_texts(["Siemens AG"]))
    assert found["entity"].is_unique and found["entity"].between(0, len(NAMES) - 1).all()
    assert found["rank"].tolist() == list(range(len(found)))


def test_one_row_and_duplicates() -> None:
    assert len(CandidateIndex.build(master(["Only One"]), LEXICAL).search(search_texts(["only one"]))) == 1
    twins = CandidateIndex.build(master(["Twin Ltd", "Twin Ltd"]), LEXICAL).search(search_texts(["twin ltd"]))
    assert twins["entity"].tolist() == [0, 1]


def test_aliases_find_their_entity_once() -> None:
    index = CandidateIndex.build(master(["Mobico Group", "Other"], [["National Express", "NatEx"], []]), LEXICAL)
    found = index.search(search_texts(["national express"]))
    assert found["entity"].tolist()[0] == 0 and found["entity"].is_unique


def test_a_hidden_entity_is_not_proposed() -> None:
    index = CandidateIndex.build(master(NAMES), LEXICAL)
    found = index.search(search_texts(["Siemens AG", "Siemens AG"]), np.array([0, -1]))
    assert 0 not in set(found[found["query"] == 0]["entity"]) and 0 in set(found[found["query"] == 1]["entity"])


def test_names_without_letters_find_nothing() -> None:
    index = CandidateIndex.build(master(NAMES), LEXICAL)
    assert index.search(search_texts(["", "😀"])).empty and index.search(np.array([], dtype=object)).empty
    with pytest.raises(UserError, match="no name has a letter"):
        CandidateIndex.build(master(["😀"]), LEXICAL)


@pytest.mark.parametrize("damage", ["no manifest", "missing file", "changed file", "other format", "broken json"])
def test_a_damaged_folder_is_refused(tmp_path: Path, damage: str) -> None:
    folder = tmp_path / "index"
    CandidateIndex.build(master(NAMES), LEXICAL).save(folder)
    manifest = folder / "manifest.json"
    if damage == "no manifest":
        manifest.unlink()
    elif damage == "missing file":
        (folder / "lexical" / "idf.npy").unlink()
    elif damage == "changed file":
        (folder / "lexical" / "vocabulary.json").write_text("[]")
    elif damage == "other format":
        manifest.write_text(json.dumps({**json.loads(manifest.read_text()), "format": 99}))
    else:
        manifest.write_text("{")
    with pytest.raises(UserError, match="build"):
        CandidateIndex.load(folder)
