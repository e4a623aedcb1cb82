"""Every feature has words, and what is missing is never evidence."""

from __future__ import annotations

import math

import numpy as np
import pytest

from em_core.decision.contributions import PARTS
from em_core.decision.wording import WORDS, say, speaks


def test_every_feature_has_words() -> None:
    assert set(WORDS) == set(PARTS)
    for feature in PARTS:
        assert say(feature, math.nan).endswith("not compared")
        for value in (-40.0, -0.3, 0.0, 0.5, 0.75, 1.0, 2.0, 85.0, 100.0):
            assert say(feature, value) and "nan" not in say(feature, value)


@pytest.mark.parametrize(
    ("feature", "value", "words"),
    [
        ("same_country", 1.0, "same country"),
        ("same_country", 0.0, "another country"),
        ("same_country", math.nan, "country not compared"),
        ("form_agreement", 0.75, "legal forms written for one another"),
        ("form_agreement", 0.0, "legal forms exclude each other"),
        ("core_ratio", 92.6, "names without legal form 93 % alike"),
        ("lexical_gap", 0.01, "letters 1 point closer than the best other candidate"),
        ("lexical_gap", -0.12, "letters 12 points behind the best other candidate"),
        ("rarest_missing_query", 0.0, "the candidate has every word of the record"),
        ("rarest_missing_query", 7.25, "the candidate lacks a word of the record (rarity 7.2)"),
        ("namesakes", 3.0, "3 entities of this name"),
        ("ditto_logit", 0.0, "Ditto's probability 0.50"),
        ("length_gap", -3.0, "the candidate's name 3 letters shorter"),
    ],
)
def test_words(feature: str, value: float, words: str) -> None:
    assert say(feature, value) == words


@pytest.mark.parametrize(
    ("feature", "value", "speaks_for", "speaks_against"),
    [
        ("same_country", 1.0, True, False),
        ("same_country", 0.0, False, True),
        ("same_country", math.nan, False, False),
        ("core_ratio", 40.0, False, True),
        ("core_ratio", 85.0, True, True),
        ("core_ratio", 100.0, True, False),
        ("rarest_missing_query", 8.0, False, True),
        ("rarest_missing_query", 0.0, True, False),
        ("namesakes", 5.0, False, True),
        ("rank", 0.0, True, False),
        ("length_query", 12.0, False, False),
        ("acronym", 0.0, False, False),
    ],
)
def test_what_may_be_told_as_a_reason(feature: str, value: float, speaks_for: bool, speaks_against: bool) -> None:
    good, bad = speaks([feature], np.array([[value]]))
    assert (bool(good[0, 0]), bool(bad[0, 0])) == (speaks_for, speaks_against)
