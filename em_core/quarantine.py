"""Files that could not be read: out of the drop folder, with the reason beside them and in a table."""

from __future__ import annotations

from datetime import UTC, datetime

import pandas as pd

from em_core.drop import DropFolder
from em_core.storage import TableStore
from em_core.storage.names import QUARANTINE_TABLE


def quarantine(store: TableStore, drop: DropFolder, broken: dict[str, str], run_id: str) -> dict[str, str]:
    """Move broken files (name -> reason) out of the way; where each one is now, or that it was not there.

    The table `bronze.quarantined_files` keeps one row for each file and run. A file of the same name that lands later is a new one.
    """
    if not broken:
        return {}
    places = {name: drop.take_away(name, reason) for name, reason in broken.items()}
    rows = pd.DataFrame(
        {
            "source_file": list(broken),
            "run_id": run_id,
            "reason": list(broken.values()),
            "place": [places[name] for name in broken],
            "quarantined_at": pd.Timestamp(datetime.now(UTC)),
        }
    )
    store.upsert(QUARANTINE_TABLE, rows, key=["source_file", "run_id"])
    return places
