"""The master's file into its table."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from em_core.files import fingerprint, read_table
from em_core.schema import REFERENCE, prepare_reference
from em_core.storage import TableStore
from em_core.storage.names import REFERENCE_TABLE


@dataclass(frozen=True)
class LoadedReference:
    """The rows that the table now holds, and how many entities it had not or no longer has."""

    rows: pd.DataFrame
    came: int
    gone: int
    version: int
    digest: str


def load_reference(store: TableStore, path: Path, mapping: Mapping[str, str] | None = None) -> LoadedReference:
    """Make the file the whole of `bronze.reference_entities`: what it no longer holds goes. Raises `UserError`."""
    rows = prepare_reference(read_table(path), mapping, path.name)
    before = pd.Series(dtype=object)
    if store.exists(REFERENCE_TABLE):
        before = store.read(REFERENCE_TABLE, columns=REFERENCE.key)["entity_id"]
    version = store.replace(REFERENCE_TABLE, rows, key=REFERENCE.key)
    came, gone = (~rows["entity_id"].isin(before)).sum(), (~before.isin(rows["entity_id"])).sum()
    return LoadedReference(rows, int(came), int(gone), version, fingerprint(rows))
