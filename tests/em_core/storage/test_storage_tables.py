"""Delta tables by name: upserts on the key that change only what differs, also with several writers at once."""

from __future__ import annotations

import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from deltalake import DeltaTable
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from em_core.errors import UserError
from em_core.schema import RESULT, RESULT_SCHEMA
from em_core.storage import DeltaStore, TableStore, UpsertCounts, delta, tables

KEY = ["source_system", "source_id"]
TABLE = "gold.matched_entities"


@pytest.fixture
def store(tmp_path: Path) -> DeltaStore:
    return DeltaStore(tmp_path / "lake")


def feed(system: str, **rows: str | None) -> pd.DataFrame:
    """One row for each keyword: source_id = the keyword, name = its value."""
    return pd.DataFrame(
        {
            "source_system": system,
            "source_id": list(rows),
            "name": pd.Series(list(rows.values()), dtype=object),
            "aliases": [[name, "x"] if name else None for name in rows.values()],
            "score": [float(len(name)) if name else None for name in rows.values()],
        }
    )


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


@pytest.mark.parametrize("name", ["matches", "a.b.c", "../x.y", "a.", ".b", "a.b/c", "a b.c", "a.b\n", ""])
def test_only_layer_and_table_make_a_name(store: DeltaStore, name: str) -> None:
    for call in (store.exists, store.version, store.read):
        with pytest.raises(ValueError, match=r"layer\.table"):
            call(name)


def test_a_table_that_is_not_there_is_a_user_error(store: DeltaStore) -> None:
    for call in (store.version, store.read):
        with pytest.raises(UserError, match=r"no table silver\.nothing"):
            call("silver.nothing")


def test_upsert_inserts_updates_and_keeps(store: DeltaStore) -> None:
    assert store.upsert(TABLE, feed("crm", a="A", b="B", c=None), KEY) == UpsertCounts(3, 0, 0, 0)
    assert store.upsert(TABLE, feed("crm", b="B2", c=None, d="D"), KEY) == UpsertCounts(1, 1, 1, 0)
    assert names(store) == {("crm", "a"): "A", ("crm", "b"): "B2", ("crm", "c"): None, ("crm", "d"): "D"}
    assert store.read(TABLE)["aliases"].map(lambda v: None if v is None else list(v)).tolist() == [
        ["A", "x"], ["B2", "x"], None, ["D", "x"],
    ]  # fmt: skip


def test_upserting_twice_writes_nothing(store: DeltaStore) -> None:
    frame = feed("crm", a="A", b=None)
    store.upsert(TABLE, frame, KEY, scope={"source_system": "crm"})
    version, count = store.version(TABLE), commits(store)
    for again in (frame, frame.iloc[::-1], frame[frame.columns[::-1]], store.read(TABLE)):
        assert store.upsert(TABLE, again, KEY, scope={"source_system": "crm"}) == UpsertCounts(0, 0, 2, 0)
    assert (store.version(TABLE), commits(store)) == (version, count)


@pytest.mark.parametrize(
    ("column", "value"), [("name", "a"), ("name", None), ("aliases", ["x", "A"]), ("aliases", []), ("score", 2.0)]
)
def test_any_difference_in_a_value_is_an_update(store: DeltaStore, column: str, value: object) -> None:
    store.upsert(TABLE, feed("crm", a="A", b="B"), KEY)
    changed = feed("crm", a="A", b="B")
    changed[column] = pd.Series([value, changed[column].iloc[1]], dtype=changed[column].dtype)
    assert store.upsert(TABLE, changed, KEY) == UpsertCounts(0, 1, 1, 0)
    assert store.upsert(TABLE, changed, KEY) == UpsertCounts(0, 0, 2, 0)


