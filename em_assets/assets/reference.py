"""The master: landed file -> checked table."""

import dagster as dg

from em_assets.assets import OWNERS
from em_assets.metadata import column_schema, table_metadata
from em_assets.resources import Workspace
from em_core.schema import REFERENCE

REFERENCE_TABLE = "bronze.reference_entities"


@dg.asset(
    group_name="reference",
    kinds={"deltalake", "pandas"},
    owners=OWNERS,
    metadata={"dagster/column_schema": column_schema(REFERENCE.columns), "dagster/table_name": REFERENCE_TABLE},
)
def reference_entities(workspace: Workspace) -> dg.MaterializeResult:
    """The master that records are matched to: one row for each entity, headers mapped, countries and keys checked."""
    from em_core.files import fingerprint, read_mapping, read_table
    from em_core.schema import prepare_reference

    path = workspace.reference
    mapping = None if workspace.mapping is None else read_mapping(workspace.mapping)
    reference = prepare_reference(read_table(path), mapping, path.name)
    counts = workspace.tables.upsert(REFERENCE_TABLE, reference, key=REFERENCE.key)
    shown = ("entity_id", "name", "country", "city", "lei", "industry")
    return dg.MaterializeResult(
        metadata={
            **table_metadata(reference, REFERENCE_TABLE, shown),
            "file": dg.MetadataValue.path(str(path)),
            "inserted": counts.inserted,
            "updated": counts.updated,
            "unchanged": counts.unchanged,
            "countries": int(reference["country"].nunique()),
        },
        data_version=dg.DataVersion(fingerprint(reference)),
    )
