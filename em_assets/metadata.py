"""What the UI shows of a table: row count, column schema, a preview."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import dagster as dg
import pandas as pd

_CELL = 60


def column_schema(columns: Mapping[str, str]) -> dg.TableSchema:
    """Columns with their meaning. All of the contracts' columns are text unless their name says otherwise."""
    kinds = {
        "aliases": "list<string>",
        "confidence": "double",
        "margin": "double",
        "matched_at": "timestamp",
        "label": "int",
    }
    return dg.TableSchema(
        [dg.TableColumn(name, kinds.get(name, "string"), description=text) for name, text in columns.items()]
    )


def preview(frame: pd.DataFrame, columns: Sequence[str], rows: int = 8) -> dg.MarkdownMetadataValue:
    """The first rows as a Markdown table."""
    head = frame.reindex(columns=list(columns)).head(rows)
    cells = [[_cell(value) for value in row] for row in head.itertuples(index=False)]
    lines = ["| " + " | ".join(columns) + " |", "|" + "---|" * len(columns)]
    return dg.MetadataValue.md("\n".join(lines + ["| " + " | ".join(row) + " |" for row in cells]))


def _cell(value: Any) -> str:
    if value is None or value != value:
        return ""
    text = f"{value:.3f}" if isinstance(value, float) else str(value)
    text = text if len(text) <= _CELL else text[: _CELL - 1] + "…"
    return text.replace("|", "\\|").replace("\n", " ")


def table_metadata(
    frame: pd.DataFrame, table: str, shown: Sequence[str], columns: Mapping[str, str] | None = None
) -> dict[str, Any]:
    """Metadata of a written table. `columns`: column -> meaning, where the asset's definition does not state it."""
    out: dict[str, Any] = {
        "dagster/row_count": len(frame),
        "dagster/table_name": table,
        "preview": preview(frame, shown),
    }
    if columns is not None:
        out["dagster/column_schema"] = column_schema(columns)
    return out
