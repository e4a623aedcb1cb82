"""What a policy says and does: rungs, thresholds by source, words."""

from __future__ import annotations

import numpy as np
import pytest
from pydantic import ValidationError

from em_core.decision.policy import DecisionPolicy, Evidence, PolicySettings, Promise, Thresholds

SETTINGS = PolicySettings(precision=0.9)
RIGHT = Evidence.of(np.ones(200, dtype=bool), 0.95)


def policy(auto: float | None = 0.8, **promise: object) -> DecisionPolicy:
    return DecisionPolicy(
        settings=SETTINGS,
        auto_threshold=auto,
        review_threshold=0.3,
        auto_evidence=RIGHT,
        promise=Promise(**{"threshold": 0.8} | promise),
        rungs={},
        labels_from="the user's labels",
    )


def test_evidence_of_299_right_labels_certifies_99_percent() -> None:
    assert Evidence.of(np.ones(299, dtype=bool), 0.95).lower_bound >= 0.99
    assert Evidence.of(np.ones(298, dtype=bool), 0.95).lower_bound < 0.99


def test_a_rung_decides_only_with_labels_that_keep_the_promise() -> None:
    rungs = {
        "LEI": RIGHT,
        "FIGI": Evidence.of(np.ones(99, dtype=bool), 0.95),
        "CUSIP": Evidence.of(np.arange(1000) > 5, 0.95),
        "ISIN": Evidence.of(np.zeros(0, dtype=bool), 0.95),
        "NAME_UNIQUE": Evidence.of(np.arange(10) > 2, 0.95),
    }
    assert policy().model_copy(update={"rungs": rungs}).automatic_rungs() == {"LEI"}


@pytest.mark.parametrize(
    ("auto", "promise", "words"),
    [
        (0.8, {"kind": "certified", "precision": 0.9}, ["certified: at least 90.00%", "95% certainty", "200 of 200"]),
        (0.8, {"kind": "weaker", "precision": 0.8, "more_labels": 1200}, ["certified for 80.00% instead of 90.00%", "about 1,200 more"]),
        (0.8, {"kind": "simulated", "labels_from": "noise records"}, ["not certified by labels", "noise records"]),
        (0.8, {"kind": "estimated"}, ["not certified", "an estimate"]),
        (0.8, {"kind": "cost"}, ["chosen by cost, not certified"]),
        (None, {"kind": "cost", "threshold": None}, ["nothing is automatic"]),
        (None, {"kind": "estimated"}, ["not certified, and certified_only is set"]),
        (None, {"kind": "none", "threshold": None}, ["sends everything to review"]),
    ],
)  # fmt: skip
def test_every_promise_is_one_plain_sentence(auto: float | None, promise: dict[str, object], words: list[str]) -> None:
    said = policy(auto, **promise).in_words()
    assert all(word in said for word in words), said
    assert said.endswith(".") and ". " not in said and "None" not in said


def test_sources_have_their_own_thresholds_and_others_the_common_ones() -> None:
    own = Thresholds(
        auto_threshold=0.95, review_threshold=0.4, auto_evidence=RIGHT, promise=Promise(kind="certified", precision=0.9)
    )
    none = own.model_copy(update={"auto_threshold": None, "promise": Promise(kind="none")})
    mine = policy(kind="certified", precision=0.9).model_copy(update={"sources": {"crm": own, "feed": none}})
    auto, review = mine.thresholds_of(np.array(["crm", "other", "feed"], dtype=object))
    assert auto.tolist() == [0.95, 0.8, np.inf] and review.tolist() == [0.4, 0.3, 0.4]
    assert (
        set(mine.sources_in_words()) == {"crm", "feed"}
        and "all of them together with at least 90%" in mine.multiplicity()
    )
    assert policy().multiplicity() == ""
    assert DecisionPolicy(**mine.model_dump(mode="json")) == mine


def test_choosing_by_cost_needs_costs() -> None:
    with pytest.raises(ValidationError, match="choose_by: cost needs costs"):
        PolicySettings(choose_by="cost")
    with pytest.raises(ValidationError, match="between 0 and 1"):
        PolicySettings(weaker=(0.9, 1.5))
