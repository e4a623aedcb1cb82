"""The engine end to end: every record gets one row, and the predecessor's mistakes stay away."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from em_core.demo.gleif import sample_gleif
from em_core.errors import UserError
from em_core.evaluation import evaluate
from em_core.fit import fit
from em_core.matcher import Matcher
from em_core.pairs.noise import perturb
from em_core.schema import DECISIONS, RESULT, STAGES, prepare_source
from em_core.settings import FitSettings

WHEN = ["run_id", "matched_at"]


def records(rows: list[dict[str, object]]) -> pd.DataFrame:
    return prepare_source(
        pd.DataFrame([{"source_id": str(i), "name": None, **row} for i, row in enumerate(rows)]), system="crm"
    )


@pytest.fixture(scope="module")
def noisy(gleif: pd.DataFrame, reference: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """400 noisy records of the reference and 100 of firms outside it, with truth."""
    outside = sample_gleif(gleif, 4000, seed=7)
    outside = outside[~outside["entity_id"].isin(reference["entity_id"])].head(100)
    rows = pd.concat([reference.head(400), outside], ignore_index=True)
    source = perturb(rows, seed=99).assign(source_id=rows["entity_id"], source_system="feed", lei=None)
    truth = pd.DataFrame(
        {"source_id": rows["entity_id"], "entity_id": rows["entity_id"].where(np.arange(500) < 400, None)}
    )
    return prepare_source(source.drop(columns="operators")), truth


def test_it_finds_most_and_invents_little(matcher: Matcher, noisy: tuple[pd.DataFrame, pd.DataFrame]) -> None:
    source, truth = noisy
    found = evaluate(matcher.match(source), truth)
    assert found.precision.value > 0.95 and found.recall.value > 0.6 and found.suggestion_accuracy.value > 0.85


def test_the_lei_decides_once_measured_on_enough_records(matcher: Matcher, reference: pd.DataFrame) -> None:
    lei = matcher.policy.rungs["LEI"]
    assert lei.labels >= 500 and "LEI" in matcher.policy.automatic_rungs()
    row = reference.iloc[7]
    result = matcher.match(records([{"name": row["name"].upper(), "lei": row["lei"]}])).iloc[0]
    assert (result["method"], result["matched_entity_id"]) == ("LEI", row["entity_id"])


def test_one_row_for_each_record_in_the_same_order(matcher: Matcher, noisy: tuple[pd.DataFrame, pd.DataFrame]) -> None:
    source, _ = noisy
    results = matcher.match(source)
    assert list(results.columns) == list(RESULT.columns)
    pd.testing.assert_frame_equal(results[list(RESULT.key)], source[list(RESULT.key)])
    assert results["decision"].isin(DECISIONS).all() and results["stage"].isin(STAGES).all()
    assert results["confidence"].dropna().between(0, 1).all() and (results["reason"].str.len() > 10).all()
    assert (results["matched_entity_id"].isna() == (results["decision"] == "no_match")).all()
    assert results["evidence"].map(json.loads).map(lambda e: isinstance(e, dict)).all()


def test_the_best_candidates_of_a_record_in_order(matcher: Matcher, noisy: tuple[pd.DataFrame, pd.DataFrame]) -> None:
    source, truth = noisy
    best = matcher.candidates(pd.concat([source, records([{"name": "!!"}])], ignore_index=True), best=3)
    assert best["row"].is_monotonic_increasing and best["row"].max() < len(source)
    lists = best.groupby("row")
    assert (lists["place"].apply(list).map(lambda places: places == list(range(1, len(places) + 1)))).all()
    assert lists["probability"].apply(lambda p: p.is_monotonic_decreasing).all() and lists.size().max() == 3
    wanted = truth["entity_id"].to_numpy()[best["row"]]
    assert (best["entity_id"] == wanted)[best["place"] == 1].sum() > 0.8 * truth["entity_id"].notna().sum()


@settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.integers(0, 499), min_size=1, max_size=12, unique=True))
def test_a_part_is_matched_like_the_whole(
    matcher: Matcher, noisy: tuple[pd.DataFrame, pd.DataFrame], rows: list[int]
) -> None:
    source, _ = noisy
    whole = matcher.match(source).iloc[rows].reset_index(drop=True)
    part = matcher.match(source.iloc[rows].reset_index(drop=True))
    pd.testing.assert_frame_equal(whole.drop(columns=WHEN), part.drop(columns=WHEN), check_exact=False, atol=1e-9)


@pytest.mark.parametrize("name", [None, "", "   ", float("nan"), "😀😀", "—"])
def test_a_blank_name_is_bad_input_on_that_row(matcher: Matcher, name: object) -> None:
    result = matcher.match(records([{"name": name}, {"name": "Something Else Ltd"}]))
    assert result.loc[0, ["decision", "method", "stage"]].tolist() == ["no_match", "BAD_INPUT", "none"]
    assert result.loc[1, "method"] != "BAD_INPUT"


def test_an_identifier_without_a_name_is_shown_to_a_steward(matcher: Matcher, reference: pd.DataFrame) -> None:
    lei = reference["lei"].iloc[0]
    result = matcher.match(records([{"lei": lei}])).iloc[0]
    assert (result["decision"], result["method"], result["matched_entity_id"]) == ("review", "BAD_INPUT", lei)


def test_another_firms_identifier_is_a_conflict_with_both_named(matcher: Matcher, reference: pd.DataFrame) -> None:
    mine, other = reference.iloc[0], reference.iloc[700]
    result = matcher.match(records([{"name": mine["name"], "country": mine["country"], "lei": other["lei"]}])).iloc[0]
    assert (result["decision"], result["method"]) == ("review", "CONFLICT")
    assert {result["matched_entity_id"], result["runner_up_id"]} == {mine["entity_id"], other["entity_id"]}
    assert other["name"] in result["reason"]


def test_an_invalid_identifier_is_reported_and_never_matches(matcher: Matcher, reference: pd.DataFrame) -> None:
    lei = reference["lei"].iloc[3]
    broken = lei[:-1] + str((int(lei[-1]) + 1) % 10)
    result = matcher.match(records([{"name": "Wholly Unheard Of Quuxfoo", "lei": broken}])).iloc[0]
    assert result["decision"] != "auto_match" and "check digits" in json.loads(result["evidence"])["lei"]


def test_a_very_long_name(matcher: Matcher) -> None:
    assert len(matcher.match(records([{"name": "Very Long Name " * 140}]))) == 1


def test_rematching_gives_the_same(
    matcher: Matcher, matcher_folder: Path, noisy: tuple[pd.DataFrame, pd.DataFrame]
) -> None:
    source = noisy[0].head(60)
    again = Matcher.load(matcher_folder).match(source)
    pd.testing.assert_frame_equal(matcher.match(source).drop(columns=WHEN), again.drop(columns=WHEN))


def test_the_same_fit_gives_the_same_version(
    tmp_path: Path, reference: pd.DataFrame, light_settings: FitSettings
) -> None:
    once, again = (fit(reference.head(400), tmp_path / name, light_settings).version for name in ("once", "again"))
    assert once == again


def test_a_small_reference_is_refused(tmp_path: Path, reference: pd.DataFrame, light_settings: FitSettings) -> None:
    with pytest.raises(UserError, match="has 1 row"):
        fit(reference.head(1), tmp_path / "m", light_settings)
    assert not (tmp_path / "m").exists()


def test_a_failed_fit_leaves_the_old_matcher(
    tmp_path: Path, reference: pd.DataFrame, light_settings: FitSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    fit(reference.head(400), tmp_path / "m", light_settings)
    before = Matcher.load(tmp_path / "m").version
    monkeypatch.setattr("em_core.fit.write_matcher", lambda *_: (_ for _ in ()).throw(RuntimeError("killed")))
    with pytest.raises(RuntimeError):
        fit(reference.head(400), tmp_path / "m", light_settings)
    assert Matcher.load(tmp_path / "m").version == before
    assert [p.name for p in tmp_path.iterdir()] == ["m"]


def test_a_half_written_matcher_is_refused(tmp_path: Path, matcher_folder: Path) -> None:
    import shutil

    shutil.copytree(matcher_folder, tmp_path / "m")
    (tmp_path / "m" / "scorer_list.skops").unlink()
    with pytest.raises(UserError, match=r"scorer_list\.skops is missing"):
        Matcher.load(tmp_path / "m")
    with pytest.raises(UserError, match="not a complete folder"):
        Matcher.load(tmp_path / "absent")