def test_ignored_columns_alone_are_no_change(store: DeltaStore) -> None:
    def run(number: int, **rows: str | None) -> pd.DataFrame:
        return feed("crm", **rows).assign(run_id=f"r{number}", at=pd.Timestamp(2026, 1, number, tz="UTC"))

    store.upsert(TABLE, run(1, a="A", b="B"), KEY, ignore=("run_id", "at"))
    version = store.version(TABLE)
    assert store.upsert(TABLE, run(2, a="A", b="B"), KEY, ignore=("run_id", "at")).changed == 0
    assert store.version(TABLE) == version
    assert store.upsert(TABLE, run(3, a="A", b="B3"), KEY, ignore=("run_id", "at")) == UpsertCounts(0, 1, 1, 0)
    # The row that stayed keeps the run that made it, the changed one tells its own.
    assert store.read(TABLE)["run_id"].tolist() == ["r1", "r3"]
    assert store.upsert(TABLE, run(4, a="A", b="B3"), KEY) == UpsertCounts(0, 2, 0, 0)


def test_a_scope_loses_the_rows_that_its_feed_lost_and_others_stay(store: DeltaStore) -> None:
    store.upsert(TABLE, feed("crm", a="A", b="B"), KEY)
    store.upsert(TABLE, feed("o'erp", a="A", z="Z"), KEY)
    assert store.upsert(TABLE, feed("o'erp", a="A"), KEY, scope={"source_system": "o'erp"}) == UpsertCounts(0, 0, 1, 1)
    assert set(names(store)) == {("crm", "a"), ("crm", "b"), ("o'erp", "a")}
    mixed = feed("crm", b="B2", c="C")
    assert store.upsert(TABLE, mixed, KEY, scope={"source_system": "crm"}) == UpsertCounts(1, 1, 0, 1)
    empty = feed("crm", a="A").iloc[:0]
    assert store.upsert(TABLE, empty, KEY, scope={"source_system": "crm"}) == UpsertCounts(0, 0, 0, 2)
    assert set(names(store)) == {("o'erp", "a")}


def test_insert_update_and_delete_are_one_version(store: DeltaStore) -> None:
    store.upsert(TABLE, feed("crm", a="A", b="B"), KEY)
    before = store.version(TABLE)
    store.upsert(TABLE, feed("crm", b="B2", c="C"), KEY, scope={"source_system": "crm"})
    assert store.version(TABLE) == before + 1


def test_a_scope_outside_of_the_key_finds_rows_that_moved(store: DeltaStore) -> None:
    table, key = "bronze.source_entities", ["source_id"]
    first = pd.DataFrame({"source_id": ["1", "2"], "file": ["old.csv", "old.csv"]})
    store.upsert(table, first, key, scope={"file": "old.csv"})
    moved = pd.DataFrame({"source_id": ["2", "3"], "file": ["new.csv", "new.csv"]})
    assert store.upsert(table, moved, key, scope={"file": "new.csv"}) == UpsertCounts(1, 1, 0, 0)
    assert store.read(table)["file"].tolist() == ["old.csv", "new.csv", "new.csv"]


def test_rows_outside_of_the_scope_are_a_fault(store: DeltaStore) -> None:
    with pytest.raises(ValueError, match="row 1: lies outside the scope source_system='erp'"):
        store.upsert(TABLE, feed("crm", a="A"), KEY, scope={"source_system": "erp"})
    with pytest.raises(ValueError, match="scope names column 'file'"):
        store.upsert(TABLE, feed("crm", a="A"), KEY, scope={"file": "x"})
    assert not store.exists(TABLE)


@pytest.mark.parametrize(
    ("frame", "words"),
    [
        (pd.concat([feed("crm", a="A"), feed("crm", a="A")]), r"row 2: duplicate key \(source_system='crm', source_id='a'\)"),
        (feed("crm", a="A").assign(source_id=None), "row 1, column 'source_id': the key is missing"),
        (feed("crm", a="A").drop(columns="source_id"), "no key column 'source_id'"),
    ],
)  # fmt: skip
def test_bad_keys_are_refused(store: DeltaStore, frame: pd.DataFrame, words: str) -> None:
    with pytest.raises(UserError, match=words):
        store.upsert(TABLE, frame, KEY)
    assert not store.exists(TABLE)


