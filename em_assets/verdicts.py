"""How a check says what it found."""

import dagster as dg
import pandas as pd

from em_core.errors import UserError
from em_core.schema import Contract, check_contract


def verdict(fault: str | None, name: str | None = None, **metadata: int) -> dg.AssetCheckResult:
    """Passed without a fault; the fault is the description of a failed check."""
    return dg.AssetCheckResult(
        passed=fault is None, check_name=name, description=fault or "as it should be", metadata=metadata
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
