"""The review queue: one question once, the most valuable first, in an order that the rows' order does not change."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from em_core.decision.review import QUEUE, ReviewSettings, review_queue
from em_core.errors import UserError
from em_core.schema import RESULT, prepare_results, prepare_source


def result(key: str, name: str | None = "Acme", **given: Any) -> dict[str, Any]:
    """One row of results under review."""
    said: dict[str, Any] = {} if name is None else {"name": {"source": name, "reference": "Acme Ltd"}}
    row = {
        "source_system": "crm", "source_id": key, "matched_entity_id": "E1", "matched_name": "Acme Ltd", "decision": "review",
        "confidence": 0.6, "stage": "scorer", "method": "NEAR_MISS", "reason": "May fit.", "runner_up_id": "E2", "margin": 0.5,
        "run_id": "r", "matcher_version": "m", "reference_version": "v", "matched_at": "2026-01-01T00:00:00Z",
    }  # fmt: skip
    return row | {"evidence": json.dumps(said | given.pop("facts", {}))} | given


def table(*rows: dict[str, Any]) -> pd.DataFrame:
    return prepare_results(pd.DataFrame(rows, columns=list(RESULT.columns)))


def members(queue: pd.DataFrame) -> list[list[str]]:
    return [[key for _, key in json.loads(keys)] for keys in queue["keys"]]


def test_equal_names_are_one_question_and_decided_records_are_none() -> None:
    queue = review_queue(
        table(
            result("1"), result("2", "ACME"), result("3", "Zenith"), result("4", decision="auto_match", method="SCORER")
        )
    )
    assert list(queue.columns) == list(QUEUE)
    assert members(queue) == [["1", "2"], ["3"]] and queue["records"].tolist() == [2, 1]
    assert queue["value"].tolist() == pytest.approx([2 * queue["value"][1], 0.6 + 0.4 * 0.25 - 0.4 * 0.02 * 10])
    assert queue["why"].tolist() == [
        "settles 2 records: the suggestion (0.60) or none",
        "settles 1 record: the suggestion (0.60) or none",
    ]


@pytest.mark.parametrize(
    "other",
    [
        {"matched_entity_id": "E3"},
        {"method": "AMBIGUOUS"},
        {"facts": {"country": "differs"}},
        {"facts": {"lei": "invalid: fails its check digits"}},
    ],
)
def test_what_makes_another_question(other: dict[str, Any]) -> None:
    assert len(review_queue(table(result("1"), result("2", **other)))) == 2


def test_reasons_and_numbers_make_no_other_question() -> None:
    rows = table(
        result("1"), result("2", confidence=0.4, facts={"for": {"same country": 0.3}}, reason="Another sentence.")
    )
    (value,) = review_queue(rows)["value"]
    assert value == pytest.approx(sum(p + (1 - p) * 0.25 - (1 - p) * 0.2 for p in (0.6, 0.4)))


def test_records_without_a_name_are_never_one_question() -> None:
    assert len(review_queue(table(result("1", None, method="BAD_INPUT"), result("2", None, method="BAD_INPUT")))) == 2


def test_the_source_tells_countries_apart() -> None:
    rows = table(result("1"), result("2"), result("3"))
    source = pd.DataFrame(
        {"source_id": ["1", "2", "3", "4"], "name": ["Acme"] * 4, "country": ["DE", "France", "Germany", "DE"]}
    )
    queue = review_queue(rows, prepare_source(source, system="crm"))
    assert members(queue) == [["1", "3"], ["2"]] and queue["name"].tolist() == ["Acme", "Acme"]


def test_a_source_that_lacks_a_record_is_refused() -> None:
    source = prepare_source(pd.DataFrame({"source_id": ["1"], "name": ["Acme"]}), system="crm")
    with pytest.raises(UserError, match="no record '2' of 'crm'"):
        review_queue(table(result("1"), result("2")), source)


def test_evidence_that_is_no_json_is_refused() -> None:
    with pytest.raises(UserError, match="record '1' of 'crm' is not a JSON object"):
        review_queue(table(result("1") | {"evidence": "[1"}))


def test_two_that_exclude_each_other_are_scaled_and_both_count() -> None:
    tied = review_queue(table(result("1", method="AMBIGUOUS", confidence=0.9, margin=0.0)))
    assert tied["value"][0] == pytest.approx(1 - 0.5 * 0.2)
    assert tied["why"][0] == "settles 1 record: the suggestion (0.90), the runner-up (0.90) or neither"
    lone = review_queue(table(result("1", confidence=0.9, margin=0.0)))
    assert lone["value"][0] == pytest.approx(0.9 + 0.1 * 0.25 - 0.1 * 0.2)


def test_bad_data_stands_apart_and_the_unknown_comes_last() -> None:
    queue = review_queue(
        table(
            result("1", "A", method="CONFLICT", confidence=0.99),
            result("2", "B", method="AMBIGUOUS", confidence=np.nan, margin=np.nan),
            result("3", "C", confidence=0.2),
            result("4", None, method="BAD_INPUT", confidence=np.nan, margin=np.nan),
        )
    )
    assert [key for (key,) in members(queue)] == ["3", "2", "1", "4"]
    assert queue["task"].tolist() == ["decide", "decide", "mend data", "mend data"]
    assert queue["value"].isna().tolist() == [False, True, False, True]
    assert (
        queue["why"][1].endswith("no probability is known")
        and "disagree" in queue["why"][2]
        and "no name" in queue["why"][3]
    )


def test_dear_mistakes_move_doubtful_suggestions_back() -> None:
    rows = table(result("1", "A", confidence=0.4), result("2", "B", confidence=0.7), result("3", "A", confidence=0.4))
    assert members(review_queue(rows)) == [["1", "3"], ["2"]]
    assert members(review_queue(rows, settings=ReviewSettings(wrong=40))) == [["2"], ["1", "3"]]


def test_nothing_to_review_is_an_empty_queue() -> None:
    queue = review_queue(table(result("1", decision="no_match")))
    assert len(queue) == 0 and list(queue.columns) == list(QUEUE)


ROW = st.tuples(
    st.sampled_from(["Acme", "ACME", "Zenith", None]),
    st.sampled_from(["NEAR_MISS", "AMBIGUOUS", "SAME_GROUP", "CONFLICT"]),
    st.sampled_from([np.nan, 0.0, 0.3, 1.0]),
)


@settings(deadline=None, max_examples=12)
@given(st.lists(ROW, min_size=1, max_size=12), st.randoms(use_true_random=False))
def test_every_record_is_asked_once_in_one_order(rows: list[tuple[str | None, str, float]], random: Any) -> None:
    made = [result(f"{i:02}", name, method=method, confidence=p) for i, (name, method, p) in enumerate(rows)]
    queue = review_queue(table(*made))
    assert sorted(key for keys in members(queue) for key in keys) == [f"{i:02}" for i in range(len(rows))]
    assert queue["place"].tolist() == list(range(1, len(queue) + 1)) and (queue["why"].str.len() > 10).all()
    values = queue.loc[queue["task"] == "decide", "value"].fillna(-np.inf)
    assert values.is_monotonic_decreasing
    random.shuffle(made)
    pd.testing.assert_frame_equal(queue, review_queue(table(*made)))
