from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from em_core.ditto.serialise import ATTRIBUTES, attributes_in, join_record, serialise, split_record
from em_core.errors import UserError


def test_classic_form() -> None:
    frame = pd.DataFrame({"country": ["DE"], "name": ["Acme Ltd"]})
    assert serialise(frame, ["name", "country"]) == ["COL name VAL Acme Ltd COL country VAL DE"]


def test_missing_values_leave_their_attribute_out() -> None:
    frame = pd.DataFrame({"name": ["A", None, "  "], "country": [None, "FR", np.nan], "city": ["Rome", "", "NAN"]})
    assert serialise(frame) == [
        "COL name VAL A COL city VAL Rome",
        "COL country VAL FR",
        "COL city VAL NAN",
    ]


def test_tabs_and_newlines_become_one_blank() -> None:
    frame = pd.DataFrame({"name": ["Acme\t\tUnited \n States\u00a0Inc "]})
    assert serialise(frame) == ["COL name VAL Acme United States Inc"]


def test_an_absent_column_is_missing_but_the_name_must_be_there() -> None:
    assert serialise(pd.DataFrame({"name": ["A"]}), ATTRIBUTES) == ["COL name VAL A"]
    with pytest.raises(UserError, match="'name'"):
        serialise(pd.DataFrame({"title": ["A"]}), ATTRIBUTES)
    assert serialise(pd.DataFrame({"name": pd.Series([], dtype=object)})) == []


def test_the_index_of_the_frame_does_not_matter() -> None:
    frame = pd.DataFrame({"name": ["A", None, "C"], "country": ["X", "Y", None]})
    shuffled = frame.set_axis([7, 7, 0], axis=0)
    assert serialise(shuffled) == serialise(frame)


values = st.text(st.characters(codec="utf-8", exclude_categories=["Cc"]), min_size=1).map(lambda t: " ".join(t.split()))


@given(st.lists(st.tuples(st.sampled_from(["name", "city", "Brew_Factory_Name"]), values), min_size=1))
def test_split_is_the_inverse_of_join(fields: list[tuple[str, str]]) -> None:
    text = join_record(fields)
    assert split_record(text) == fields


def test_plain_text_is_one_attribute_without_a_name() -> None:
    assert split_record("Acme Ltd") == [("", "Acme Ltd")]
    assert join_record(split_record("Acme Ltd")) == "Acme Ltd"
    assert split_record("COL a VAL  COL b VAL x") == [("a", ""), ("b", "x")]


def test_attributes_come_back_in_their_order() -> None:
    frame = pd.DataFrame({"name": ["A", "B", "C"], "country": [None, "DE", None], "city": ["Rome", "Bonn", None]})
    assert attributes_in(serialise(frame)) == ("name", "country", "city")
    assert attributes_in(["Acme Ltd"]) == ()
