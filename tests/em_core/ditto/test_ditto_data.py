from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from em_core.ditto.data import Splits, fingerprint, load_splits, read_pairs, split_pairs
from em_core.errors import UserError

Pairs = Callable[..., pd.DataFrame]


def test_csv_parquet_and_ditto_text_read_alike(tmp_path: Path, make_pairs: Pairs) -> None:
    frame = make_pairs(30)[["left_entity", "right_entity", "label"]]
    frame.to_csv(tmp_path / "a.csv", index=False)
    frame.to_parquet(tmp_path / "a.parquet")
    frame.to_csv(tmp_path / "a.txt", index=False, header=False, sep="\t")
    read = [read_pairs(tmp_path / f"a.{suffix}") for suffix in ("csv", "parquet", "txt")]
    for other in read:
        pd.testing.assert_frame_equal(other, read[0])
    assert read[0]["left_entity"].tolist() == frame["left_entity"].tolist()
    assert read[0]["label"].tolist() == frame["label"].tolist()


def test_text_that_looks_missing_stays_text(tmp_path: Path, make_pairs: Pairs) -> None:
    frame = make_pairs(30)
    frame.loc[3, "left_entity"] = "NAN"
    frame.loc[4, "right_entity"] = "null"
    frame.to_csv(tmp_path / "a.csv", index=False, encoding="utf-8-sig")
    read = read_pairs(tmp_path / "a.csv")
    assert (read.loc[3, "left_entity"], read.loc[4, "right_entity"]) == ("NAN", "null")


def _spoil(frame: pd.DataFrame, how: str) -> pd.DataFrame:
    frame = frame.astype({"label": object})
    if how == "column":
        return frame.drop(columns="right_entity")
    if how == "label":
        frame.loc[6, "label"] = 2
    elif how == "blank":
        frame.loc[8, "left_entity"] = "  "
    elif how == "class":
        frame["label"] = 1
    elif how == "few":
        return frame.head(5)
    elif how == "split":
        frame["split"] = "train"
        frame.loc[2, "split"] = "validation"
    return frame


@pytest.mark.parametrize(
    ("how", "says"),
    [
        ("column", "column 'right_entity' is missing"),
        ("label", "row 7, column 'label': value is not 0 or 1"),
        ("blank", "row 9, column 'left_entity': value is empty"),
        ("class", "every pair is 1"),
        ("few", "5 pairs are too few"),
        ("split", "row 3, column 'split'"),
    ],
)
@pytest.mark.parametrize("suffix", ["csv", "parquet"])
def test_bad_tables_are_refused_with_row_and_column(
    tmp_path: Path, make_pairs: Pairs, how: str, says: str, suffix: str
) -> None:
    path = tmp_path / f"bad.{suffix}"
    frame = _spoil(make_pairs(30), how).astype(str)
    frame.to_csv(path, index=False) if suffix == "csv" else frame.to_parquet(path)
    with pytest.raises(UserError) as caught:
        read_pairs(path)
    assert says in str(caught.value)
    assert str(path) in str(caught.value)


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("empty.csv", b"", "empty"),
        ("empty.txt", b"", "too few"),
        ("torn.csv", b'left_entity,right_entity,label\n"a,b,1\n', "not a comma-separated table"),
        ("latin.csv", b"left_entity,right_entity,label\nSoci\xe9t\xe9,b,1\n", "not UTF-8"),
        ("two.txt", b"a\tb\t1\na\tb\n", "row 2"),
        ("no.parquet", b"hello", "not a Parquet file"),
        ("pairs.xlsx", b"hello", "unknown suffix"),
    ],
)
def test_bad_files_are_refused(tmp_path: Path, name: str, content: bytes, says: str) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(UserError, match=says):
        read_pairs(tmp_path / name)


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no such file"):
        read_pairs(tmp_path / "nothing.csv")


@given(
    st.lists(st.tuples(st.integers(0, 60), st.integers(0, 60), st.booleans()), min_size=40, max_size=200),
    st.integers(0, 5),
)
def test_no_record_is_in_two_splits(links: list[tuple[int, int, bool]], seed: int) -> None:
    frame = pd.DataFrame(links, columns=["left_key", "right_key", "label"]).astype({"label": int})
    frame["left_key"] = "k" + frame["left_key"].astype(str)
    frame["right_key"] = "k" + frame["right_key"].astype(str)
    frame["left_entity"] = frame["right_entity"] = "text"
    try:
        train, valid, method = split_pairs(frame, 0.2, seed, "frame")
    except UserError:
        return  # one knot of records: abstaining is right
    assert sorted([*train.index, *valid.index]) == list(frame.index)
    assert train["label"].nunique() == valid["label"].nunique() == 2
    assert not set(train["left_key"]) & set(valid["left_key"])
    if method == "entity_disjoint":
        keys = [set(part["left_key"]) | set(part["right_key"]) for part in (train, valid)]
        assert not keys[0] & keys[1]


