"""Explanations on demand: they add up to the matcher's own probability, and what would change a decision was really tried."""

from __future__ import annotations

import io
import json
import re
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from rich.console import Console
from scipy.special import expit

from em_core.console import explanation_view
from em_core.decision.explanation import Explanation, variants
from em_core.demo.gleif import sample_gleif
from em_core.matcher import Matcher
from em_core.pairs.noise import perturb
from em_core.schema import ATTRIBUTES, prepare_source

OPEN = ("AMBIGUOUS", "CONFLICT", "NEAR_MISS", "SAME_GROUP")


def feed(rows: list[dict[str, object]]) -> pd.DataFrame:
    return prepare_source(
        pd.DataFrame([{"source_id": str(i), "name": None, **row} for i, row in enumerate(rows)]), system="crm"
    )


@pytest.fixture(scope="module")
def noisy(gleif: pd.DataFrame, reference: pd.DataFrame) -> pd.DataFrame:
    """500 noisy records of the reference, 200 of other firms, 60 that carry another firm's LEI."""
    outside = sample_gleif(gleif, 4000, seed=7)
    outside = outside[~outside["entity_id"].isin(reference["entity_id"])].head(200)
    rows = pd.concat([reference.head(500), outside, reference.head(60)], ignore_index=True)
    source = perturb(rows, seed=3).assign(source_id=np.arange(len(rows)).astype(str), source_system="feed", lei=None)
    source.loc[700:, "lei"] = reference["lei"].iloc[800:860].to_numpy()
    return prepare_source(source.drop(columns="operators"))


@pytest.fixture(scope="module")
def results(matcher: Matcher, noisy: pd.DataFrame) -> pd.DataFrame:
    return matcher.match(noisy)


@pytest.fixture(scope="module")
def some(matcher: Matcher, noisy: pd.DataFrame, results: pd.DataFrame) -> list[tuple[pd.Series, Explanation]]:
    """Up to three records of each method, with their results."""
    rows = results.groupby("method").head(3).index
    return list(zip([results.loc[row] for row in rows], matcher.explain(noisy.loc[rows], 4), strict=True))


def test_open_reviews_never_have_an_empty_reason(results: pd.DataFrame) -> None:
    mine = results[results["method"].isin(OPEN)]
    assert {"CONFLICT", "NEAR_MISS"} <= set(mine["method"]) and (mine["decision"] == "review").all()
    assert (
        mine["reason"].str.fullmatch(r"[A-Z'].{20,}\.").all() and not mine["reason"].str.contains(r"''|\bnan\b").any()
    )


def test_records_of_the_scorer_carry_short_reasons(matcher: Matcher, results: pd.DataFrame) -> None:
    said = results["evidence"].map(json.loads)
    scorer = results["stage"] == "scorer"
    plausible = scorer & (results["confidence"] >= matcher.scorer.settings.open_low)
    told = said.map(lambda item: bool({"for", "against"} & set(item)))
    # Where nothing plainly speaks, nothing is told; a match always has something that does.
    assert plausible.sum() > 50 and told[plausible].mean() > 0.8 and not told[~plausible].any()
    assert said[scorer & (results["decision"] == "auto_match")].map(lambda item: "for" in item).all()
    for item in said[plausible]:
        assert all(moved > 0 for moved in item.get("for", {}).values())
        assert all(moved < 0 for moved in item.get("against", {}).values())


def test_same_group_names_both_and_says_what_ties_them(matcher: Matcher, noisy: pd.DataFrame) -> None:
    lax = matcher.policy.model_copy(update={"auto_threshold": None, "review_threshold": 0.0, "rungs": {}})
    results = replace(matcher, policy=lax).match(noisy)
    said = results["evidence"].map(json.loads)
    kin = said.map(lambda item: "group" in item)
    mine = results["method"] == "SAME_GROUP"
    assert mine.any() and kin[mine].all()
    assert not (kin & results["method"].isin(["AMBIGUOUS", "NEAR_MISS"])).any()
    for item, (reason, name) in zip(said[mine], results.loc[mine, ["reason", "matched_name"]].to_numpy(), strict=True):
        assert item["group"]["relation"] in reason and item["group"]["name"] in reason and name in reason


def test_an_explanation_says_what_the_result_says(some: list[tuple[pd.Series, Explanation]]) -> None:
    assert len({told.method for _, told in some}) >= 5
    for result, told in some:
        assert (told.decision, told.method, told.stage, told.reason) == tuple(
            result[["decision", "method", "stage", "reason"]]
        )
        assert told.entity_id == result["matched_entity_id"] and told.evidence == json.loads(result["evidence"])
        assert len(told.candidates) <= 5
        if told.entity_id is not None:
            assert told.candidates[0].entity_id == told.entity_id
        if told.stage == "scorer" and told.candidates:
            assert told.candidates[0].probability == pytest.approx(told.confidence, abs=1e-9)


