"""Blocking asset checks of whole tables: what must be true before a table flows on.

Partitioned assets check their own partition as they write it (`check_specs` in `assets/`).
"""

import time

import dagster as dg

from em_assets.assets.reference import reference_entities
from em_assets.assets.training import training_pairs
from em_assets.resources import Gates, Workspace
from em_assets.verdicts import contract_fault, verdict
from em_core.storage.names import PAIR_TABLE, QUERY_TABLE, REFERENCE_TABLE


@dg.asset_check(asset=reference_entities, blocking=True)
def reference_keeps_its_contract(workspace: Workspace) -> dg.AssetCheckResult:
    """Columns, types and unique, present keys and names, as stored (pandera)."""
    from em_core.schema import REFERENCE

    frame = workspace.tables.read(REFERENCE_TABLE)
    return verdict(contract_fault(frame, REFERENCE, REFERENCE.required, REFERENCE_TABLE), rows=len(frame))


@dg.asset_check(asset=reference_entities)
def reference_is_fresh(workspace: Workspace, gates: Gates) -> dg.AssetCheckResult:
    """The master's file is not older than it may be: firms are founded and renamed every day."""
    days = (time.time() - workspace.reference.stat().st_mtime) / 86_400
    fault = f"the master's file is {days:.0f} days old; {gates.reference_days:g} are allowed"
    return dg.AssetCheckResult(
        passed=days <= gates.reference_days,
        severity=dg.AssetCheckSeverity.WARN,
        description=fault if days > gates.reference_days else f"{days:.1f} days old",
        metadata={"days": round(days, 2), "allowed": gates.reference_days},
    )


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
    return verdict(fault, pairs=len(pairs), records=len(queries))
