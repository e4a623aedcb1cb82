from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from em_core.ditto.augment import OPERATORS, Record, attribute_delete, augment, span_delete
from em_core.ditto.serialise import join_record, split_record

word = st.text(st.sampled_from("abcdexyz"), min_size=1, max_size=4)
value = st.lists(word, min_size=1, max_size=8).map(" ".join)
rest = st.lists(st.tuples(st.sampled_from(["city", "country", "industry"]), value), max_size=3)
record = st.builds(lambda name, others: [("name", name), *others], value, rest)
seeds = st.integers(0, 2**32 - 1)


def _name(fields: Record) -> tuple[str, list[str]]:
    return fields[0][0], sorted(fields[0][1].split())


@given(record, seeds)
def test_every_operator_keeps_every_word_of_the_name(fields: Record, seed: int) -> None:
    for operator in OPERATORS:
        assert _name(operator(fields, np.random.default_rng(seed))) == _name(fields)


@given(record, seeds)
def test_no_operator_invents_text(fields: Record, seed: int) -> None:
    words = sorted(w for _, v in fields for w in v.split())
    for operator in OPERATORS:
        after = [w for _, v in operator(fields, np.random.default_rng(seed)) for w in v.split()]
        assert not set(after) - set(words)
        assert len(after) <= len(words)


@given(st.lists(st.tuples(record, record), min_size=1, max_size=20), seeds)
def test_augmented_pairs_keep_both_names(pairs: list[tuple[Record, Record]], seed: int) -> None:
    left, right = ([join_record(side) for side in sides] for sides in zip(*pairs, strict=True))
    new_left, new_right = augment(left, right, 1.0, np.random.default_rng(seed))
    for before, after in zip(pairs, zip(new_left, new_right, strict=True), strict=True):
        names = [_name(split_record(text)) for text in after]
        assert sorted(names) == sorted(_name(fields) for fields in before)


def test_one_attribute_and_plain_text_can_be_augmented() -> None:
    rng = np.random.default_rng(0)
    left, right = ["COL name VAL Acme Steel Works Ltd"] * 200, ["Acme Steel Works"] * 200
    new_left, new_right = augment(left, right, 1.0, rng)
    sides = list(zip(new_left, new_right, strict=True))
    assert all({tuple(_name(split_record(t))[1]) for t in pair} == {
        ("Acme", "Ltd", "Steel", "Works"), ("Acme", "Steel", "Works")} for pair in sides)  # fmt: skip
    assert ("Acme Steel Works", left[0]) in sides  # swapped
    assert len(set(sides)) > 5


def test_deletions_do_delete() -> None:
    fields = [("name", "Acme"), ("city", "New York City"), ("country", "US")]
    rng = np.random.default_rng(0)
    assert all(len(attribute_delete(fields, rng)) == 2 for _ in range(20))
    shortened = {span_delete(fields, rng)[1][1] for _ in range(50)}
    assert shortened == {"New York", "York City", "New City", "New", "City"}


def test_rate_and_seed() -> None:
    left, right = ["COL name VAL a b c COL city VAL d e"] * 500, ["COL name VAL f g h COL city VAL i j"] * 500
    assert augment(left, right, 0.0, np.random.default_rng(0)) == (left, right)
    runs = [augment(left, right, 0.5, np.random.default_rng(seed)) for seed in (0, 0, 1)]
    assert runs[0] == runs[1] != runs[2]
    changed = sum(a != b or c != d for a, b, c, d in zip(left, runs[0][0], right, runs[0][1], strict=True))
    assert 150 < changed < 270
