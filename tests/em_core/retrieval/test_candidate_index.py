"""The candidate index: same answers after save and load, whatever the batch, and no padding."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from em_core.ditto.base_model import PACKAGED_MODEL
from em_core.errors import UserError
from em_core.pairs.noise import NoiseSettings, perturb
from em_core.retrieval.index import CandidateIndex, RetrievalSettings
from em_core.schema import prepare_reference, prepare_source
from em_core.text.profile import profile

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


def master(names: list[str], aliases: list[list[str]] | None = None, **columns: list[str]) -> pd.DataFrame:
    frame = pd.DataFrame({"entity_id": [f"E{i}" for i in range(len(names))], "name": names, **columns})
    return prepare_reference(frame if aliases is None else frame.assign(aliases=aliases))


def records(names: list[str], **columns: list[str]) -> pd.DataFrame:
    frame = pd.DataFrame({"source_id": [str(i) for i in range(len(names))], "name": names, **columns})
    return profile(prepare_source(frame, system="test"))


@pytest.fixture(scope="module")
def with_vectors() -> CandidateIndex:
    return CandidateIndex.build(master(NAMES), RetrievalSettings(encoder=PACKAGED_MODEL))


def same(left: pd.DataFrame, right: pd.DataFrame) -> None:
    pd.testing.assert_frame_equal(left, right, check_exact=False, atol=1e-4, rtol=0)


def test_saved_index_answers_the_same(with_vectors: CandidateIndex, tmp_path: Path) -> None:
    with_vectors.save(tmp_path / "index")
    loaded = CandidateIndex.load(tmp_path / "index")
    queries = records(["siemens", "rio tinto", "Nestle", "unheard of"])
    found = loaded.search(queries)
    same(with_vectors.search(queries), found)
    first = loaded.reference["entity_id"].to_numpy()[found[found["rank"] == 0]["entity"]]
    assert first[0] == "E0" and first[2] == "E2"
    pd.testing.assert_frame_equal(loaded.reference, with_vectors.reference)
    pd.testing.assert_frame_equal(loaded.profile, with_vectors.profile)
    assert loaded.version == with_vectors.version


def test_both_channels_speak(with_vectors: CandidateIndex) -> None:
    found = with_vectors.search(records(["Siemens"]))
    assert found["vector"].between(-1.01, 1.01).all() and found["lexical"].iloc[0] > 0.5


def test_another_encoder_is_refused(with_vectors: CandidateIndex, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="built with the encoder"):
        with_vectors.with_settings(RetrievalSettings(encoder="another"))
    with_vectors.save(tmp_path / "index")
    manifest = tmp_path / "index" / "manifest.json"
    manifest.write_text(json.dumps({**json.loads(manifest.read_text()), "encoder_fingerprint": "other weights"}))
    loaded = CandidateIndex.load(tmp_path / "index")
    with pytest.raises(UserError, match="the index was built with other weights"):
        loaded.search(records(["Siemens"]))
    before = loaded.reference.copy()
    with pytest.raises(UserError, match="the index was built with other weights"):
        loaded.add(master(["New Firm"]).assign(entity_id="N"))
    pd.testing.assert_frame_equal(loaded.reference, before)
    assert not loaded.with_settings(LEXICAL).search(records(["Siemens"])).empty


@settings(max_examples=15, deadline=None)
@given(st.permutations(range(len(NAMES))), st.integers(1, 5))
def test_a_query_does_not_depend_on_its_neighbours(order: list[int], cut: int) -> None:
    index = CandidateIndex.build(master(NAMES), LEXICAL)
    queries = records(NAMES)
    whole = index.search(queries)
    shuffled = index.search(queries.iloc[order[:cut]])
    for row, original in enumerate(order[:cut]):
        left = shuffled[shuffled["query"] == row].drop(columns="query").reset_index(drop=True)
        right = whole[whole["query"] == original].drop(columns="query").reset_index(drop=True)
        pd.testing.assert_frame_equal(left, right)


def test_chunks_give_what_the_whole_gives(reference: pd.DataFrame, monkeypatch: pytest.MonkeyPatch) -> None:
    index = CandidateIndex.build(reference, LEXICAL)
    queries = profile(perturb(reference.head(120), 3, NoiseSettings(), reference))
    hidden = np.where(np.arange(120) % 3 == 0, np.arange(120), -1)
    whole = index.search(queries, hidden)
    monkeypatch.setattr("em_core.retrieval.index._QUERIES", 17)
    pd.testing.assert_frame_equal(index.search(queries, hidden), whole)
    assert not (whole["entity"].to_numpy() == hidden[whole["query"].to_numpy()]).any()


def test_a_budget_of_postings_loses_nothing_here(reference: pd.DataFrame) -> None:
    noisy = profile(perturb(reference, 5, NoiseSettings(), reference))
    index = CandidateIndex.build(reference, RetrievalSettings(encoder=None, keys=()))
    recall = {}
    for budget in (None, 300):
        found = index.with_settings(RetrievalSettings(encoder=None, keys=(), posting_budget=budget)).search(noisy)
        recall[budget] = (found["query"] == found["entity"])[found["rank"] < 10].sum() / len(reference)
    assert recall[None] > 0.97 and recall[300] > recall[None] - 0.005


def test_k_above_the_reference_gives_distinct_hits_without_padding(with_vectors: CandidateIndex) -> None:
    found = with_vectors.search(records(["Siemens AG"]))
    assert found["entity"].is_unique and found["entity"].between(0, len(NAMES) - 1).all()
    assert found["rank"].tolist() == list(range(len(found)))


def test_one_row_and_duplicates() -> None:
    assert len(CandidateIndex.build(master(["Only One"]), LEXICAL).search(records(["only one"]))) == 1
    twins = CandidateIndex.build(master(["Twin Ltd", "Twin Ltd"]), LEXICAL).search(records(["twin ltd"]))
    assert twins["entity"].tolist() == [0, 1]


def test_more_twins_than_places_are_cut_by_position() -> None:
    index = CandidateIndex.build(master(["Twin Ltd"] * 90), RetrievalSettings(encoder=None, keys=()))
    assert index.search(records(["twin ltd"]))["entity"].tolist() == list(range(20))


def test_aliases_find_their_entity_once() -> None:
    index = CandidateIndex.build(master(["Mobico Group", "Other"], [["National Express", "NatEx"], []]), LEXICAL)
    found = index.search(records(["national express"]))
    assert found["entity"].tolist()[0] == 0 and found["entity"].is_unique and found["lexical"].iloc[0] > 0.99


def test_a_hidden_entity_is_not_proposed_by_any_name_of_it() -> None:
    aliases = [[f"Siemens {letter}" for letter in "abcdefgh"], *([[]] * (len(NAMES) - 1))]
    index = CandidateIndex.build(master(NAMES, aliases), RetrievalSettings(encoder=None, per_channel=2))
    found = index.search(records(["Siemens AG", "Siemens AG"]), np.array([0, -1]))
    assert found[found["query"] == 0]["entity"].tolist()[0] == 1 and 0 not in set(found[found["query"] == 0]["entity"])
    assert 0 in set(found[found["query"] == 1]["entity"])


def test_names_without_letters_find_nothing() -> None:
    index = CandidateIndex.build(master(NAMES), LEXICAL)
    nameless = records(["", "😀"])
    assert index.search(nameless).empty and index.search(nameless.iloc[:0]).empty
    with pytest.raises(UserError, match="no name has a letter"):
        CandidateIndex.build(master(["😀"]), LEXICAL)


@pytest.mark.parametrize(
    "damage", ["no manifest", "missing file", "changed file", "other format", "other n-grams", "broken json"]
)
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
        manifest.write_text(json.dumps({**json.loads(manifest.read_text()), "format": 2}))
    elif damage == "other n-grams":
        manifest.write_text(json.dumps({**json.loads(manifest.read_text()), "lexical": {"ngrams": [3, 3]}}))
    else:
        manifest.write_text("{")
    with pytest.raises(UserError, match="build"):
        CandidateIndex.load(folder)


def test_large_files_are_judged_by_size_or_whole_on_demand(tmp_path: Path) -> None:
    folder = tmp_path / "index"
    CandidateIndex.build(master(NAMES), LEXICAL).save(folder)
    large = folder / "lexical" / "pair_rarity.npy"
    content = bytearray(large.read_bytes())
    content[-1] ^= 1
    large.write_bytes(bytes(content))
    CandidateIndex.load(folder)
    with pytest.raises(UserError, match="pair_rarity"):
        CandidateIndex.load(folder, whole=True)
    large.write_bytes(bytes(content[:-8]))
    with pytest.raises(UserError, match="pair_rarity"):
        CandidateIndex.load(folder)


def test_an_open_index_stays_whole_when_its_folder_is_replaced(tmp_path: Path) -> None:
    folder = tmp_path / "index"
    CandidateIndex.build(master(NAMES), LEXICAL).save(folder)
    opened = CandidateIndex.load(folder)
    CandidateIndex.build(master(NAMES[:3]), LEXICAL).save(folder)
    assert len(opened.search(records(["Apple Inc."]))) > 0
    pd.testing.assert_frame_equal(opened.reference, master(NAMES))
    pd.testing.assert_frame_equal(opened.profile, profile(master(NAMES)))
    assert len(CandidateIndex.load(folder).reference) == 3


def test_an_opened_index_can_be_saved_over_itself(tmp_path: Path) -> None:
    folder = tmp_path / "index"
    CandidateIndex.build(master(NAMES), LEXICAL).save(folder)
    opened = CandidateIndex.load(folder)
    before = opened.search(records(NAMES))
    opened.save(folder)
    pd.testing.assert_frame_equal(opened.search(records(NAMES)), before)
    pd.testing.assert_frame_equal(CandidateIndex.load(folder).search(records(NAMES)), before)
