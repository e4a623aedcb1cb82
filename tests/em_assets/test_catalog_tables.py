"""The assets over tables in Unity Catalog: the same assets, a stand-in for the SQL warehouse, a step as a process of its own."""

from __future__ import annotations

from pathlib import Path

import dagster as dg
import pandas as pd
import pytest

from em_assets.assets.index import vector_index
from em_assets.assets.reference import reference_entities
from em_assets.launchers import Launchers
from em_assets.resources import Settings, Workspace
from em_core.retrieval.index import CandidateIndex
from em_core.storage.names import COST_TABLE, REFERENCE_TABLE
from em_core.storage.unity import CatalogStore
from tests.workspace.server import Workspace as StandIn
from tests.workspace.server import serve
from tests.workspace.warehouse import Warehouse


def test_the_tables_may_be_a_catalog(tmp_path: Path, reference: pd.DataFrame, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("databricks.sdk")
    space = StandIn(Path("python"), tmp_path / "volumes")
    space.warehouse = Warehouse(space.root)
    for layer in ("bronze", "silver", "gold"):
        space.warehouse.execute(f"CREATE SCHEMA IF NOT EXISTS `main`.`{layer}`")
    server = serve(space)
    for name, value in {
        "DATABRICKS_HOST": f"http://127.0.0.1:{server.server_port}",
        "DATABRICKS_TOKEN": space.token,
        "EM_WAREHOUSE": "warehouse",
        "EM_STAGING": "/Volumes/main/matching/staging",
    }.items():
        monkeypatch.setenv(name, value)
    (tmp_path / "reference").mkdir()
    reference.head(300).to_parquet(tmp_path / "reference" / "reference.parquet")
    (tmp_path / "settings.yaml").write_text("retrieval: {encoder: null}\n")
    workspace = Workspace(root=str(tmp_path), tables_at="catalog:main")
    resources = {
        "workspace": workspace,
        "settings": Settings(file=str(tmp_path / "settings.yaml")),
        "launchers": Launchers(),
    }
    done = dg.materialize([reference_entities, vector_index], resources=resources)
    assert done.success and isinstance(workspace.tables, CatalogStore)
    assert len(workspace.tables.read(REFERENCE_TABLE)) == 300 and not workspace.table_folder.exists()
    assert CandidateIndex.load(workspace.model("vector_index")).entities == 300
    assert workspace.tables.read(COST_TABLE)["step"].tolist() == ["em_build_index"]
    assert not list((tmp_path / "volumes" / "Volumes" / "main" / "matching" / "staging").iterdir()), (
        "rows stayed behind"
    )
    server.shutdown()
