"""Tables that stay on disk give the rows of the table in memory."""

from __future__ import annotations

import threading
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from em_core.errors import UserError
from em_core.retrieval.table import EntityTable
from em_core.schema import prepare_reference
from em_core.text.profile import profile

MASTER = prepare_reference(
    pd.DataFrame(
        {
            "entity_id": ["1", "2", "3", "4"],
            "name": ["Acme GmbH f/k/a Zenith AG c/o Beta", "日立製作所", "Vista Group plc d/b/a Vista", "—"],
            "aliases": [["Acme Steel", "Acmé"], [], ["Vista"], []],
            "country": ["DE", "JP", None, None],
        }
    )
)
TABLES = [MASTER, profile(MASTER), MASTER.iloc[:0], profile(MASTER.iloc[:0])]


@pytest.mark.parametrize("frame", TABLES)
def test_what_was_kept_is_the_same(frame: pd.DataFrame, tmp_path: Path) -> None:
    EntityTable.of(frame).save(tmp_path / "table.arrow")
    kept = EntityTable.open(tmp_path / "table.arrow")
    assert len(kept) == len(frame)
    pd.testing.assert_frame_equal(kept.frame(), frame, check_index_type=False)
    pd.testing.assert_frame_equal(kept.take(np.arange(len(frame))), frame, check_index_type=False)


@settings(deadline=None, max_examples=40)
@given(st.sampled_from(TABLES[:2]), st.lists(st.integers(0, 3)))
def test_rows_by_position(frame: pd.DataFrame, rows: list[int]) -> None:
    table, columns = EntityTable.of(frame), list(frame.columns[:3])
    expected = frame.iloc[rows].reset_index(drop=True)
    pd.testing.assert_frame_equal(table.take(rows), expected, check_index_type=False)
    pd.testing.assert_frame_equal(table.take(rows, columns), expected[columns], check_index_type=False)
    for column in frame:
        assert table[column][np.array(rows, dtype=np.int64)].tolist() == expected[column].tolist()


def test_nobody_has_no_name() -> None:
    names = EntityTable.of(MASTER)["name"]
    assert names[np.array([-1, 1, -1])].tolist() == [None, "日立製作所", None]
    assert names[np.array([], dtype=np.int64)].tolist() == [] and len(names) == 4


def test_where_a_value_stands() -> None:
    table = EntityTable.of(MASTER)
    assert table.where("entity_id", "3").tolist() == [2]
    assert table.where("country", None).tolist() == table.where("entity_id", "9").tolist() == []


@pytest.mark.parametrize("damage", ["cut", "other", "absent"])
def test_a_damaged_file_is_refused(damage: str, tmp_path: Path) -> None:
    path = tmp_path / "table.arrow"
    EntityTable.of(MASTER).save(path)
    if damage == "absent":
        path.unlink()
    else:
        path.write_bytes(path.read_bytes()[:-40] if damage == "cut" else b"no table at all")
    with pytest.raises(UserError, match=r"table\.arrow: not readable \(.+\); build the folder again"):
        EntityTable.open(path)


def test_threads_may_share_a_table(tmp_path: Path) -> None:
    EntityTable.of(MASTER).save(tmp_path / "table.arrow")
    table, wrong = EntityTable.open(tmp_path / "table.arrow"), []

    def ask(seed: int) -> None:
        rows = np.random.default_rng(seed).integers(0, 4, 200)
        if table["entity_id"][rows].tolist() != [str(row + 1) for row in rows]:
            wrong.append(seed)

    threads = [threading.Thread(target=ask, args=(seed,)) for seed in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong
