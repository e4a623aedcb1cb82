"""Files that could not be read: out of the drop folder, with the reason beside them and in a table."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pandas as pd

from em_core.storage import TableStore
from em_core.storage.names import QUARANTINE_TABLE

FOLDER = "quarantine"
_REASON = ".reason.txt"


def quarantine(store: TableStore, landing: Path, broken: dict[str, str], run_id: str) -> dict[str, str]:
    """Move broken files (name -> reason) to `landing/quarantine`; where each one is now, or that it was not there.

    The table `bronze.quarantined_files` keeps one row for each file and run. A file of the same name that lands later is a new one.
    """
    if not broken:
        return {}
    folder = landing / FOLDER
    folder.mkdir(parents=True, exist_ok=True)
    places = {}
    for name, reason in broken.items():
        path = landing / name
        places[name] = "the file is not there"
        if path.exists():
            path.replace(folder / name)
            (folder / f"{name}{_REASON}").write_text(f"{reason}\n", encoding="utf-8")
            places[name] = str(folder / name)
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
