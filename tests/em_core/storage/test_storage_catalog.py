"""What sets a catalog up: run on the stand-in, whose parser is one of Databricks SQL."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from em_core.errors import UserError
from em_core.matcher import Matcher
from em_core.policy_table import POLICY_KEY, contradictions, policy_rows, record_policy
from em_core.schema import DECISIONS, RESULT, RESULT_SCHEMA, prepare_source
from em_core.storage import sql
from em_core.storage.catalog import GENERATED, LAYERS, VOLUMES, setup_statements
from em_core.storage.names import FILE, POLICY_TABLE, RESULT_TABLE
from em_core.storage.unity import CatalogStore
from tests.workspace.warehouse import Warehouse


class Direct:
    """The stand-in's warehouse without the wire."""

    def __init__(self, warehouse: Warehouse) -> None:
        self.warehouse = warehouse

    def query(self, statement: str) -> pa.Table:
        return self.warehouse.execute(statement)

    @contextmanager
    def staged(self, rows: pa.Table) -> Iterator[str]:
        path = self.warehouse.root / f"{uuid4().hex}.parquet"
        pq.write_table(rows, path)
        yield f"read_files({sql.literal(f'/{path.name}')}, format => 'parquet')"


@pytest.fixture
def warehouse(tmp_path: Path) -> Warehouse:
    made = Warehouse(tmp_path)
    for statement in setup_statements("main", readers=["data readers"], writers=["matching`team"]):
        made.execute(statement)
    return made


@pytest.fixture
def store(warehouse: Warehouse) -> CatalogStore:
    return CatalogStore("main", Direct(warehouse))


@pytest.fixture(scope="module")
def results(matcher: Matcher, reference: pd.DataFrame) -> pd.DataFrame:
    """Sixty results: exact rules, the scorer, nothing, and six under review."""
    rows = reference.head(60).copy()
    rows["name"] = [name[: -2 - i % 7] if i % 3 else f"{name[::-1]} {i}" for i, name in enumerate(rows["name"])]
    source = rows.drop(columns=["entity_id", "lei", "parent_id"], errors="ignore")
    source = source.assign(
        source_system=np.where(np.arange(60) % 2, "crm", "erp"), source_id=[f"R{i}" for i in range(60)]
    )
    found = matcher.match(prepare_source(source), run_id="r1").assign(**{FILE: "crm.csv"})
    open_ones = found.index[found["decision"] == "no_match"][:6]
    found.loc[open_ones, "decision"] = "review"
    found.loc[open_ones, "confidence"] = [0.4, 0.7, 0.1, 0.3, 0.6, 0.2]
    return found


def test_it_makes_everything_once_and_changes_nothing_after(warehouse: Warehouse) -> None:
    said = warehouse.other
    assert sum(text.startswith("CREATE SCHEMA") for text in said) == len(LAYERS)
    assert sum(text.startswith("CREATE VOLUME") for text in said) == len(VOLUMES)
    assert "GRANT SELECT ON SCHEMA `main`.`gold` TO `data readers`" in said
    assert not any("bronze" in text for text in said if "data readers" in text)
    assert "GRANT ALL PRIVILEGES ON SCHEMA `main`.`bronze` TO `matching``team`" in said
    before = {name: table.version for name, table in warehouse.tables.items()}
    for statement in setup_statements("main"):
        warehouse.execute(statement)
    assert {name: table.version for name, table in warehouse.tables.items()} == before
    for table in warehouse.tables.values():
        assert table.properties["delta.enableChangeDataFeed"] == "true"
    published = warehouse.tables["main.gold.matched_entities"]
    assert set(published.comments) == {*RESULT.columns, FILE, *GENERATED} and set(published.generated) == set(GENERATED)


