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
    from em_core.files import fingerprint, read_mapping, read_table
    from em_core.schema import prepare_reference

    with bad_input_fails():
        path = workspace.reference
        mapping = None if workspace.mapping is None else read_mapping(workspace.mapping)
        reference = prepare_reference(read_table(path), mapping, path.name)
        # The master is the whole truth: what it no longer holds goes.
        before = workspace.tables.read(REFERENCE_TABLE, columns=REFERENCE.key) if _stored(workspace) else None
        workspace.tables.replace(REFERENCE_TABLE, reference, key=REFERENCE.key)
    gone = 0 if before is None else int((~before["entity_id"].isin(reference["entity_id"])).sum())
    came = len(reference) if before is None else int((~reference["entity_id"].isin(before["entity_id"])).sum())
    shown = ("entity_id", "name", "country", "city", "lei", "industry")
    return dg.MaterializeResult(
        metadata={
            **table_metadata(reference, REFERENCE_TABLE, shown),
            "file": dg.MetadataValue.path(str(path)),
            "came": came,
            "gone": gone,
            "table_version": workspace.tables.version(REFERENCE_TABLE),
            "countries": int(reference["country"].nunique()),
        },
        data_version=dg.DataVersion(fingerprint(reference)),
    )


def _stored(workspace: Workspace) -> bool:
    return workspace.tables.exists(REFERENCE_TABLE)
