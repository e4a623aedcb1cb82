"""What runs cost: measured seconds, and money where a price is configured. Nothing is assumed: without a price there is no amount."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

import pandas as pd
import pyarrow as pa
import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from em_core.errors import UserError
from em_core.storage import TableStore
from em_core.storage.names import COST_TABLE

KEY = ("run_id", "step")
_COLUMNS = {
    "run_id": (pa.string(), "run that the step belongs to"),
    "step": (pa.string(), "entry point"),
    "started_at": (pa.timestamp("us", tz="UTC"), "when its work began"),
    "seconds": (
        pa.float64(),
        "measured, from the first line of its work to the last; the machine's start is not in it",
    ),
    "records": (pa.int64(), "records or rows that it worked on; null where that says nothing"),
    "ditto_pairs": (pa.int64(), "pairs that the transformer read"),
    "tokens": (pa.int64(), "tokens that a hosted model was sent and gave; null: none was asked"),
    "compute": (pa.string(), "what the price is of, as configured"),
    "price_per_hour": (pa.float64(), "configured price of an hour; null: none is"),
    "currency": (pa.string(), "of the price"),
    "amount": (pa.float64(), "seconds times price; null without one"),
}
COST_SCHEMA = pa.schema([pa.field(name, kind, metadata={"comment": said}) for name, (kind, said) in _COLUMNS.items()])


class Price(BaseModel):
    """What an hour of a step's compute costs."""

    model_config = ConfigDict(extra="forbid")

    compute: str
    per_hour: float = Field(ge=0)
    currency: str = "USD"


@dataclass(frozen=True)
class RunCost:
    """One measured step."""

    run_id: str
    step: str
    started_at: datetime
    seconds: float
    records: int | None = None
    ditto_pairs: int | None = None
    tokens: int | None = None


def read_prices(path: Path | None) -> dict[str, Price]:
    """Prices by step out of a YAML file (`em_match_feeds: {compute: ..., per_hour: ...}`); the key `default` is for all others.

    Raises `UserError` with file and key.
    """
    if path is None:
        return {}
    try:
        found = yaml.safe_load(path.read_text(encoding="utf-8")) or {}
        return {str(step): Price.model_validate(price) for step, price in dict(found).items()}
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror})") from None
    except (yaml.YAMLError, TypeError, ValueError) as error:
        first = error.errors(include_url=False, include_input=False)[0] if isinstance(error, ValidationError) else None
        what = (
            f"{'.'.join(map(str, first['loc'])) or 'a price'}: {first['msg']}"
            if first
            else "not `step: {compute, per_hour}` lines"
        )
        raise UserError(f"{path}: {what}") from None


def record_cost(store: TableStore, cost: RunCost, prices: Mapping[str, Price]) -> None:
    """Write one step's row of `gold.run_costs`; the same step of the same run again replaces it."""
    price = prices.get(cost.step) or prices.get("default")
    row = asdict(cost) | {
        "compute": price and price.compute,
        "price_per_hour": price and price.per_hour,
        "currency": price and price.currency,
        "amount": price and round(cost.seconds * price.per_hour / 3600, 6),
    }
    frame = pd.DataFrame([row], columns=list(_COLUMNS))
    whole = frame.astype(dict.fromkeys(("records", "ditto_pairs", "tokens"), "Int64"))
    store.upsert(COST_TABLE, whole, key=KEY, schema=COST_SCHEMA)


def now() -> datetime:
    """The time, in UTC."""
    return datetime.now(UTC)
