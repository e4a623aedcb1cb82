"""What `em explain` and `em review` show in a terminal."""

from __future__ import annotations

from collections.abc import Mapping

import pandas as pd
import typer
from rich.console import Console, Group, RenderableType
from rich.markup import escape
from rich.table import Table

from em_core.decision.explanation import Candidate, Change, Explanation

_STRONGEST, _CHANGES, _QUESTIONS = 8, 5, 10


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"


def _listed(values: Mapping[str, str]) -> str:
    return escape(", ".join(f"{word} ({value})" for word, value in values.items())) or "-"


def _candidates(explanation: Explanation) -> Table:
    table = Table(title="Candidates", title_justify="left", caption_justify="left")
    table.add_column("candidate", overflow="fold", min_width=26)
    for column in ("prob.", "alone", "Ditto"):
        table.add_column(column, justify="right", no_wrap=True)
    for column in ("names", "agrees", "differs"):
        table.add_column(column, overflow="fold")
    for one in explanation.candidates:
        numbers = (_number(p) for p in (one.probability, one.pair_probability, one.ditto_probability))
        table.add_row(
            f"{escape(one.name)}\n[dim]{escape(one.entity_id)}[/dim]",
            *numbers, one.relation, _listed(one.agrees), _listed(one.differs),
        )  # fmt: skip
    return table


def _absent(one: Candidate) -> str:
    """What was not compared though one side has it."""
    known = {word: why for word, why in one.not_compared.items() if " and " not in why}
    rest = len(one.not_compared) - len(known)
    return f"Not compared: {_listed(known)}; {rest} more that both lack."


def _parts(one: Candidate) -> Table:
    table = Table(title=f"What moved '{escape(one.name)}', in log odds", title_justify="left")
    for column in ("feature", "record", "reference", "log odds"):
        table.add_column(column, overflow="fold", justify="right" if column == "log odds" else "left")
    for part in one.parts[:_STRONGEST]:
        table.add_row(escape(part.words), escape(part.record), escape(part.reference), f"{part.log_odds:+.2f}")
    rest = one.parts[_STRONGEST:]
    if rest:
        table.add_row(f"{len(rest)} more", "", "", f"{sum(part.log_odds for part in rest):+.2f}")
    return table


def _families(one: Candidate) -> Table:
    table = Table(title="The same by family", title_justify="left")
    table.add_column("family")
    table.add_column("log odds", justify="right")
    table.add_row("before anything is compared", f"{one.base or 0.0:+.2f}")
    for family, moved in one.families.items():
        if moved:
            table.add_row(family, f"{moved:+.2f}")
    if one.calibration is not None and abs(one.calibration) >= 0.005:
        table.add_row("calibration", f"{one.calibration:+.2f}")
    total = (one.base or 0.0) + sum(one.families.values()) + (one.calibration or 0.0)
    table.add_section()
    table.add_row(f"probability {_number(one.probability)}", f"{total:+.2f}")
    return table


def _outcome(change: Change) -> str:
    sure = "" if change.confidence is None else f" ({change.confidence:.3f})"
    entity = "" if change.name is None else f": '{change.name}'"
    return escape(f"{change.decision} by {change.method}{sure}{entity}")


def _changes(explanation: Explanation) -> RenderableType:
    if not explanation.changes:
        return "What would change it: there is nothing to try."
    matter = [change for change in explanation.changes if change.matters]
    said = "What would change it, each tried by matching the changed record"
    if not matter:
        said = (
            f"None of {len(explanation.changes)} changes tried leads to another decision; the best for the suggestion"
        )
    table = Table()
    table.add_column("the record", overflow="fold")
    table.add_column("would be", overflow="fold")
    for change in (matter or explanation.changes)[:_CHANGES]:
        table.add_row(escape(change.words), _outcome(change))
    return Group(said, table)


def explanation_view(explanation: Explanation) -> RenderableType:
    """One explanation as tables."""
    key = f"{explanation.source_system} / {explanation.source_id}"
    given = "; ".join(f"{column} {value}" for column, value in explanation.record.items())
    sure = "" if explanation.confidence is None else f", confidence {explanation.confidence:.3f}"
    parts: list[RenderableType] = [
        f"[bold]{escape(key)}[/bold]: {escape(given) or 'nothing'}",
        f"[bold]{explanation.decision}[/bold] by {explanation.method}{sure}",
        escape(explanation.reason),
        escape(explanation.threshold.sentence),
        f"Review from a confidence of {explanation.threshold.review:.3f}.",
    ]
    if explanation.candidates:
        first = explanation.candidates[0]
        parts += [_candidates(explanation), _absent(first)]
        if first.parts:
            parts += [_parts(first), _families(first)]
    return Group(*parts, _changes(explanation))


def show_explanations(explanations: list[Explanation]) -> None:
    """Print explanations."""
    for explanation in explanations:
        Console().print(explanation_view(explanation), highlight=False)


def show_queue(queue: pd.DataFrame, where: str) -> None:
    """Print the head of a review queue."""
    decide = queue["task"] == "decide"
    said = f"{len(queue):,} questions about {int(queue['records'].sum()):,} records in {where}"
    table = Table()
    for column in ("place", "value", "name", "suggestion", "method", "why"):
        table.add_column(column, overflow="fold", justify="right" if column in ("place", "value") else "left")
    for row in queue.head(_QUESTIONS).to_dict("records"):
        value = "-" if pd.isna(row["value"]) else f"{row['value']:.2f}"
        texts = (escape(str(row[column] or "")) for column in ("name", "matched_name", "method", "why"))
        table.add_row(str(row["place"]), value, *texts)
    typer.echo(f"{said}: {int(decide.sum()):,} to decide, {int((~decide).sum()):,} to mend")
    Console().print(table)
