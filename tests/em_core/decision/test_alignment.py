"""Words laid side by side: abbreviations, cuts and slips are seen, and the arrays say what a plain loop says."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from em_core.decision.alignment import align, alikeness
from em_core.text.words import Words, learn_words

NAMES = np.array(["national realty trust", "national rubber works", "vista group", "siemens", ""], dtype=object)
ENTITY, RARITY = learn_words(NAMES)
word = st.text("abcde", min_size=1, max_size=7)
name = st.lists(word, max_size=4).map(" ".join)


@pytest.mark.parametrize(
    ("one", "other", "low", "high"),
    [
        ("siemens", "siemens", 1, 1),
        ("realt", "realty", 0.9, 0.9),
        ("rlty", "realty", 0.8, 0.8),
        ("r", "realty", 0.6, 0.6),
        ("seimens", "siemens", 0.75, 0.95),
        ("realty", "ealty", 0.75, 0.95),
        ("trust", "rust", 0.75, 0.95),
        ("vista", "visa", 0.8, 0.8),
        ("bank", "tank", 0.75, 0.75),
        ("works", "trust", 0, 0),
        ("ab", "ba", 0, 0),
    ],
)
def test_words_that_stand_for_one_another(one: str, other: str, low: float, high: float) -> None:
    there, back = alikeness(np.array([one, other], dtype=object), np.array([other, one], dtype=object))
    assert there == back
    assert low - 1e-6 <= there <= high + 1e-6


def test_an_abbreviated_name_is_explained() -> None:
    query = Words.of(np.array(["ntl rlty", "vsta grp", "siemens energy", ""], dtype=object), RARITY)
    out = align(query, ENTITY, np.array([0, 0, 1, 2, 2, 3]), np.array([0, 1, 2, 3, 4, 0]), RARITY)
    assert out["aligned_query"][0] == pytest.approx(0.8) and out["aligned_query"][1] < 0.5
    assert out["aligned_entity"][2] == pytest.approx(0.8)
    assert out["unexplained_query"][3] == pytest.approx(RARITY.unseen)  # energy
    assert np.isnan(out["aligned_entity"][4]) and np.isnan(out["aligned_query"][5])


def by_hand(query: str, entity: str) -> tuple[float, float]:
    """Share and rarest rest of the query's words."""
    words, others = query.split(), entity.split()
    weight = RARITY.of(RARITY.numbers(np.array(words, dtype=object))).tolist()
    best = [max((float(alikeness(np.array([w]), np.array([o]))[0]) for o in others), default=0.0) for w in words]
    if not words:
        return float("nan"), 0.0
    explained = sum(a * b for a, b in zip(weight, best, strict=True))
    return explained / sum(weight), max(a * (1 - b) for a, b in zip(weight, best, strict=True))


@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(name, name), min_size=1, max_size=5))
def test_arrays_say_what_a_loop_says(pairs: list[tuple[str, str]]) -> None:
    left, right = (np.array(side, dtype=object) for side in zip(*pairs, strict=True))
    positions = np.arange(len(pairs))
    out = align(Words.of(left, RARITY), Words.of(right, RARITY), positions, positions, RARITY)
    expected = np.array([[*by_hand(a, b), *by_hand(b, a)] for a, b in pairs])
    made = np.column_stack(
        [out[k] for k in ("aligned_query", "unexplained_query", "aligned_entity", "unexplained_entity")]
    )
    np.testing.assert_allclose(made, expected, atol=1e-5)
    # Beside other pairs, or the other way round, nothing changes.
    turned = align(Words.of(right, RARITY), Words.of(left, RARITY), positions[::-1], positions[::-1], RARITY)
    np.testing.assert_allclose(turned["aligned_entity"][::-1], out["aligned_query"], atol=1e-6)


def test_no_pairs_at_all() -> None:
    nothing = np.zeros(0, dtype=np.int64)
    out = align(Words.of(NAMES, RARITY), ENTITY, nothing, nothing, RARITY)
    assert all(len(values) == 0 for values in out.values())
