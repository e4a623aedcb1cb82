"""What a served matcher takes and gives."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from em_core.errors import UserError
from em_core.schema import RESULT, SOURCE, prepare_source

if TYPE_CHECKING:
    from mlflow.models import ModelSignature

    from em_core.matcher import Matcher

#: Feed of a request that names none.
SYSTEM = "online"
#: More belongs into a batch: a request has to end within the server's time limit.
MOST_RECORDS = 5_000
_NUMBERS = ("confidence", "margin")


def example() -> pd.DataFrame:
    """Two records as a request holds them."""
    return pd.DataFrame(
        {
            "source_id": ["1", "2"],
            "name": ["Example Holding Ltd", "PETROCHINA YC1 ADR/100"],
            "country": ["GB", None],
            "lei": [None, None],
        }
    )


def signature() -> ModelSignature:
    """Source contract in, of which `name` alone must be there, `aliases` as one text with `|` between them; result contract out.

    No column is a list: MLflow would then take a payload of columns (`inputs`) for one record.
    """
    from mlflow.models import ModelSignature
    from mlflow.types import ColSpec, DataType, Schema

    def result(name: str) -> ColSpec:
        kind = DataType.double if name in _NUMBERS else DataType.datetime if name == "matched_at" else DataType.string
        return ColSpec(kind, name, required=False)

    return ModelSignature(
        Schema([ColSpec(DataType.string, c, required=c == "name") for c in SOURCE.columns]),
        Schema([result(c) for c in RESULT.columns]),
    )


def answer(matcher: Matcher, given: pd.DataFrame) -> pd.DataFrame:
    """Results of a request. Raises `MlflowException` (HTTP 400) with one sentence for a payload that cannot be matched."""
    from mlflow.exceptions import MlflowException
    from mlflow.protos.databricks_pb2 import INVALID_PARAMETER_VALUE

    try:
        return matcher.match(records(given))
    except UserError as error:
        raise MlflowException(str(error), error_code=INVALID_PARAMETER_VALUE) from None


def records(given: pd.DataFrame) -> pd.DataFrame:
    """A request as the source contract. `source_id` is the row's number and `source_system` is `online` where they are missing."""
    if "name" not in given.columns:
        raise UserError("request: there is no column 'name'")
    if not 0 < len(given) <= MOST_RECORDS:
        raise UserError(f"request: {len(given):,} records; between 1 and {MOST_RECORDS:,} are answered at once")
    known = given[[c for c in given.columns if c in SOURCE.columns]].reset_index(drop=True)
    for column in known.columns.drop("aliases", errors="ignore"):
        nested = known[column].map(lambda value: isinstance(value, list | tuple | dict | np.ndarray)).to_numpy()
        if nested.any():
            raise UserError(f"request, record {int(nested.argmax()) + 1}, column {column!r}: one text is needed")
    numbers = pd.Series(range(1, len(known) + 1), dtype=str)
    ids = (
        known["source_id"].astype(object) if "source_id" in known else pd.Series(None, index=known.index, dtype=object)
    )
    return prepare_source(known.assign(source_id=ids.where(ids.notna(), numbers)), origin="request", system=SYSTEM)
