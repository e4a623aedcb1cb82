"""The feeds: one partition for each landed file."""

import dagster as dg

from em_assets.assets import OWNERS
from em_assets.metadata import column_schema, table_metadata
from em_assets.partitions import source_files
from em_assets.resources import Workspace
from em_assets.verdicts import contract_fault, verdict
from em_core.schema import SOURCE

SOURCE_TABLE = "bronze.source_entities"
FILE_COLUMN = {"source_file": "landed file that the row came with: its partition"}


@dg.asset(
    group_name="sources",
    partitions_def=source_files,
    kinds={"deltalake", "pandas"},
    owners=OWNERS,
    check_specs=[
        dg.AssetCheckSpec(
            "source_keeps_its_contract",
            asset="source_entities",
            blocking=True,
            description="Columns, types and unique, present keys of this feed, as stored (pandera).",
        )
    ],
    metadata={
        "dagster/column_schema": column_schema({**SOURCE.columns, **FILE_COLUMN}),
        "dagster/table_name": SOURCE_TABLE,
    },
)
def source_entities(context: dg.AssetExecutionContext, workspace: Workspace) -> dg.MaterializeResult:
    """Records to match, as one feed delivered them. Rows without a name stay: they get a BAD_INPUT result."""
    from em_core.files import fingerprint, read_mapping, read_table
    from em_core.schema import prepare_source

    key = context.partition_key
    system = key.split(".")[0]
    mapping_file = workspace.landing / f"{system}.mapping.yaml"
    mapping = read_mapping(mapping_file) if mapping_file.is_file() else None
    source = prepare_source(read_table(workspace.landing / key), mapping, key, system)
    counts = workspace.tables.upsert(
        SOURCE_TABLE, source.assign(source_file=key), key=SOURCE.key, scope={"source_file": key}
    )
    stored = workspace.tables.read(SOURCE_TABLE, filter={"source_file": key}).drop(columns="source_file")
    fault = contract_fault(stored, SOURCE, SOURCE.key, SOURCE_TABLE)
    shown = ("source_system", "source_id", "name", "country", "lei")
    return dg.MaterializeResult(
        metadata={
            **table_metadata(source, SOURCE_TABLE, shown),
            "inserted": counts.inserted,
            "updated": counts.updated,
            "deleted": counts.deleted,
            "without_name": int(source["name"].isna().sum()),
        },
        check_results=[verdict(fault, "source_keeps_its_contract", rows=len(stored))],
        data_version=dg.DataVersion(fingerprint(source)),
    )
