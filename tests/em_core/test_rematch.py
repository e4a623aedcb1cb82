"""Incremental matching: what is unchanged is reused, what changed is matched again, and the outcome is that of a whole match."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from em_core.errors import UserError
from em_core.matcher import Matcher, with_index
from em_core.pairs.noise import NoiseSettings, perturb
from em_core.rematch import CANDIDATES, MODEL, NEW, RECORD, REUSED, flips, rematch
from em_core.retrieval.index import CandidateIndex
from em_core.schema import RESULT, prepare_source

SAID = ["matched_entity_id", "decision", "method", "stage"]


@pytest.fixture(scope="module")
def matcher(matcher_folder: Path) -> Matcher:
    return Matcher.load(matcher_folder)


@pytest.fixture(scope="module")
def source(reference: pd.DataFrame) -> pd.DataFrame:
    picked = reference.iloc[::10].reset_index(drop=True)
    noisy = perturb(picked, 3, NoiseSettings(), reference)
    frame = noisy[["name", "country", "city"]].assign(id=[f"r{i}" for i in range(len(noisy))])
    frame.loc[5, "name"] = None
    return prepare_source(frame, origin="feed", system="crm")


@pytest.fixture(scope="module")
def first(matcher: Matcher, source: pd.DataFrame) -> pd.DataFrame:
    done = rematch(matcher, source, run_id="one")
    assert set(done.why) == {NEW}
    pd.testing.assert_frame_equal(
        done.results[SAID].astype(object), matcher.match(source)[SAID].astype(object), check_dtype=False
    )
    return done.results


def test_unchanged_records_keep_their_row(matcher: Matcher, source: pd.DataFrame, first: pd.DataFrame) -> None:
    again = rematch(matcher, source.iloc[::-1].reset_index(drop=True), first, run_id="two")
    assert set(again.why) == {REUSED} and again.counts() == {REUSED: len(source)}
    pd.testing.assert_frame_equal(again.results.iloc[::-1].reset_index(drop=True), first, check_dtype=False)
    assert set(again.results["run_id"]) == {"one"}


def test_only_the_edited_and_the_new_record_are_matched(
    matcher: Matcher, source: pd.DataFrame, first: pd.DataFrame
) -> None:
    edited = source.copy()
    edited.loc[7, "city"] = "Elsewhere"
    extra = source.iloc[[9]].assign(source_id="extra")
    done = rematch(matcher, pd.concat([edited, extra], ignore_index=True), first, run_id="two")
    assert np.flatnonzero(done.why == RECORD).tolist() == [7] and done.why[-1] == NEW
    assert (done.why == REUSED).sum() == len(source) - 1
    assert set(done.results.loc[done.why != REUSED, "run_id"]) == {"two"}


def test_full_matches_everything(matcher: Matcher, source: pd.DataFrame, first: pd.DataFrame) -> None:
    done = rematch(matcher, source, first, run_id="two", full=True)
    assert set(done.results["run_id"]) == {"two"} and not (done.why == REUSED).any()


def test_another_model_matches_everything(source: pd.DataFrame, first: pd.DataFrame, matcher: Matcher) -> None:
    other = Matcher(matcher.engine, matcher.scorer, matcher.policy, {**matcher.manifest, "model_version": "other"})
    assert set(rematch(other, source, first).why) == {MODEL}


def test_a_changed_reference_reaches_those_whom_it_concerns(
    matcher_folder: Path, reference: pd.DataFrame, source: pd.DataFrame, first: pd.DataFrame, tmp_path: Path
) -> None:
    index = CandidateIndex.load(matcher_folder / "index")
    gone = first.loc[first["decision"] == "auto_match", "matched_entity_id"].iloc[0]
    twin = reference[reference["entity_id"] == first["matched_entity_id"].dropna().iloc[-1]].assign(entity_id="TWIN")
    index.remove([gone])
    index.add(twin)
    index.save(tmp_path / "index")
    version = with_index(matcher_folder, tmp_path / "index", tmp_path / "matcher")
    newer = Matcher.load(tmp_path / "matcher")
    assert newer.version == version != newer.model_version == Matcher.load(matcher_folder).model_version
    assert newer.reference_version == index.version

    done = rematch(newer, source, first, run_id="two")
    changed = done.why == CANDIDATES
    assert 0 < changed.sum() < len(source) / 2 and (done.why[~changed] == REUSED).all()
    assert gone not in set(done.results["matched_entity_id"])
    # What was reused is what a whole match says as well.
    whole = newer.match(source)
    assert (done.results[SAID].fillna("") == whole[SAID].fillna("")).all(axis=None)
    told = flips(first, done.results)
    assert set(told["why"]) == {"the reference offers it something else"}
    assert gone in set(told["old_matched_entity_id"]) and set(told["change"]) <= {"identifier", "decision"}
    # Once checked, the next look costs no search.
    assert set(rematch(newer, source, done.results).why) == {REUSED}
    back = rematch(Matcher.load(matcher_folder), source, done.results)
    assert (back.results[SAID].fillna("") == first[SAID].fillna("")).all(axis=None)


def test_an_index_with_other_settings_is_refused(matcher_folder: Path, reference: pd.DataFrame, tmp_path: Path) -> None:
    settings = CandidateIndex.load(matcher_folder / "index").settings.model_copy(update={"candidates": 7})
    CandidateIndex.build(reference, settings).save(tmp_path / "index")
    with pytest.raises(UserError, match=r"retrieval\.candidates"):
        with_index(matcher_folder, tmp_path / "index", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_flips_tell_who_came_and_went(first: pd.DataFrame) -> None:
    after = first.iloc[1:].reset_index(drop=True)
    after.loc[0, ["decision", "matched_entity_id"]] = ["review", after.loc[0, "matched_entity_id"]]
    told = flips(first.iloc[:-1], after)
    kinds = dict(zip(told["source_id"], told["change"], strict=True))
    assert kinds[first["source_id"].iloc[0]] == "gone" and kinds[first["source_id"].iloc[-1]] == "new"
    assert list(told.columns[:2]) == list(RESULT.key)
    assert json.dumps(sorted(kinds.values()))
