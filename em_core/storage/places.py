"""A table store out of one text, as steps take it on the command line."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from em_core.errors import UserError

if TYPE_CHECKING:
    from em_core.storage.tables import TableStore
    from em_core.storage.unity import SqlEngine

CATALOG = "catalog:"
WAREHOUSE, STAGING = "EM_WAREHOUSE", "EM_STAGING"


def open_store(where: str) -> TableStore:
    """`catalog:NAME`: that catalog, through the SQL warehouse that `EM_WAREHOUSE` names, else through Spark. Anything else: a folder.

    A warehouse needs `EM_STAGING` too, a folder of a volume that rows pass through. Raises `UserError`.
    """
    if not where.startswith(CATALOG):
        from em_core.storage.tables import DeltaStore

        return DeltaStore(Path(where))
    from em_core.storage.unity import CatalogStore, checked_catalog

    # The name first: a session takes half a minute to start.
    catalog = checked_catalog(where.removeprefix(CATALOG))
    return CatalogStore(catalog, open_engine())


def open_engine() -> SqlEngine:
    """Where statements run: the SQL warehouse that `EM_WAREHOUSE` names, else the Spark of this job. Raises `UserError`."""
    from em_core.storage.engines import SparkEngine, WarehouseEngine

    if warehouse := os.environ.get(WAREHOUSE):
        staging = os.environ.get(STAGING)
        if not staging:
            raise UserError(f"{WAREHOUSE} is set; {STAGING} must name a folder of a volume that rows pass through")
        return WarehouseEngine(warehouse, staging)
    try:
        from pyspark.sql import SparkSession
    except ImportError:
        raise UserError(
            f"there is no Spark here; set {WAREHOUSE} and {STAGING} to go through a SQL warehouse"
        ) from None
    return SparkEngine(SparkSession.builder.getOrCreate())
