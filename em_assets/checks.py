"""Blocking asset checks: what must be true before a table flows on."""

import dagster as dg

from em_assets.assets.matching import RESULT_TABLE, match_results
from em_assets.assets.reference import REFERENCE_TABLE, reference_entities
from em_assets.assets.sources import SOURCE_TABLE, source_entities
from em_assets.assets.training import PAIR_TABLE, QUERY_TABLE, training_pairs
from em_assets.partitions import source_files
from em_assets.resources import Workspace


def _verdict(fault: str | None, **metadata: int) -> dg.AssetCheckResult:
    return dg.AssetCheckResult(passed=fault is None, description=fault or "as it should be", metadata=metadata)


def _contract_fault(frame: object, contract: object, required: tuple[str, ...], table: str) -> str | None:
    from em_core.errors import UserError
    from em_core.schema import check_contract

    try:
        check_contract(frame, contract, table, required)  # type: ignore[arg-type]
    except UserError as error:
        return str(error)
    return None


@dg.asset_check(asset=reference_entities, blocking=True)
def reference_keeps_its_contract(workspace: Workspace) -> dg.AssetCheckResult:
    """Columns, types and unique, present keys and names, as stored (pandera)."""
    from em_core.schema import REFERENCE

    frame = workspace.tables.read(REFERENCE_TABLE)
    return _verdict(_contract_fault(frame, REFERENCE, REFERENCE.required, REFERENCE_TABLE), rows=len(frame))


@dg.asset_check(asset=source_entities, blocking=True, partitions_def=source_files)
def source_keeps_its_contract(context: dg.AssetCheckExecutionContext, workspace: Workspace) -> dg.AssetCheckResult:
    """Columns, types and unique, present keys of this feed, as stored (pandera)."""
    from em_core.schema import SOURCE

    frame = workspace.tables.read(SOURCE_TABLE, filter={"source_file": context.partition_key}).drop(columns="source_file")
    return _verdict(_contract_fault(frame, SOURCE, SOURCE.key, SOURCE_TABLE), rows=len(frame))


@dg.asset_check(asset=training_pairs, blocking=True)
def no_entity_in_two_splits(workspace: Workspace) -> dg.AssetCheckResult:
    """No entity is both trained on and judged by: neither in Ditto's pairs nor between Ditto, scorer and thresholds."""
    import pandas as pd

    from em_core.errors import UserError
    from em_core.pairs.splits import check_disjoint

    queries, pairs = workspace.tables.read(QUERY_TABLE), workspace.tables.read(PAIR_TABLE)
    sides = [pairs[[side, "split"]].rename(columns={side: "entity"}) for side in ("left_key", "right_key")]
    targets = queries.assign(entity=queries["entity_id"].fillna(queries["hidden_id"]))
    fault = None
    try:
        check_disjoint(pd.concat(sides), "entity", "split")
        check_disjoint(targets, "entity", "split")
    except UserError as error:
        fault = str(error)
    return _verdict(fault, pairs=len(pairs), records=len(queries))


@dg.asset_check(asset=match_results, blocking=True, partitions_def=source_files)
def every_record_has_one_result(context: dg.AssetCheckExecutionContext, workspace: Workspace) -> dg.AssetCheckResult:
    """One result row for every source row of this feed, no more and no fewer."""
    from em_core.schema import SOURCE

    keys = list(SOURCE.key)
    here = {"source_file": context.partition_key}
    source = workspace.tables.read(SOURCE_TABLE, columns=keys, filter=here)
    results = workspace.tables.read(RESULT_TABLE, columns=keys, filter=here)
    joined = source.merge(results, on=keys, how="outer", indicator=True)
    lost, strange = int((joined["_merge"] == "left_only").sum()), int((joined["_merge"] == "right_only").sum())
    repeated = int(results.duplicated().sum())
    fault = f"{lost} records without a result, {strange} results without a record, {repeated} repeated"
    return _verdict(fault if lost or strange or repeated else None, records=len(source), results=len(results))