def test_base_families_and_parts_add_up_to_the_probability(some: list[tuple[pd.Series, Explanation]]) -> None:
    checked = 0
    for _, told in some:
        for one in told.candidates:
            if one.base is None or one.calibration is None:
                assert one.probability is None and not one.parts
                continue
            total = one.base + sum(one.families.values())
            assert expit(total + one.calibration) == pytest.approx(one.probability, abs=1e-9)
            assert sum(part.log_odds for part in one.parts) == pytest.approx(total - one.base, abs=1e-9)
            checked += 1
    assert checked > 20


def test_what_is_missing_was_not_compared(some: list[tuple[pd.Series, Explanation]]) -> None:
    for _, told in some:
        for one in told.candidates:
            assert not (set(one.agrees) | set(one.differs)) & set(one.not_compared)
            for part in one.parts:
                attribute = part.feature.startswith("same_") and part.feature not in (
                    "same_identifier",
                    "same_designators",
                    "same_class",
                )
                if (
                    attribute
                    and not (part.record and part.reference)
                    and part.feature not in ("same_numbers", "same_ticker")
                ):
                    assert part.words.endswith("not compared")


def test_a_change_that_is_told_comes_true(matcher: Matcher, noisy: pd.DataFrame, results: pd.DataFrame) -> None:
    row = results.index[(results["method"] == "NEAR_MISS")][0]
    (told,) = matcher.explain(noisy.loc[[row]])
    assert any(change.matters for change in told.changes)
    for change in told.changes:
        again = matcher.match(noisy.loc[[row]].assign(**change.attributes)).iloc[0]
        assert (again["decision"], again["method"], again["matched_entity_id"]) == (
            change.decision,
            change.method,
            change.entity_id,
        )
        assert change.matters == (change.decision != told.decision or change.entity_id != told.entity_id)


def test_what_is_tried() -> None:
    empty = dict.fromkeys(ATTRIBUTES)
    record = pd.Series({**empty, "name": "Acme", "country": "DE", "ticker": "ACM", "city": "Bonn"})
    candidate = pd.Series(
        {**empty, "name": "Acme AG", "country": "AT", "exchange": "XETR", "ticker": "ACM", "city": "Bonn"}
    )
    assert dict(variants(record, candidate)) == {
        "named 'Acme AG'": {"name": "Acme AG"},
        "with country AT instead of DE": {"country": "AT"},
        "without country DE": {"country": None},
        "without city Bonn": {"city": None},
        "with ticker ACM and exchange XETR instead of ACM": {"ticker": "ACM", "exchange": "XETR"},
        "without ticker ACM": {"ticker": None, "exchange": None},
    }


def test_the_rules_evidence_stands_behind_an_exact_match(matcher: Matcher, reference: pd.DataFrame) -> None:
    row = reference.iloc[7]
    (told,) = matcher.explain(feed([{"name": row["name"], "lei": row["lei"]}]))
    rung = matcher.policy.rungs["LEI"]
    assert told.method == "LEI" and told.threshold.labels == rung.labels
    assert f"{rung.labels - rung.errors:,} of {rung.labels:,}" in told.threshold.sentence


def test_records_without_name_or_candidate(matcher: Matcher, reference: pd.DataFrame) -> None:
    lei = reference["lei"].iloc[0]
    blank, suggested, other = matcher.explain(feed([{}, {"lei": lei}, {"name": "Beta"}]))
    assert (blank.method, blank.candidates, blank.changes) == ("BAD_INPUT", [], [])
    (one,) = suggested.candidates
    assert (one.entity_id, one.probability, one.base, one.families) == (lei, None, None, {}) and one.agrees[
        "lei"
    ] == lei
    assert any(change.words.startswith("named") and change.decision == "auto_match" for change in suggested.changes)
    assert other.source_id == "2"


def test_the_terminal_shows_it_whatever_the_names_hold(
    matcher: Matcher, some: list[tuple[pd.Series, Explanation]]
) -> None:
    (odd,) = matcher.explain(feed([{"name": "[red]Acme[/] [bold Holding", "city": "[/x]"}]))
    console = Console(width=200, file=io.StringIO())
    for told in [odd, *(explanation for _, explanation in some)]:
        console.print(explanation_view(told))
    text = console.file.getvalue()
    assert "[red]Acme[/] [bold Holding" in text and "before anything is compared" in text
    assert not re.search(r"\bnan\b", text)