def test_columns_are_united_by_name(store: DeltaStore) -> None:
    store.upsert(TABLE, feed("crm", a="A", b="B"), KEY)
    # The order differs, `score` and `aliases` are gone, `city` is new, `empty` has nothing to say.
    new = pd.DataFrame({"city": ["Ulm", None], "empty": [None, None], "name": ["A", "C"], "source_id": ["a", "c"]})
    store.upsert(TABLE, new.assign(source_system="crm"), KEY)
    frame = store.read(TABLE)
    assert list(frame.columns) == ["source_system", "source_id", "name", "aliases", "score", "city"]
    assert frame["city"].tolist() == ["Ulm", None, None]
    assert frame["score"].fillna(-1).tolist() == [-1, 1, -1]
    assert store.upsert(TABLE, new.assign(source_system="crm"), KEY).changed == 0


def test_a_column_of_another_type_is_refused(store: DeltaStore) -> None:
    store.upsert(TABLE, feed("crm", a="A"), KEY)
    with pytest.raises(UserError, match="column 'score': the table holds double, the new rows string"):
        store.upsert(TABLE, feed("crm", a="A").assign(score="high"), KEY)
    with pytest.raises(UserError, match="column 'name': the table holds string, the new rows int64"):
        store.upsert(TABLE, feed("crm", a="A").assign(name=1), KEY)
    assert store.upsert(TABLE, feed("crm", a="A").assign(score=1), KEY).changed == 0, "whole numbers fit"


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


def test_reads_filter_project_and_travel(store: DeltaStore) -> None:
    store.upsert(TABLE, feed("o'erp", b="B", a="A"), KEY)
    first = store.version(TABLE)
    store.upsert(TABLE, feed("crm", z="Z", y=None), KEY)
    assert store.read(TABLE, ["name"], {"source_system": "o'erp"})["name"].tolist() == ["A", "B"]
    assert store.read(TABLE, filter={"source_system": ["o'erp", "crm"], "name": ["Z", "A"]})["name"].tolist() == [
        "Z",
        "A",
    ]
    assert store.read(TABLE, filter={"source_system": []}).empty
    assert len(store.read(TABLE, filter={"name": "'; DROP"})) == 0
    assert store.read(TABLE, ["source_id"], version=first)["source_id"].tolist() == ["a", "b"]
    with pytest.raises(UserError, match="no column 'nam'; it has: source_system"):
        store.read(TABLE, ["nam"])
    with pytest.raises(UserError, match="no column 'nam'"):
        store.read(TABLE, filter={"nam": "x"})
    with pytest.raises(UserError, match="version 99"):
        store.read(TABLE, version=99)


