"""Where tables, files and models rest: Delta tables, atomic files, the MLflow registry."""

from em_core.storage.registry import ModelRegistry, RegisteredVersion
from em_core.storage.tables import DeltaStore, TableStore, UpsertCounts

__all__ = ["DeltaStore", "ModelRegistry", "RegisteredVersion", "TableStore", "UpsertCounts"]
