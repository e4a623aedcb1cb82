"""Resources: where things live (`Workspace`) and how a matcher is fitted (`Settings`)."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import dagster as dg
from pydantic import Field

from em_assets.launchers.base import Place
from em_core.drop import DropFolder, drop_folder
from em_core.errors import UserError
from em_core.storage import ModelRegistry, TableStore

if TYPE_CHECKING:
    from em_core.evaluation.promotion import GateSettings
    from em_core.settings import FitSettings

DEFAULT_ROOT = "var"
_REFERENCE_SUFFIXES = (".parquet", ".csv", ".csv.gz", ".tsv", "")


class Workspace(dg.ConfigurableResource):
    """One folder that holds everything a deployment reads and writes.

    `landing/` drop folder of source files, `reference/` the master, `labels/` known answers, `tables/` Delta tables, `models/`
    versioned model folders, `mlflow/` the model registry, `reports/`.
    """

    root: str = DEFAULT_ROOT
    landing_folder: str = Field(
        default="",
        description="drop folder, if it is not `landing` in the root: a path, or one on a Unity Catalog volume",
    )

    tables_at: str = Field(
        default="",
        description="where tables are, if not in `tables` of the root: `catalog:NAME`, a Unity Catalog catalog",
    )

    @property
    def path(self) -> Path:
        """The folder, absolute."""
        return Path(self.root).expanduser().resolve()

    @property
    def landing(self) -> Path:
        """The drop folder of this workspace, unless `landing_folder` names another."""
        return self.path / "landing"

    @property
    def drop(self) -> DropFolder:
        """Where feeds land: each file is a partition."""
        return drop_folder(self.landing_folder or str(self.landing))

    @property
    def mapping(self) -> Path | None:
        """Mapping file of the reference, if there is one."""
        found = self.path / "reference" / "mapping.yaml"
        return found if found.is_file() else None

    @property
    def reference(self) -> Path:
        """The master's file or Delta folder, `reference/reference.<suffix>`."""
        folder = self.path / "reference"
        for suffix in _REFERENCE_SUFFIXES:
            if (folder / f"reference{suffix}").exists():
                return folder / f"reference{suffix}"
        raise UserError(
            f"{folder}: put the master there as reference.parquet, reference.csv or a Delta folder reference"
        )

    @property
    def training_labels(self) -> Path | None:
        """Labelled source records to learn from, `labels/training.csv` or `.parquet`, if there are any."""
        found = [self.path / "labels" / f"training{suffix}" for suffix in (".parquet", ".csv")]
        return next((path for path in found if path.is_file()), None)

    @property
    def truth(self) -> Path | None:
        """Known answers to judge by, `labels/truth.csv` or `.parquet`, if there are any. Never learned from."""
        found = [self.path / "labels" / f"truth{suffix}" for suffix in (".parquet", ".csv")]
        return next((path for path in found if path.is_file()), None)

    @property
    def report(self) -> Path:
        """The match report."""
        return self.path / "reports" / "match_report.html"

    @property
    def evaluation_labels(self) -> Path | None:
        """Labelled source records to compare matchers by, `labels/evaluation.csv` or `.parquet`, if there are any. Never learned from."""
        found = [self.path / "labels" / f"evaluation{suffix}" for suffix in (".parquet", ".csv")]
        return next((path for path in found if path.is_file()), None)

    @property
    def table_folder(self) -> Path:
        """Folder of the Delta tables."""
        return self.path / "tables"

    @property
    def tables(self) -> TableStore:
        """Versioned tables."""
        from em_core.storage.places import open_store

        return open_store(self.tables_at or str(self.table_folder))

    @property
    def table_argument(self) -> str | Place:
        """The tables on a step's command line."""
        return self.tables_at or Place(self.table_folder, "shared")

    @property
    def registry(self) -> ModelRegistry:
        """MLflow: `MLFLOW_TRACKING_URI` if it is set, else sqlite inside the workspace."""
        return ModelRegistry(self.tracking_uri, "entity_matching")

    @property
    def tracking_uri(self) -> str:
        """Tracking store of `registry`."""
        return os.environ.get("MLFLOW_TRACKING_URI") or f"sqlite:///{self.path / 'mlflow' / 'mlflow.db'}"

    def model(self, name: str) -> Path:
        """Folder of a model: `vector_index`, `ditto`, `matcher` (the newest fitted) or `champion` (the one in use)."""
        return self.path / "models" / name


class Settings(dg.ConfigurableResource):
    """Settings of a fit, out of an optional YAML file and the environment (`EM_...`)."""

    file: str = ""

    def load(self) -> FitSettings:
        """Read them; raises `UserError` naming the offending key."""
        from em_core.settings import load_settings

        return load_settings(Path(self.file) if self.file else None)

    def environment(self) -> dict[str, str]:
        """Settings that the environment holds (`EM_POLICY__PRECISION=...`), for a process elsewhere."""
        return {name: value for name, value in os.environ.items() if name.startswith("EM_") and "__" in name}


class Gates(dg.ConfigurableResource):
    """What must hold before something flows on. See `GateSettings` for the gate of a new matcher."""

    candidate_recall: float = Field(
        default=0.9, description="least share of known training records whose entity is among the candidates"
    )
    reference_days: float = Field(
        default=35, description="age of the master's file, in days, from which it counts as stale"
    )
    certainty: float = Field(default=0.95, description="with which a challenger must be cheaper than the champion")
    worse_certainty: float = Field(
        default=0.8, description="with which a source system must be worse to stop a challenger"
    )
    records: int = Field(default=300, description="fewest records with known answers to compare two matchers by")

    def of_matchers(self) -> GateSettings:
        """The gate of a new matcher."""
        from em_core.evaluation.promotion import GateSettings

        return GateSettings(certainty=self.certainty, worse_certainty=self.worse_certainty, records=self.records)