def test_the_published_table_fills_its_flags_by_itself(
    store: CatalogStore, results: pd.DataFrame, warehouse: Warehouse
) -> None:
    schema = RESULT_SCHEMA.append(pa.field(FILE, pa.string()))
    counts = store.upsert(RESULT_TABLE, results, key=RESULT.key, ignore=("run_id", "matched_at"), schema=schema)
    assert counts.inserted == 60
    assert list(store.read(RESULT_TABLE).columns) == [*RESULT.columns, FILE]
    assert (
        store.upsert(
            RESULT_TABLE, results.assign(run_id="r2"), key=RESULT.key, ignore=("run_id",), schema=schema
        ).changed
        == 0
    )
    flags = warehouse.execute("SELECT decision, auto_matched, needs_review FROM main.gold.matched_entities").to_pandas()
    assert (flags["auto_matched"] == (flags["decision"] == "auto_match")).all()
    assert (flags["needs_review"] == (flags["decision"] == "review")).all()


def test_the_views_count_and_order_what_the_results_say(
    store: CatalogStore, results: pd.DataFrame, warehouse: Warehouse
) -> None:
    store.upsert(RESULT_TABLE, results, key=RESULT.key)
    stats = warehouse.execute("SELECT * FROM main.gold.daily_stats").to_pandas()
    assert stats["records"].sum() == 60
    for decision in DECISIONS:
        assert stats[decision].sum() == (results["decision"] == decision).sum()
    queue = warehouse.execute("SELECT * FROM main.gold.review_queue").to_pandas()
    assert len(queue) == (results["decision"] == "review").sum() > 0
    decide = queue[queue["task"] == "decide"]["value"].dropna()
    assert decide.is_monotonic_decreasing


def test_a_match_below_its_threshold_is_told_by_view_and_code_alike(
    store: CatalogStore, results: pd.DataFrame, matcher: Matcher, warehouse: Warehouse
) -> None:
    record_policy(store, matcher)
    record_policy(store, matcher)
    policies = store.read(POLICY_TABLE)
    assert len(policies) == 1 + len(matcher.policy.sources) and policies["promise"].str.len().gt(10).all()
    assert contradictions(policies, results).empty, "the engine keeps its own policy"
    # The feed `erp` gets thresholds of its own that never decide alone.
    strict = policy_rows(matcher).head(1).assign(source_system="erp", auto_threshold=np.nan)
    store.upsert(POLICY_TABLE, strict, key=POLICY_KEY)
    low = results.copy()
    scored = low["stage"].isin(["scorer", "ditto"])
    low.loc[scored & (low["source_system"] == "crm"), ["decision", "confidence"]] = ["auto_match", 0.01]
    store.upsert(RESULT_TABLE, low, key=RESULT.key)
    told = contradictions(store.read(POLICY_TABLE), low)
    view = warehouse.execute("SELECT source_id FROM main.gold.policy_contradictions").to_pandas()
    assert sorted(view["source_id"]) == sorted(told["source_id"])
    erp = low[(low["source_system"] == "erp") & scored & (low["decision"] == "auto_match")]
    assert set(erp["source_id"]) <= set(told["source_id"]) and (scored & (low["source_system"] == "crm")).sum() > 0


@pytest.mark.parametrize("name", ["", "main.gold", "a b", "a`b", "a-b"])
def test_only_letters_digits_and_underscores_name_a_catalog(name: str) -> None:
    with pytest.raises(UserError, match="letters, digits and _"):
        setup_statements(name)
    with pytest.raises(UserError, match="letters, digits and _"):
        CatalogStore(name, Direct(None))  # type: ignore[arg-type]


def test_a_race_is_run_again_and_a_mistake_of_ours_is_no_mistake_of_the_user(tmp_path: Path) -> None:
    from em_core.storage.engines import _refused
    from em_core.storage.unity import ConcurrentWriteError, MissingTableError

    for message, kind in (
        ("[DELTA_CONCURRENT_APPEND] x", ConcurrentWriteError),
        ("[TABLE_OR_VIEW_NOT_FOUND] x", MissingTableError),
        ("[PARSE_SYNTAX_ERROR] x", RuntimeError),
        ("[INSUFFICIENT_PERMISSIONS] User has no SELECT\nstack", UserError),
    ):
        with pytest.raises(kind):
            _refused(message, "Spark")
