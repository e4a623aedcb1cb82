"""Delta tables by name: upserts on the key that change only what differs, also with several writers at once."""

from __future__ import annotations

import subprocess
import sys
import threading
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pytest
from deltalake import DeltaTable

from em_core.errors import UserError
from em_core.schema import RESULT, RESULT_SCHEMA
from em_core.storage import DeltaStore, TableStore, UpsertCounts, delta, tables
from tests.em_core.storage.test_store_contract import feed

KEY = ["source_system", "source_id"]
TABLE = "gold.matched_entities"


@pytest.fixture
def store(tmp_path: Path) -> DeltaStore:
    return DeltaStore(tmp_path / "lake")


def names(store: DeltaStore, table: str = TABLE) -> dict[tuple[str, str], str | None]:
    frame = store.read(table)
    return dict(zip(zip(frame["source_system"], frame["source_id"], strict=True), frame["name"], strict=True))


def commits(store: DeltaStore, table: str = TABLE) -> int:
    return len(list((store.path(table) / "_delta_log").glob("*.json")))


def test_a_store_is_a_table_store(store: DeltaStore) -> None:
    as_interface: TableStore = store
    assert not as_interface.exists(TABLE)
    as_interface.replace(TABLE, pd.DataFrame({"a": ["1"]}))
    assert as_interface.exists(TABLE)


def test_empty_columns_are_text_and_a_schema_says_otherwise(store: DeltaStore) -> None:
    rows = pd.DataFrame({"source_system": ["crm"], "source_id": ["1"], "confidence": [None], "decision": ["review"]})
    store.upsert("silver.plain", rows, KEY)
    assert delta.schema_of(DeltaTable(str(store.path("silver.plain")))).field("confidence").type == pa.string()
    described = pa.schema([f.with_metadata({"comment": RESULT.columns[f.name]}) for f in RESULT_SCHEMA])
    store.upsert(TABLE, rows, KEY, schema=described)
    kept = delta.schema_of(DeltaTable(str(store.path(TABLE))))
    assert kept.names == RESULT_SCHEMA.names
    assert kept.types == RESULT_SCHEMA.types
    assert kept.field("evidence").metadata[b"comment"].decode() == RESULT.columns["evidence"]
    later = rows.assign(confidence=0.5, matched_at=pd.Timestamp("2026-01-01T00:00:00.123456789Z"))
    assert store.upsert(TABLE, later, KEY, schema=described) == UpsertCounts(0, 1, 0, 0)
    assert store.read(TABLE)["matched_at"].tolist() == [pd.Timestamp("2026-01-01T00:00:00.123456Z")]
    assert store.upsert(TABLE, later, KEY, schema=described).changed == 0
    assert delta.schema_of(DeltaTable(str(store.path(TABLE)))).field("evidence").metadata[b"comment"]


def test_awkward_column_names(store: DeltaStore) -> None:
    frame = pd.DataFrame({'Key "1"': ["a", "b"], "Größe `x`": ["1", None], "select": [1.0, 2.0], "a.b": ["x", "y"]})
    store.upsert("bronze.raw", frame, ['Key "1"'])
    assert store.upsert("bronze.raw", frame.assign(select=[1.0, 3.0]), ['Key "1"']) == UpsertCounts(0, 1, 1, 0)
    again = store.read("bronze.raw", filter={'Key "1"': "b"})
    assert list(again.columns) == list(frame.columns)
    assert again.iloc[0].tolist() == ["b", None, 3.0, "y"]


def test_a_failing_write_leaves_the_old_version(store: DeltaStore, monkeypatch: pytest.MonkeyPatch) -> None:
    store.upsert(TABLE, feed("crm", a="A"), KEY)
    version = store.version(TABLE)
    with pytest.raises(UserError, match="column 'name': the values do not fit"):
        store.upsert(TABLE, feed("crm", a="A", b="B").assign(name=["x", 1]), KEY)

    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(delta, "write_deltalake", full)
    with pytest.raises(UserError, match=r"cannot write .*No space left"):
        store.replace(TABLE, feed("crm", c="C"))
    assert store.version(TABLE) == version
    assert names(store) == {("crm", "a"): "A"}


def test_an_unwritable_or_foreign_root_is_a_user_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(UserError, match="cannot write"):
        DeltaStore(tmp_path / "file").upsert(TABLE, feed("crm", a="A"), KEY)
    store = DeltaStore(tmp_path)
    store.path(TABLE).mkdir(parents=True)
    (store.path(TABLE) / "notes.txt").write_text("mine")
    with pytest.raises(UserError, match="not empty and is not a Delta table"):
        store.upsert(TABLE, feed("crm", a="A"), KEY)
    with pytest.raises(UserError, match="not empty and is not a Delta table"):
        store.replace(TABLE, feed("crm", a="A"))


@pytest.mark.parametrize("name", ["a [1]", "a]", "a^b", "a|b", "a%20b"])
def test_a_path_that_delta_cannot_hold_is_refused_before_anything_is_written(tmp_path: Path, name: str) -> None:
    with pytest.raises(UserError, match="choose another"):
        delta.overwrite_delta(tmp_path / name / "t", pa.table({"a": [1]}))
    assert not (tmp_path / name).exists()
    log = tmp_path / name / "t" / "_delta_log"
    log.mkdir(parents=True)
    (log / "0.json").touch()
    with pytest.raises(UserError, match="choose another"):
        delta.open_delta(tmp_path / name / "t")


@pytest.mark.parametrize("name", ["a b", "100%", "a#b?c", "München & Söhne", "a:b{c}"])
def test_any_other_path_holds_a_table(tmp_path: Path, name: str) -> None:
    delta.overwrite_delta(tmp_path / name / "t", pa.table({"a": [1]}))
    assert delta.read_delta(delta.open_delta(tmp_path / name / "t"))["a"].tolist() == [1]


