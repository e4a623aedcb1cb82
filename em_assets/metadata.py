"""What the UI shows: row count, column schema and preview of a table; figures, tables and charts of a report."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import dagster as dg
import pandas as pd

if TYPE_CHECKING:
    from em_core.evaluation import CandidateRecall, Evaluation
    from em_core.evaluation.charts import Drawing
    from em_core.evaluation.tables import Table

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


def table_of(values: Mapping[str, object], name: str, value: str) -> dg.MarkdownMetadataValue:
    """A mapping as a Markdown table of two columns."""
    return preview(pd.DataFrame({name: list(values), value: list(values.values())}), (name, value), rows=len(values))


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


def picture(drawing: Drawing) -> dg.MarkdownMetadataValue:
    """A chart as a Markdown image that holds its own data."""
    data = base64.b64encode(drawing.png()).decode("ascii")
    return dg.MetadataValue.md(
        f"**{drawing.title}**: {drawing.words}\n\n![{drawing.title}](data:image/png;base64,{data})"
    )


def words(table: Table, rows: int = 40) -> dg.MarkdownMetadataValue:
    """A table of the report as Markdown."""
    return dg.MetadataValue.md(table.markdown(rows))


def recall_metadata(recall: CandidateRecall) -> dict[str, Any]:
    """What retrieval found and lost: tables by channel, source system, country and name length, and the lost records."""
    from em_core.evaluation import tables

    shown = {"candidate_recall": tables.recall_by_channel(recall)}
    shown |= {f"candidate_recall_by_{name}": tables.recall_by(recall, name) for name in recall.groups}
    if recall.lost_records:
        shown["lost_by_retrieval"] = tables.lost_records(recall)
    return {"candidates_lost": recall.lost, **{name: words(table) for name, table in shown.items()}}


def report_metadata(evaluation: Evaluation, recall: CandidateRecall | None) -> dict[str, Any]:
    """The report's figures, tables and charts."""
    from em_core.evaluation import charts, tables

    out: dict[str, Any] = {name: round(value, 4) for name, value in evaluation.headline().items()}
    if evaluation.counts.labelled:
        out |= {f"table: {table.title}": words(table) for table in tables.for_evaluation(evaluation)}
        out["table: Errors"] = words(tables.errors(evaluation))
    if recall is not None:
        out |= recall_metadata(recall)
    return out | {f"chart: {d.title}": picture(d) for d in charts.all_charts(evaluation, recall).values()}
