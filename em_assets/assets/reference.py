"""The master: landed file -> checked table."""

import dagster as dg

from em_assets.assets import BRONZE, OWNERS
from em_assets.failures import RETRY, bad_input_fails
from em_assets.metadata import column_schema, table_metadata
from em_assets.resources import Workspace
from em_core.schema import REFERENCE
from em_core.storage.names import REFERENCE_TABLE


@dg.asset(
    group_name="reference",
    retry_policy=RETRY,
    kinds={"deltalake", "pandas"},
    owners=OWNERS,
    tags=BRONZE,
    metadata={"dagster/column_schema": column_schema(REFERENCE.columns), "dagster/table_name": REFERENCE_TABLE},
)
def reference_entities(workspace: Workspace) -> dg.MaterializeResult:
    """The master that records are matched to: one row for each entity, headers mapped, countries and keys checked."""
    from em_core.files import read_mapping
    from em_core.reference import load_reference

    with bad_input_fails():
        path = workspace.reference
        mapping = None if workspace.mapping is None else read_mapping(workspace.mapping)
        loaded = load_reference(workspace.tables, path, mapping)
    shown = ("entity_id", "name", "country", "city", "lei", "industry")
    return dg.MaterializeResult(
        metadata={
            **table_metadata(loaded.rows, REFERENCE_TABLE, shown),
            "file": dg.MetadataValue.path(str(path)),
            "came": loaded.came,
            "gone": loaded.gone,
            "table_version": loaded.version,
            "countries": int(loaded.rows["country"].nunique()),
        },
        data_version=dg.DataVersion(loaded.digest),
    )
