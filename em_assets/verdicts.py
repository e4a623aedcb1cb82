"""How a check says what it found."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import dagster as dg
import pandas as pd

from em_core.errors import UserError
from em_core.schema import Contract, check_contract

if TYPE_CHECKING:
    from em_core.evaluation.drift import Drift


def verdict(fault: str | None, name: str | None = None, **metadata: float) -> dg.AssetCheckResult:
    """Passed without a fault; the fault is the description of a failed check."""
    return dg.AssetCheckResult(
        passed=fault is None, check_name=name, description=fault or "as it should be", metadata=metadata
    )


def drift_verdict(drifts: Sequence[Drift], name: str) -> dg.AssetCheckResult:
    """Failed if a source system has shifted since its last accepted run, a warning if one is on its way there."""
    shifted, unsettled = [d for d in drifts if d.shifted], [d for d in drifts if d.unsettled]
    words = [drift.in_words() for drift in shifted or unsettled]
    fault = "; ".join(words)
    if shifted:
        fault = f"held back, {fault}. If this is right, run the job accept_run and publish"
    return dg.AssetCheckResult(
        passed=not fault,
        check_name=name,
        severity=dg.AssetCheckSeverity.ERROR if shifted else dg.AssetCheckSeverity.WARN,
        description=fault or "as in the last accepted run"
        if any(d.baseline for d in drifts)
        else "the first run: nothing to compare",
        metadata={
            "by_source_system": dg.MetadataValue.json(
                {
                    d.system: {
                        "records": d.records,
                        "psi_decisions": round(d.psi_decisions, 4),
                        "psi_confidence": round(d.psi_confidence, 4),
                        "chance": round(d.chance, 4),
                        "baseline": d.baseline,
                        "same_model": d.same_model,
                    }
                    for d in drifts
                }
            )
        },
    )


def contract_fault(frame: pd.DataFrame, contract: Contract, required: tuple[str, ...], table: str) -> str | None:
    """What breaks the contract, in one sentence; None if nothing does."""
    try:
        check_contract(frame, contract, table, required)
    except UserError as error:
        return str(error)
    return None


def one_result_fault(source: pd.DataFrame, results: pd.DataFrame, keys: list[str]) -> str | None:
    """Records without exactly one result, counted; None if there are none."""
    joined = source[keys].merge(results[keys], on=keys, how="outer", indicator=True)
    lost, strange = int((joined["_merge"] == "left_only").sum()), int((joined["_merge"] == "right_only").sum())
    repeated = int(results.duplicated(keys).sum())
    if not (lost or strange or repeated):
        return None
    return f"{lost} records without a result, {strange} results without a record, {repeated} repeated"
