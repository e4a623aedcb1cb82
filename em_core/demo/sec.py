"""SEC registrants as an unlabelled feed, out of the Parquet file of the package edgartools."""

from __future__ import annotations

import pandas as pd

from em_core.demo.packaged import packaged_files
from em_core.errors import UserError

_COLUMNS = ("cik", "ticker", "exchange", "name")


def read_registrants() -> pd.DataFrame:
    """One row for each ticker: `record_id` (CIK-ticker, unique), `cik`, `ticker`, `exchange`, `name`; text or None.

    Raises `UserError` if the package is not installed.
    """
    path = packaged_files("edgar", "edgartools", "reference/data/company_tickers.parquet")[0]
    frame = pd.read_parquet(path)
    missing = [column for column in _COLUMNS if column not in frame.columns]
    if missing:
        raise UserError(f"the installed edgartools has no column {missing[0]!r} in {path.name}: install version 5.62.1")
    frame = frame[list(_COLUMNS)].astype(object)
    frame = frame.where(frame.notna(), None)
    frame.insert(0, "record_id", frame["cik"].astype(str) + "-" + frame["ticker"].astype(str))
    return frame.drop_duplicates("record_id").sort_values("record_id", ignore_index=True)


def load_sec() -> pd.DataFrame:
    """The registrants in columns of the source contract: `source_system`, `source_id`, `name`, `ticker`, `exchange`."""
    frame = read_registrants().rename(columns={"record_id": "source_id"}).drop(columns="cik")
    frame.insert(0, "source_system", "sec")
    return frame[["source_system", "source_id", "name", "ticker", "exchange"]]