def test_separate_pairs_split_by_entity_and_reproducibly(pairs_file: Path) -> None:
    first, second, other = (load_splits(pairs_file, None, None, seed) for seed in (1, 1, 2))
    assert first.method == "entity_disjoint"
    assert first.shared_records() == 0
    assert 0.1 < len(first.valid) / 400 <= 0.15
    assert first.valid.equals(second.valid)
    assert not first.valid.equals(other.valid)


def test_texts_tell_records_apart_where_there_are_no_keys(make_pairs: Pairs) -> None:
    frame = make_pairs(200).drop(columns=["left_key", "right_key"])
    frame = pd.concat([frame, frame], ignore_index=True)  # each pair twice: the copies must stay together
    train, valid, method = split_pairs(frame, 0.2, 0, "frame")
    assert method == "entity_disjoint"
    assert not set(train["left_entity"]) & set(valid["left_entity"])


def test_one_knot_of_records_is_split_by_left_and_said_so(make_pairs: Pairs, caplog: pytest.LogCaptureFixture) -> None:
    frame = make_pairs(200)
    frame["right_key"] = "the same firm"
    train, valid, method = split_pairs(frame, 0.2, 0, "pairs.csv")
    assert method == "left_disjoint"
    assert "pairs.csv" in caplog.text
    assert not set(train["left_key"]) & set(valid["left_key"])
    with pytest.raises(UserError, match="--validation-data"):
        split_pairs(frame.assign(left_key="one"), 0.2, 0, "pairs.csv")


@given(
    st.lists(st.tuples(st.integers(0, 30), st.integers(0, 30)), min_size=1, max_size=90),
    st.lists(st.tuples(st.integers(20, 60), st.integers(0, 30)), min_size=1, max_size=30),
    st.integers(0, 5),
)
def test_folds_keep_apart_what_validation_does(
    train: list[tuple[int, int]], valid: list[tuple[int, int]], seed: int
) -> None:
    parts = [pd.DataFrame(part, columns=["left_entity", "right_entity"]).astype(str) for part in (train, valid)]
    fold = Splits(*parts, None, "given").folds(5, seed)
    both = pd.concat(parts, ignore_index=True)
    assert fold.shape == (len(both),)
    assert set(fold) <= set(range(5))
    if parts[1]["left_entity"].isin(parts[0]["left_entity"]).mean() <= 0.5:
        assert pd.Series(fold).groupby(both["left_entity"]).nunique().max() == 1


def test_folds_keep_all_records_apart_where_they_can(make_pairs: Pairs) -> None:
    train, valid = (frame.reset_index(drop=True) for frame in split_pairs(make_pairs(400), 0.2, 0, "frame")[:2])
    fold = pd.Series(Splits(train, valid, None, "entity_disjoint").folds(5, 0))
    assert set(fold) == set(range(5))
    assert fold.groupby(pd.concat([train, valid], ignore_index=True)["right_key"]).nunique().max() == 1
    knots = [part.assign(right_key="the same firm") for part in (train, valid)]
    assert set(Splits(*knots, None, "left_disjoint").folds(5, 0)) == set(range(5))


def test_a_split_column_is_kept_and_shared_records_are_counted(tmp_path: Path, make_pairs: Pairs) -> None:
    frame = make_pairs(90).assign(split=np.repeat(["train", "valid", "test"], 30))
    frame.loc[[30, 60], "left_key"] = "L0"
    frame.to_csv(tmp_path / "a.csv", index=False)
    splits = load_splits(tmp_path / "a.csv", None, None, 0)
    assert splits.method == "given"
    assert splits.test is not None
    assert [len(splits.train), len(splits.valid), len(splits.test)] == [30, 30, 30]
    assert splits.shared_records() == 1


def test_a_validation_file_wins_over_the_column(tmp_path: Path, make_pairs: Pairs) -> None:
    make_pairs(60).assign(split=["train"] * 40 + ["valid"] * 20).to_csv(tmp_path / "a.csv", index=False)
    make_pairs(25, seed=1).to_csv(tmp_path / "b.csv", index=False)
    splits = load_splits(tmp_path / "a.csv", tmp_path / "b.csv", None, 0)
    assert [len(splits.train), len(splits.valid), splits.test] == [40, 25, None]


def test_a_split_of_one_class_is_refused(tmp_path: Path, make_pairs: Pairs) -> None:
    frame = make_pairs(60).assign(split=["train"] * 40 + ["valid"] * 20)
    frame.loc[frame["split"] == "valid", "label"] = 0
    frame.to_csv(tmp_path / "a.csv", index=False)
    with pytest.raises(UserError, match="valid pairs need both labels"):
        load_splits(tmp_path / "a.csv", None, None, 0)


def test_the_fingerprint_follows_the_bytes(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"x")
    (tmp_path / "b").write_bytes(b"x")
    assert fingerprint(tmp_path / "a") == fingerprint(tmp_path / "b")
    (tmp_path / "b").write_bytes(b"y")
    assert fingerprint(tmp_path / "a") != fingerprint(tmp_path / "b")
