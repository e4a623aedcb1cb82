from __future__ import annotations

from collections import Counter
from typing import get_args

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from em_core.ditto.augment import OPERATORS, SYMBOLS, append_column, attribute_delete, augment, drop_token, span_delete
from em_core.ditto.serialise import Record, join_record, split_record
from em_core.ditto.settings import Operator, TrainSettings

DEFAULT = TrainSettings().augment_operators
DROPPERS: tuple[Operator, ...] = ("del", "drop_token", "drop_len", "drop_same")
KEEPERS = [name for name in OPERATORS if name not in DROPPERS]

word = st.text(st.sampled_from("abcdeXYZ12.&"), min_size=1, max_size=4)
value = st.lists(word, min_size=0, max_size=8).map(" ".join)
rest = st.lists(st.tuples(st.sampled_from(["city", "country", "industry"]), value), max_size=3)
record = st.builds(lambda name, others: [("name", name), *others], value, rest)
seeds = st.integers(0, 2**32 - 1)


def _letters(text: str) -> Counter[str]:
    """Letters and digits: what neither reordering, nor a symbol set in, nor one taken out changes."""
    return Counter(c for c in text if c.isalnum())


def test_every_operator_of_the_settings_is_there() -> None:
    assert set(OPERATORS) == set(get_args(Operator))


@settings(max_examples=300)
@given(st.sampled_from(KEEPERS), record, record, seeds)
def test_the_name_keeps_its_words(operator: Operator, left: Record, right: Record, seed: int) -> None:
    after = OPERATORS[operator](left, right, np.random.default_rng(seed))
    before = (right, left) if operator == "entry_swap" else (left, right)
    for old, new in zip(before, after, strict=True):
        assert new[0][0] == "name"
        assert _letters(new[0][1]) == _letters(old[0][1])


@settings(max_examples=200)
@given(st.sampled_from(DROPPERS), record, record, seeds)
def test_a_thinned_name_keeps_half_of_its_words(operator: Operator, left: Record, right: Record, seed: int) -> None:
    after = OPERATORS[operator](left, right, np.random.default_rng(seed))
    for old, new in zip((left, right), after, strict=True):
        assert new[0][0] == "name"
        before, kept = old[0][1].split(), new[0][1].split()
        assert 2 * len(kept) >= len(before)
        assert bool(kept) == bool(before)
        assert not Counter(kept) - Counter(before)


@settings(max_examples=300)
@given(st.sampled_from(list(OPERATORS)), record, record, seeds)
def test_no_operator_invents_text(operator: Operator, left: Record, right: Record, seed: int) -> None:
    after = OPERATORS[operator](left, right, np.random.default_rng(seed))
    before = "".join(v for side in (left, right) for _, v in side)
    invented = Counter("".join(v for side in after for _, v in side).replace(" ", "")) - Counter(before)
    assert set(invented) <= set(SYMBOLS if operator == "ins" else "")


@settings(max_examples=300)
@given(
    st.sampled_from(list(OPERATORS)), st.lists(st.tuples(st.text(max_size=30), st.text(max_size=30)), max_size=5), seeds
)
def test_any_text_can_be_augmented(operator: Operator, pairs: list[tuple[str, str]], seed: int) -> None:
    left, right = [a for a, _ in pairs], [b for _, b in pairs]
    new_left, new_right = augment(left, right, 1.0, [operator], np.random.default_rng(seed))
    assert len(new_left) == len(new_right) == len(pairs)


def test_one_attribute_and_plain_text_can_be_augmented() -> None:
    rng = np.random.default_rng(0)
    left, right = ["COL name VAL Acme Steel Works Ltd"] * 200, ["Acme Steel Works"] * 200
    new_left, new_right = augment(left, right, 1.0, DEFAULT, rng)
    sides = list(zip(new_left, new_right, strict=True))
    names = [{tuple(sorted(split_record(text)[0][1].split())) for text in pair} for pair in sides]
    assert all(pair == {("Acme", "Ltd", "Steel", "Works"), ("Acme", "Steel", "Works")} for pair in names)
    assert ("Acme Steel Works", left[0]) in sides  # swapped
    assert len(set(sides)) > 5


def test_the_operators_do_what_they_are_called() -> None:
    fields = [("name", "Acme Steel"), ("city", "New York City"), ("country", "US")]
    rng = np.random.default_rng(0)
    assert all(len(attribute_delete(fields, rng)) == 2 for _ in range(20))
    shortened = {span_delete(fields, rng)[1][1] for _ in range(50)}
    assert shortened == {"New York", "York City", "New City", "New", "City"}
    appended = {tuple(append_column(fields, rng)[1:]) for _ in range(20)}
    assert appended == {(("city", "New York City US"),), (("country", "US New York City"),)}
    lengths = [len(join_record(drop_token(fields, rng)).split()) for _ in range(200)]
    assert min(lengths) < max(lengths) == 15
    assert {tuple(OPERATORS["drop_same"](fields, [("name", "ACME of Rome")], rng)[1]) for _ in range(9)} == {
        (("name", "of Rome"),)
    }
    assert OPERATORS["entry_swap"](fields, [], rng) == ([], fields)


def test_the_names_of_the_public_implementation_are_known() -> None:
    for given_, operators in (
        ("swap, drop_col", ("span_shuffle", "attr_del")),
        (["swap", "del"], ("span_shuffle", "del")),
        ("all", ("all",)),
    ):
        assert TrainSettings.model_validate({"augment_operators": given_}).augment_operators == operators
    for wrong in ("", "shred", [], 3, ["del", 3]):
        with pytest.raises(ValueError, match="augment_operators"):
            TrainSettings.model_validate({"augment_operators": wrong})


def test_rate_and_seed() -> None:
    left, right = ["COL name VAL a b c COL city VAL d e"] * 500, ["COL name VAL f g h COL city VAL i j"] * 500
    assert augment(left, right, 0.0, DEFAULT, np.random.default_rng(0)) == (left, right)
    runs = [augment(left, right, 0.5, DEFAULT, np.random.default_rng(seed)) for seed in (0, 0, 1)]
    assert runs[0] == runs[1] != runs[2]
    changed = sum(a != b or c != d for a, b, c, d in zip(left, runs[0][0], right, runs[0][1], strict=True))
    assert 150 < changed < 270
