"""Training records and pairs: true answers, true nones, hard negatives, and no way to cheat."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from em_core.errors import UserError
from em_core.pairs.training import (
    PairSettings,
    ditto_pairs,
    hidden_positions,
    identifier_copies,
    prepare_labels,
    training_queries,
)
from em_core.retrieval.index import CandidateIndex, RetrievalSettings
from em_core.text.profile import profile


@pytest.fixture(scope="module")
def index(reference: pd.DataFrame) -> CandidateIndex:
    return CandidateIndex.build(reference, RetrievalSettings(encoder=None))


def test_a_small_pick_still_reaches_every_split(reference: pd.DataFrame) -> None:
    queries = training_queries(reference, PairSettings(queries=300, hidden_share=0.25))
    assert set(queries["split"]) == {"ditto", "ditto_valid", "scorer", "valid"}
    assert 0.15 < queries["entity_id"].isna().mean() < 0.35
    assert (queries["entity_id"].isna() == queries["hidden_id"].notna()).all()


def test_a_hidden_entity_is_never_a_candidate(reference: pd.DataFrame, index: CandidateIndex) -> None:
    queries = training_queries(reference, PairSettings(queries=300))
    hidden = hidden_positions(queries, reference)
    found = index.search(profile(queries), hidden)
    assert not (found["entity"].to_numpy() == hidden[found["query"].to_numpy()]).any()


def test_identifier_copies_keep_what_the_entity_has(reference: pd.DataFrame) -> None:
    bare = reference.assign(lei=reference["lei"].where(np.arange(len(reference)) < 500))
    copies = identifier_copies(bare, PairSettings(), most=400)
    assert len(copies) == 400 and copies["lei"].notna().all() and copies["entity_id"].isin(bare["entity_id"]).all()
    assert set(training_queries(bare, PairSettings(queries=50)).columns) - set(copies.columns) == {"split"}
    same = copies["lei"].to_numpy() == bare.set_index("entity_id")["lei"].loc[copies["entity_id"]].to_numpy()
    assert 0.9 < same.mean() < 1  # some are broken or another firm's


def test_pairs_are_disjoint_labelled_right_and_not_told_by_presence(
    reference: pd.DataFrame, index: CandidateIndex
) -> None:
    settings = PairSettings(queries=1200, ditto_pairs=900)
    pairs = ditto_pairs(training_queries(reference, settings), index, settings)
    assert (pairs["label"] == (pairs["left_key"] == pairs["right_key"])).all()
    sides = {split: set(part["left_key"]) | set(part["right_key"]) for split, part in pairs.groupby("split")}
    assert not sides["train"] & sides["valid"]
    assert 0.15 < pairs["label"].mean() < 0.5 and (pairs["left_entity"].str.startswith("COL name VAL ")).all()
    # Which attributes are there must not tell the label.
    for attribute in ("country", "industry"):
        present = pairs["left_entity"].str.contains(f"COL {attribute} VAL")
        rates = pairs.groupby(present)["label"].mean()
        if present.nunique() == 2 and present.value_counts().min() > 100:
            assert abs(rates[True] - rates[False]) < 0.12


def labels(reference: pd.DataFrame, count: int) -> pd.DataFrame:
    rows = reference.head(count)
    known = np.arange(count) % 4 > 0
    frame = pd.DataFrame(
        {
            "source_id": np.arange(count).astype(str),
            "name": rows["name"],
            "entity_id": rows["entity_id"].where(known, ""),
        }
    )
    return prepare_labels(frame, reference)


def test_few_labels_join_the_noise_and_many_replace_it(reference: pd.DataFrame) -> None:
    few = training_queries(reference, PairSettings(queries=400, few_labels=100), labels(reference, 60))
    many = training_queries(reference, PairSettings(queries=400, few_labels=100), labels(reference, 400))
    judged = {name: set(part["origin"]) for name, part in many.groupby("split")}
    assert judged["valid"] == judged["scorer"] == {"label"} and judged["ditto"] == {"label", "noise"}
    assert set(few.loc[few["split"] == "valid", "origin"]) == {"label", "noise"}
    assert many.loc[many["origin"] == "label", "entity_id"].isna().any()


def test_a_label_outside_the_reference_is_refused(reference: pd.DataFrame) -> None:
    with pytest.raises(UserError, match=r"row 2.*'IQ1'"):
        prepare_labels(pd.DataFrame({"id": ["1", "2"], "name": ["a", "b"], "entity_id": ["", "IQ1"]}), reference)
    with pytest.raises(UserError, match="entity_id"):
        prepare_labels(pd.DataFrame({"id": ["1"], "name": ["a"]}), reference)