def test_rows_come_in_key_order_whatever_the_writes_were(store: DeltaStore, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    ids = np.array([f"{i:04d}" for i in range(3000)])
    for part in np.array_split(rng.permutation(ids), 4):
        store.upsert(TABLE, pd.DataFrame({"source_system": "s", "source_id": part, "name": part}), KEY)
    assert store.read(TABLE)["source_id"].tolist() == ids.tolist()
    shuffled = pd.DataFrame({"id": rng.permutation(ids)})
    store.replace("silver.keyed", shuffled, key=["id"])
    assert store.read("silver.keyed")["id"].tolist() == ids.tolist()
    store.replace("silver.unkeyed", shuffled)
    assert store.read("silver.unkeyed")["id"].tolist() == shuffled["id"].tolist()


def test_awkward_column_names(store: DeltaStore) -> None:
    frame = pd.DataFrame({'Key "1"': ["a", "b"], "Größe `x`": ["1", None], "select": [1.0, 2.0], "a.b": ["x", "y"]})
    store.upsert("bronze.raw", frame, ['Key "1"'])
    assert store.upsert("bronze.raw", frame.assign(select=[1.0, 3.0]), ['Key "1"']) == UpsertCounts(0, 1, 1, 0)
    again = store.read("bronze.raw", filter={'Key "1"': "b"})
    assert list(again.columns) == list(frame.columns)
    assert again.iloc[0].tolist() == ["b", None, 3.0, "y"]


def test_replace_makes_the_frame_the_table_and_equal_content_writes_nothing(store: DeltaStore) -> None:
    store.upsert(TABLE, feed("crm", a="A", b="B"), KEY)
    new = pd.DataFrame({"other": ["1", "2"], "l": [["x"], []]})
    version = store.replace(TABLE, new)
    assert version == store.version(TABLE)
    assert list(store.read(TABLE).columns) == ["other", "l"]
    assert store.replace(TABLE, new.iloc[::-1]) == version
    assert store.replace(TABLE, new.assign(l=[["x"], ["y"]])) == version + 1
    assert store.replace(TABLE, new.rename(columns={"other": "o"})) == version + 2
    assert store.replace(TABLE, new.iloc[:0]) == version + 3
    assert store.read(TABLE).empty
    with pytest.raises(UserError, match="duplicate key"):
        store.replace(TABLE, pd.DataFrame({"k": ["1", "1"]}), key=["k"])


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


def test_a_table_with_repeated_keys_is_not_upserted(store: DeltaStore) -> None:
    store.replace(TABLE, pd.concat([feed("crm", a="A"), feed("crm", a="B")]))
    with pytest.raises(UserError, match="several rows of one key"):
        store.upsert(TABLE, feed("crm", a="C"), KEY)


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


# --- properties ------------------------------------------------------------------------------------------------------

ROWS = st.dictionaries(
    st.tuples(st.sampled_from(["crm", "erp"]), st.sampled_from("abcd")),
    st.tuples(
        st.one_of(st.none(), st.sampled_from(["", "x", "y", "Ünï'\"\\`"])),
        st.one_of(st.none(), st.lists(st.sampled_from(["p", "q"]), max_size=2)),
        st.one_of(st.none(), st.sampled_from([0.0, 0.5, 1.0])),
    ),
    max_size=5,
)


def as_frame(rows: dict[tuple[str, str], tuple[object, object, object]]) -> pd.DataFrame:
    cells = [[*key, *value] for key, value in rows.items()]
    frame = pd.DataFrame(cells, columns=[*KEY, "name", "aliases", "score"], dtype=object)
    return frame.assign(score=frame["score"].astype(float))


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=st.lists(st.tuples(ROWS, st.booleans()), min_size=1, max_size=3))
def test_a_store_behaves_as_a_dictionary(
    tmp_path_factory: pytest.TempPathFactory, steps: list[tuple[dict, bool]]
) -> None:
    store = DeltaStore(tmp_path_factory.mktemp("lake"))
    schema = pa.schema(
        [(name, pa.string()) for name in (*KEY, "name")] + [("aliases", pa.list_(pa.string())), ("score", pa.float64())]
    )
    model: dict[tuple[str, str], object] = {}
    for rows, scoped in steps:
        if scoped:
            rows = {key: value for key, value in rows.items() if key[0] == "crm"}
        before = dict(model)
        gone = [key for key in model if scoped and key[0] == "crm" and key not in rows]
        for key in gone:
            del model[key]
        model |= rows
        counts = store.upsert(
            TABLE, as_frame(rows), KEY, scope={"source_system": "crm"} if scoped else None, schema=schema
        )
        assert counts.deleted == len(gone)
        assert counts.inserted == len(set(rows) - set(before))
        assert counts.updated == sum(key in before and before[key] != value for key, value in rows.items())
        read = {
            (row.source_system, row.source_id): (
                row.name,
                None if row.aliases is None else list(row.aliases),
                None if pd.isna(row.score) else row.score,
            )
            for row in store.read(TABLE).itertuples(index=False)
        }
        assert read == model
        assert list(read) == sorted(read)
