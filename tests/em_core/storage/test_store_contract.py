"""What every table store keeps, whether its tables are Delta folders here or lie in Unity Catalog behind a SQL warehouse."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from em_core.errors import UserError
from em_core.storage import DeltaStore, TableStore, UpsertCounts
from em_core.storage.engines import WarehouseEngine
from em_core.storage.unity import CatalogStore
from tests.workspace.server import Workspace, serve
from tests.workspace.warehouse import Warehouse

KEY = ["source_system", "source_id"]
TABLE = "gold.matched_entities"
STAGING = "/Volumes/main/matching/staging"


@pytest.fixture(scope="module")
def standing_in(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Workspace, WarehouseEngine]]:
    """A workspace with a SQL warehouse, and the engine that asks it."""
    pytest.importorskip("databricks.sdk")
    from databricks.sdk import WorkspaceClient

    space = Workspace(Path("python"), tmp_path_factory.mktemp("volumes"))
    server = serve(space)
    client = WorkspaceClient(
        host=f"http://127.0.0.1:{server.server_port}", token=space.token, auth_type="pat", config=None
    )
    yield space, WarehouseEngine("warehouse", STAGING, client)
    server.shutdown()


def catalog_store(space: Workspace, engine: WarehouseEngine) -> CatalogStore:
    """An empty catalog with our layers."""
    space.warehouse = Warehouse(space.root)
    for layer in ("bronze", "silver", "gold"):
        space.warehouse.execute(f"CREATE SCHEMA IF NOT EXISTS `main`.`{layer}`")
    return CatalogStore("main", engine)


@pytest.fixture(params=["delta", "unity"])
def make_store(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Callable[[], TableStore]:
    """Empty stores of one kind."""
    if request.param == "delta":
        return lambda: DeltaStore(tmp_path_factory.mktemp("lake"))
    space, engine = request.getfixturevalue("standing_in")
    return lambda: catalog_store(space, engine)


@pytest.fixture
def store(make_store: Callable[[], TableStore]) -> TableStore:
    return make_store()


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


def names(store: TableStore, table: str = TABLE) -> dict[tuple[str, str], str | None]:
    frame = store.read(table)
    return dict(zip(zip(frame["source_system"], frame["source_id"], strict=True), frame["name"], strict=True))


@pytest.mark.parametrize("name", ["matches", "a.b.c", "../x.y", "a.", ".b", "a.b/c", "a b.c", "a.b\n", ""])
def test_only_layer_and_table_make_a_name(store: TableStore, name: str) -> None:
    for call in (store.exists, store.version, store.read):
        with pytest.raises(ValueError, match=r"layer\.table"):
            call(name)


def test_a_table_that_is_not_there_is_a_user_error(store: TableStore) -> None:
    for call in (store.version, store.read):
        with pytest.raises(UserError, match=r"no table silver\.nothing"):
            call("silver.nothing")


def test_upsert_inserts_updates_and_keeps(store: TableStore) -> None:
    assert store.upsert(TABLE, feed("crm", a="A", b="B", c=None), KEY) == UpsertCounts(3, 0, 0, 0)
    assert store.upsert(TABLE, feed("crm", b="B2", c=None, d="D"), KEY) == UpsertCounts(1, 1, 1, 0)
    assert names(store) == {("crm", "a"): "A", ("crm", "b"): "B2", ("crm", "c"): None, ("crm", "d"): "D"}
    assert store.read(TABLE)["aliases"].map(lambda v: None if v is None else list(v)).tolist() == [
        ["A", "x"], ["B2", "x"], None, ["D", "x"],
    ]  # fmt: skip


def test_upserting_twice_writes_nothing(store: TableStore) -> None:
    frame = feed("crm", a="A", b=None)
    store.upsert(TABLE, frame, KEY, scope={"source_system": "crm"})
    version = store.version(TABLE)
    for again in (frame, frame.iloc[::-1], frame[frame.columns[::-1]], store.read(TABLE)):
        assert store.upsert(TABLE, again, KEY, scope={"source_system": "crm"}) == UpsertCounts(0, 0, 2, 0)
    assert store.version(TABLE) == version


@pytest.mark.parametrize(
    ("column", "value"), [("name", "a"), ("name", None), ("aliases", ["x", "A"]), ("aliases", []), ("score", 2.0)]
)
def test_any_difference_in_a_value_is_an_update(store: TableStore, column: str, value: object) -> None:
    store.upsert(TABLE, feed("crm", a="A", b="B"), KEY)
    changed = feed("crm", a="A", b="B")
    changed[column] = pd.Series([value, changed[column].iloc[1]], dtype=changed[column].dtype)
    assert store.upsert(TABLE, changed, KEY) == UpsertCounts(0, 1, 1, 0)
    assert store.upsert(TABLE, changed, KEY) == UpsertCounts(0, 0, 2, 0)


def test_ignored_columns_alone_are_no_change(store: TableStore) -> None:
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


def test_a_scope_loses_the_rows_that_its_feed_lost_and_others_stay(store: TableStore) -> None:
    store.upsert(TABLE, feed("crm", a="A", b="B"), KEY)
    store.upsert(TABLE, feed("o'erp", a="A", z="Z"), KEY)
    assert store.upsert(TABLE, feed("o'erp", a="A"), KEY, scope={"source_system": "o'erp"}) == UpsertCounts(0, 0, 1, 1)
    assert set(names(store)) == {("crm", "a"), ("crm", "b"), ("o'erp", "a")}
    mixed = feed("crm", b="B2", c="C")
    assert store.upsert(TABLE, mixed, KEY, scope={"source_system": "crm"}) == UpsertCounts(1, 1, 0, 1)
    empty = feed("crm", a="A").iloc[:0]
    assert store.upsert(TABLE, empty, KEY, scope={"source_system": "crm"}) == UpsertCounts(0, 0, 0, 2)
    assert set(names(store)) == {("o'erp", "a")}


def test_insert_update_and_delete_are_one_version(store: TableStore) -> None:
    store.upsert(TABLE, feed("crm", a="A", b="B"), KEY)
    before = store.version(TABLE)
    store.upsert(TABLE, feed("crm", b="B2", c="C"), KEY, scope={"source_system": "crm"})
    assert store.version(TABLE) == before + 1


def test_a_scope_outside_of_the_key_finds_rows_that_moved(store: TableStore) -> None:
    table, key = "bronze.source_entities", ["source_id"]
    first = pd.DataFrame({"source_id": ["1", "2"], "file": ["old.csv", "old.csv"]})
    store.upsert(table, first, key, scope={"file": "old.csv"})
    moved = pd.DataFrame({"source_id": ["2", "3"], "file": ["new.csv", "new.csv"]})
    assert store.upsert(table, moved, key, scope={"file": "new.csv"}) == UpsertCounts(1, 1, 0, 0)
    assert store.read(table)["file"].tolist() == ["old.csv", "new.csv", "new.csv"]


def test_rows_outside_of_the_scope_are_a_fault(store: TableStore) -> None:
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
def test_bad_keys_are_refused(store: TableStore, frame: pd.DataFrame, words: str) -> None:
    with pytest.raises(UserError, match=words):
        store.upsert(TABLE, frame, KEY)
    assert not store.exists(TABLE)


def test_columns_are_united_by_name(store: TableStore) -> None:
    store.upsert(TABLE, feed("crm", a="A", b="B"), KEY)
    # The order differs, `score` and `aliases` are gone, `city` is new, `empty` has nothing to say.
    new = pd.DataFrame({"city": ["Ulm", None], "empty": [None, None], "name": ["A", "C"], "source_id": ["a", "c"]})
    store.upsert(TABLE, new.assign(source_system="crm"), KEY)
    frame = store.read(TABLE)
    assert list(frame.columns) == ["source_system", "source_id", "name", "aliases", "score", "city"]
    assert frame["city"].tolist() == ["Ulm", None, None]
    assert frame["score"].fillna(-1).tolist() == [-1, 1, -1]
    assert store.upsert(TABLE, new.assign(source_system="crm"), KEY).changed == 0


def test_a_column_of_another_type_is_refused(store: TableStore) -> None:
    store.upsert(TABLE, feed("crm", a="A"), KEY)
    with pytest.raises(UserError, match="column 'score': the table holds double, the new rows string"):
        store.upsert(TABLE, feed("crm", a="A").assign(score="high"), KEY)
    with pytest.raises(UserError, match="column 'name': the table holds string, the new rows int64"):
        store.upsert(TABLE, feed("crm", a="A").assign(name=1), KEY)
    assert store.upsert(TABLE, feed("crm", a="A").assign(score=1), KEY).changed == 0, "whole numbers fit"


def test_reads_filter_project_and_travel(store: TableStore) -> None:
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


def test_rows_come_in_key_order_whatever_the_writes_were(store: TableStore, tmp_path: Path) -> None:
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


def test_replace_makes_the_frame_the_table_and_equal_content_writes_nothing(store: TableStore) -> None:
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


def test_a_table_with_repeated_keys_is_not_upserted(store: TableStore) -> None:
    store.replace(TABLE, pd.concat([feed("crm", a="A"), feed("crm", a="B")]))
    with pytest.raises(UserError, match="several rows of one key"):
        store.upsert(TABLE, feed("crm", a="C"), KEY)


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


Steps = list[tuple[dict[tuple[str, str], tuple[object, object, object]], bool]]
STEPS = st.lists(st.tuples(ROWS, st.booleans()), min_size=1, max_size=3)


@settings(max_examples=15, deadline=None)
@given(steps=STEPS)
def test_delta_behaves_as_a_dictionary(tmp_path_factory: pytest.TempPathFactory, steps: Steps) -> None:
    as_a_dictionary(DeltaStore(tmp_path_factory.mktemp("lake")), steps)


@settings(max_examples=5, deadline=None)
@given(steps=STEPS)
def test_unity_behaves_as_a_dictionary(standing_in: tuple[Workspace, WarehouseEngine], steps: Steps) -> None:
    as_a_dictionary(catalog_store(*standing_in), steps)


def as_a_dictionary(store: TableStore, steps: Steps) -> None:
    """Upserts do to the table what they do to a dictionary by key."""
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
