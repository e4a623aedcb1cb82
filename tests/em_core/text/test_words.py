"""Words as numbers: what dictionaries and sets of text say."""

from __future__ import annotations

import math
from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from em_core.text.digests import text_digests
from em_core.text.words import Words, learn_words

TEXTS = st.lists(
    st.lists(st.sampled_from(["acme", "bank", "of", "株", "zürich"]), max_size=4).map(" ".join), max_size=6
)


def array(texts: list[str]) -> np.ndarray:
    """(n,) objects."""
    return np.array(texts, dtype=object)


@given(TEXTS)
def test_rarity_is_by_how_many_texts_hold_a_word(texts: list[str]) -> None:
    words, rarity = learn_words(array(texts))
    held = Counter(word for text in texts for word in set(text.split()))
    assert sorted(words.spelling[np.arange(len(rarity))]) == sorted(held)
    asked = array([*held, "never"])
    numbers = rarity.numbers(asked)
    assert numbers[-1] == -1 and words.spelling[numbers[:-1]].tolist() == list(held)
    expected = [math.log((len(texts) + 1) / (count + 1)) + 1 for count in held.values()]
    assert rarity.of(numbers).tolist() == pytest.approx([*expected, math.log(len(texts) + 1) + 1], rel=1e-6)


@given(TEXTS, st.data())
def test_the_words_of_some_texts_in_their_order(texts: list[str], data: st.DataObject) -> None:
    chosen = data.draw(st.lists(st.integers(0, len(texts) - 1), max_size=8)) if texts else []
    learnt, rarity = learn_words(array(texts))
    for words in (learnt, Words.of(array(texts), rarity)):
        place, code = words.within(np.array(chosen, dtype=np.int64))
        spelled = words.spelling[code].tolist()
        assert spelled == [word for text in chosen for word in texts[text].split()]
        assert place.tolist() == [at for at, text in enumerate(chosen) for _ in texts[text].split()]
        assert rarity.numbers(array(spelled)).tolist() == words.numbers(code).tolist()


@given(TEXTS, TEXTS, st.data())
def test_bags_are_sets(reference: list[str], texts: list[str], data: st.DataObject) -> None:
    chosen = data.draw(st.lists(st.integers(0, len(texts) - 1), max_size=8)) if texts else []
    learnt, rarity = learn_words(array(reference))
    bags = Words.of(array(texts), rarity).bags(np.array(chosen, dtype=np.int64), rarity)
    assert bags.known.shape == (len(chosen), len(rarity))
    known = {word for text in reference for word in text.split()}
    for row, text in enumerate(chosen):
        mine = set(texts[text].split())
        found = bags.known[[row]].tocoo()
        assert sorted(learnt.spelling[found.col]) == sorted(mine & known)
        assert found.data.tolist() == rarity.of(found.col).tolist()
        assert bags.unknown[row] == len(mine - known)


def test_digests_depend_on_the_text_alone() -> None:
    texts = array(["acme", "", "acme", "ACME", "日立"])
    digests = text_digests(texts)
    assert digests.dtype == np.uint64 and digests[0] == digests[2] and len(set(digests.tolist())) == 4
    assert text_digests(texts[::-1]).tolist() == digests[::-1].tolist() and len(text_digests(array([]))) == 0
