"""The feeds: one partition for each landed file."""

import dagster as dg

from em_assets.assets import BRONZE, OWNERS
from em_assets.failures import RETRY, bad_input_fails
from em_assets.metadata import column_schema, preview, table_of
from em_assets.partitions import source_files
from em_assets.resources import Workspace
from em_assets.verdicts import contract_fault, verdict
from em_core.quarantine import quarantine
from em_core.schema import SOURCE
from em_core.storage.names import SOURCE_TABLE

FILE_COLUMN = {"source_file": "landed file that the row came with: its partition"}
_LISTED = 50


@dg.asset(
    group_name="sources",
    partitions_def=source_files,
    backfill_policy=dg.BackfillPolicy.single_run(),
    retry_policy=RETRY,
    kinds={"deltalake", "pandas"},
    owners=OWNERS,
    tags=BRONZE,
    check_specs=[
        dg.AssetCheckSpec(
            "source_keeps_its_contract",
            asset="source_entities",
            blocking=True,
            description="Columns, types and unique, present keys of these feeds, as stored (pandera).",
        ),
        dg.AssetCheckSpec(
            "every_file_was_read",
            asset="source_entities",
            description="No file of this run had to be quarantined. Those that could be read go on.",
        ),
    ],
    metadata={
        "dagster/column_schema": column_schema({**SOURCE.columns, **FILE_COLUMN}),
        "dagster/table_name": SOURCE_TABLE,
    },
)
def source_entities(context: dg.AssetExecutionContext, workspace: Workspace) -> dg.MaterializeResult:
    """Records to match, as feeds delivered them. Rows without a name stay: they get a BAD_INPUT result.

    A file that cannot be read goes to the folder `quarantine`, the others go on; what it had delivered before stays.
    """
    from em_core.feeds import FILE, land_feeds
    from em_core.files import fingerprint_texts

    keys = list(context.partition_keys)
    with bad_input_fails():
        with workspace.drop.here(keys) as folder:
            landed = land_feeds(workspace.tables, folder, keys)
        places = quarantine(workspace.tables, workspace.drop, landed.broken, context.run.run_id)
        for name, reason in landed.broken.items():
            about = {"quarantined": reason, "place": places[name]}
            context.log_event(dg.AssetObservation(context.asset_key, partition=name, metadata=about))
            context.log.warning(f"{name} is quarantined: {reason}")
        if not landed.rows:
            first = next(iter(landed.broken.items()))
            raise dg.Failure(
                f"{first[1]} ({len(landed.broken)} file(s) quarantined, none could be read)",
                metadata={"quarantined": table_of(landed.broken, "file", "reason")},
                allow_retries=False,
            )
        stored = workspace.tables.read(SOURCE_TABLE, filter={FILE: list(landed.rows)}).drop(columns=FILE)
    fault = contract_fault(stored, SOURCE, SOURCE.key, SOURCE_TABLE)
    unread = f"quarantined: {', '.join(landed.broken)}" if landed.broken else None
    return dg.MaterializeResult(
        metadata={
            "dagster/row_count": sum(landed.rows.values()),
            "preview": preview(landed.preview, ("source_system", "source_id", "name", "country", "lei")),
            "files": len(landed.rows),
            "rows_by_file": table_of(dict(list(landed.rows.items())[:_LISTED]), "file", "rows"),
            "quarantined": table_of(landed.broken, "file", "reason") if landed.broken else "none",
            **{name: landed.counts[name] for name in ("inserted", "updated", "deleted")},
            "without_name": landed.without_name,
        },
        check_results=[
            verdict(fault, "source_keeps_its_contract", rows=len(stored)),
            verdict(unread, "every_file_was_read", files=len(landed.rows), quarantined=len(landed.broken)),
        ],
        data_version=dg.DataVersion(fingerprint_texts([f"{k}={v}" for k, v in sorted(landed.digests.items())])),
    )
