"""Splits: by entity, stable, in the promised shares, and independent of what was picked."""

from __future__ import annotations

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from em_core.errors import UserError
from em_core.pairs.splits import SHARES, check_disjoint, split_of, unit_interval


@given(st.lists(st.text(min_size=1), min_size=1, unique=True), st.integers(0, 5), st.data())
def test_a_key_stays_on_its_side_whatever_else_is_there(keys: list[str], seed: int, data: st.DataObject) -> None:
    whole = dict(zip(keys, split_of(keys, seed), strict=True))
    some = data.draw(st.lists(st.sampled_from(keys), min_size=1))
    assert [whole[key] for key in some] == list(split_of(some, seed))


def test_shares_are_met() -> None:
    counts = pd.Series(split_of(map(str, range(20_000)), 7)).value_counts(normalize=True)
    for name, share in SHARES.items():
        assert counts[name] == pytest.approx(share, abs=0.01)


def test_purposes_are_independent() -> None:
    keys = [str(i) for i in range(5_000)]
    picked = unit_interval(keys, 7, "pick") < 0.2
    shares = pd.Series(split_of(keys, 7)[picked]).value_counts(normalize=True)
    assert set(shares.index) == set(SHARES) and shares["valid"] == pytest.approx(SHARES["valid"], abs=0.05)


def test_a_leak_is_named() -> None:
    frame = pd.DataFrame(
        {"entity": ["a", "b", "a", None, None], "split": ["train", "train", "valid", "train", "valid"]}
    )
    with pytest.raises(UserError, match="'a'"):
        check_disjoint(frame, "entity", "split")
    check_disjoint(frame.iloc[1:], "entity", "split")