# --- several writers -------------------------------------------------------------------------------------------------


def test_another_writer_in_between_is_noticed_and_the_plan_is_made_anew(
    store: DeltaStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.upsert(TABLE, feed("crm", a="A"), KEY)
    plan, calls = tables._plan, []

    def slow(*args: object) -> object:
        made = plan(*args)  # type: ignore[arg-type]
        if not calls:
            calls.append(1)
            store.upsert(TABLE, feed("crm", b="theirs", c="C"), KEY)
        return made

    monkeypatch.setattr(tables, "_plan", slow)
    assert store.upsert(TABLE, feed("crm", b="ours", d="D"), KEY) == UpsertCounts(1, 1, 0, 0)
    assert names(store) == {("crm", "a"): "A", ("crm", "b"): "ours", ("crm", "c"): "C", ("crm", "d"): "D"}


def test_a_table_that_never_rests_ends_in_an_error(store: DeltaStore, monkeypatch: pytest.MonkeyPatch) -> None:
    def conflict(*_: object) -> None:
        raise delta.CommitFailedError("changed")

    store.upsert(TABLE, feed("crm", a="A"), KEY)
    monkeypatch.setattr(delta, "merge_delta", conflict)
    monkeypatch.setattr(tables, "_LONGEST_WAIT", 0.0)
    with pytest.raises(RuntimeError, match="other writers"):
        store.upsert(TABLE, feed("crm", a="B"), KEY)


def test_threads_that_start_a_table_together_double_and_lose_nothing(store: DeltaStore) -> None:
    start, counts = threading.Barrier(4), []

    def work(number: int) -> None:
        start.wait()
        for step in range(3):
            rows = {f"{number}-{step}": "mine", "shared": f"{number}-{step}", "same": "same"}
            counts.append(store.upsert(TABLE, feed("crm", **rows), KEY))

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(counts) == 12, "a writer gave up"
    assert sum(count.inserted for count in counts) == 14 == len(store.read(TABLE))
    assert len(names(store)) == 14


def test_a_writer_that_looked_before_another_made_the_table_joins_it(
    store: DeltaStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    create, calls = delta.create_delta, []

    def late(*args: object) -> object:
        if not calls:
            calls.append(1)
            store.upsert(TABLE, feed("crm", a="theirs", b="B"), KEY)
        return create(*args)  # type: ignore[arg-type]

    monkeypatch.setattr(delta, "create_delta", late)
    assert store.upsert(TABLE, feed("crm", a="ours"), KEY) == UpsertCounts(0, 1, 0, 0)
    assert names(store) == {("crm", "a"): "ours", ("crm", "b"): "B"}


def test_a_table_whose_making_was_killed_before_its_first_commit_is_made(store: DeltaStore) -> None:
    (store.path(TABLE) / "_delta_log").mkdir(parents=True)
    assert not store.exists(TABLE)
    store.upsert(TABLE, feed("crm", a="A"), KEY)
    assert names(store) == {("crm", "a"): "A"}


def test_an_overwrite_that_another_writer_slipped_into_is_done_again(
    store: DeltaStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.upsert(TABLE, feed("crm", a="A"), KEY)
    write, calls = delta.write_deltalake, []

    def slow(*args: object, **options: object) -> None:
        if not calls:
            calls.append(1)
            store.upsert(TABLE, feed("crm", b="B"), KEY)
        write(*args, **options)

    monkeypatch.setattr(delta, "write_deltalake", slow)
    store.replace(TABLE, feed("erp", z="Z"))
    assert names(store) == {("erp", "z"): "Z"}


def test_an_overwrite_that_conflicts_is_tried_again(store: DeltaStore, monkeypatch: pytest.MonkeyPatch) -> None:
    store.upsert(TABLE, feed("crm", a="A"), KEY)
    write, calls = delta.write_deltalake, []

    def conflict_once(*args: object, **options: object) -> None:
        calls.append(1)
        if len(calls) == 1:
            store.upsert(TABLE, feed("crm", b="B"), KEY)
            raise delta.CommitFailedError("changed")
        write(*args, **options)

    monkeypatch.setattr(delta, "write_deltalake", conflict_once)
    assert store.replace(TABLE, feed("erp", z="Z")) == store.version(TABLE)
    assert names(store) == {("erp", "z"): "Z"}
    assert len(calls) == 2


KILLED = """
import os, signal, sys
import pandas as pd
from em_core.storage import DeltaStore, delta
write = delta.merge_delta
def die(table, upserts, deletes, key):
    # Data files of the change are on disk, its commit is not.
    upserts_path = table.table_uri.removeprefix("file://")
    open(upserts_path + "/part-00000-half.snappy.parquet", "wb").write(b"PAR1half")
    os.kill(os.getpid(), signal.SIGKILL)
delta.merge_delta = die
DeltaStore(sys.argv[1]).upsert("gold.t", pd.DataFrame({"k": ["1"], "v": ["new"]}), ["k"])
"""


def test_a_killed_writer_leaves_the_old_content_and_a_usable_table(store: DeltaStore) -> None:
    store.upsert("gold.t", pd.DataFrame({"k": ["1"], "v": ["old"]}), ["k"])
    done = subprocess.run([sys.executable, "-c", KILLED, str(store.root)], check=False, timeout=60)
    assert done.returncode < 0
    assert store.read("gold.t")["v"].tolist() == ["old"]
    assert store.upsert("gold.t", pd.DataFrame({"k": ["1"], "v": ["new"]}), ["k"]).updated == 1
    assert store.read("gold.t")["v"].tolist() == ["new"]
