"""Equal content has an equal digest, any change another one."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from em_core.storage.arrow import from_arrow, to_arrow
from em_core.storage.digest import fingerprint, fingerprint_folder, fingerprint_rows

VALUES = st.one_of(
    st.none(),
    st.text(st.characters(exclude_categories=("Cs",)), max_size=4),
    st.integers(-5, 5),
    st.booleans(),
    st.floats(allow_nan=False),
    st.lists(st.one_of(st.none(), st.text("ab", max_size=2)), max_size=3),
)


def column(*values: object) -> pd.DataFrame:
    return pd.DataFrame({"c": pd.Series(list(values), dtype=object)})


def test_digests_are_fixed_for_good() -> None:
    # A changed value here means that every stored fingerprint in the field loses its meaning.
    frame = pd.DataFrame({"name": ["Müller", None], "n": [1.0, 2.5], "aliases": [["a", "b"], []]})
    assert fingerprint(frame) == "360f47bc4be09257"
    assert fingerprint_rows(frame, ["name", "n"]).tolist() == ["65e0723f25f38e16", "e3868298abf60ac7"]


def test_every_kind_of_value_has_its_own_digest() -> None:
    values = [
        None, "", "None", "nan", "a", "b", "ab", "1", 1, 2, 1.5, True, False, [], [""], [None], ["a"], ["b"], ["a", "b"],
        ["b", "a"], ["ab"], ["a", None], [["a"]], [1], '["a"]', {"a": 1}, pd.Timestamp("2024-01-01"), float("inf"),
    ]  # fmt: skip
    digests = {fingerprint(column(value)) for value in values}
    assert len(digests) == len(values)
    assert all(len(digest) == 16 and int(digest, 16) >= 0 for digest in digests)


def test_names_rows_and_places_count() -> None:
    frame = pd.DataFrame({"a": ["1", "2"], "b": ["3", "4"]})
    others = [
        frame.rename(columns={"a": "A"}),
        frame.rename(columns={"a": "b", "b": "a"}),
        frame.drop(columns="b"),
        frame.iloc[:1],
        pd.concat([frame, frame.iloc[:1]]),
        pd.DataFrame({"a": ["1", "2"], "b": ["4", "3"]}),
        frame.iloc[:0],
        frame.iloc[:0, :0],
    ]
    assert len({fingerprint(f) for f in [frame, *others]}) == len(others) + 1


def test_order_of_rows_and_columns_and_index_do_not_count() -> None:
    frame = pd.DataFrame({"a": ["1", "2", "1"], "b": [None, "x", None]})
    assert fingerprint(frame) == fingerprint(frame.iloc[[2, 0, 1], [1, 0]].set_axis([9, 9, 9]))


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (pd.Series([1, 2]), pd.Series([1.0, 2.0])),
        (pd.Series([1, None], dtype="Int64"), pd.Series([1.0, np.nan])),
        (pd.Series(["a", None], dtype=object), pd.Series(["a", np.nan], dtype=object)),
        (pd.Series(["a", None], dtype=object), pd.Series(["a", pd.NA], dtype="string")),
        (pd.Series(["a", "b", "a"]), pd.Series(["a", "b", "a"], dtype="category")),
        (pd.Series([["a"], ["b", "c"]]), pd.Series([np.array(["a"], dtype=object), ("b", "c")])),
        (
            pd.to_datetime(pd.Series(["2024-01-01T00:00:00Z", None])).dt.as_unit("us"),
            pd.to_datetime(pd.Series(["2024-01-01T01:00:00+01:00", None])).dt.as_unit("ns"),
        ),
        (pd.Series([0.0]), pd.Series([-0.0])),
        (pd.Series([True, False]), pd.Series([True, False], dtype="boolean")),
    ],
)
def test_the_way_pandas_stores_a_value_does_not_count(one: pd.Series, other: pd.Series) -> None:
    assert fingerprint(pd.DataFrame({"c": one})) == fingerprint(pd.DataFrame({"c": other}))


@given(st.lists(st.tuples(VALUES, VALUES), min_size=1, max_size=6), st.integers(0, 2**32 - 1))
@settings(deadline=None)
def test_a_rows_digest_is_the_same_in_any_company(rows: list[tuple[object, object]], seed: int) -> None:
    frame = pd.DataFrame(
        {"a": pd.Series([r[0] for r in rows], dtype=object), "b": pd.Series([r[1] for r in rows], dtype=object)}
    )
    alone = [fingerprint_rows(frame.iloc[[i]], ["a", "b"])[0] for i in range(len(frame))]
    assert fingerprint_rows(frame, ["a", "b"]).tolist() == alone
    order = np.random.default_rng(seed).permutation(len(frame))
    assert fingerprint(frame.iloc[order]) == fingerprint(frame)


def test_row_digests_follow_the_asked_columns() -> None:
    frame = pd.DataFrame({"a": ["x", "x", "y"], "b": ["y", "z", "x"]})
    only_a = fingerprint_rows(frame, ["a"])
    assert only_a[0] == only_a[1] != only_a[2]
    assert len(set(fingerprint_rows(frame, ["a", "b"]))) == 3
    assert fingerprint_rows(frame, ["a", "b"])[0] == fingerprint_rows(frame, ["b", "a"])[2]
    assert fingerprint_rows(frame.iloc[:0], ["a"]).shape == (0,)


def test_row_digests_do_not_collide_on_a_table_of_near_twins() -> None:
    count = 50_000
    frame = pd.DataFrame({"a": [str(i // 10) for i in range(count)], "b": [float(i % 10) for i in range(count)]})
    assert len(set(fingerprint_rows(frame, ["a", "b"]))) == count


def test_a_trip_through_arrow_keeps_the_digest() -> None:
    frame = pd.DataFrame({"n": [None, None], "l": [["a"], None], "x": [1.5, None], "t": pd.to_datetime(["2024", None])})
    assert fingerprint(from_arrow(to_arrow(frame))) == fingerprint(frame)


def test_folders(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name / "sub").mkdir(parents=True)
        (tmp_path / name / "x").write_text("1")
        (tmp_path / name / "sub" / "y").write_text("2")
    assert fingerprint_folder(tmp_path / "a") == fingerprint_folder(tmp_path / "b")
    (tmp_path / "b" / "sub" / "y").rename(tmp_path / "b" / "y")
    assert fingerprint_folder(tmp_path / "a") != fingerprint_folder(tmp_path / "b")
