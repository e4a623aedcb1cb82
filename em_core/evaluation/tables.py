"""The tables of an evaluation, once: the HTML report, Markdown and the terminal print the same rows."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from em_core.evaluation.figures import ErrorKind, Evaluation, Group, Share
from em_core.evaluation.retrieval import FUSED, CandidateRecall, RecallGroup

UNKNOWN = "–"
WORST_SHOWN = 15
DIMENSIONS = {
    "source_system": "source system",
    "stage": "stage",
    "method": "method",
    "country": "country",
    "name_length": "length of the name",
}
ERROR_WORDS: dict[ErrorKind, str] = {
    "wrong_match": "wrong entity",
    "match_of_unseen": "not in the reference",
    "missed": "missed",
    "wrong_suggestion": "wrong suggestion",
}
STAGE_WORDS = {
    "exact": "exact rules",
    "scorer": "scorer",
    "ditto": "Ditto",
    "adjudicator": "adjudicator",
    "none": "none (no usable name, no candidate)",
}

Cell = str | Share | None


@dataclass(frozen=True)
class Table:
    """A table in words: `note` says how to read it. Columns after the first `text_columns` hold numbers."""

    title: str
    note: str
    headers: tuple[str, ...]
    rows: list[tuple[Cell, ...]]
    text_columns: int = 1

    def markdown(self, rows: int | None = None) -> str:
        """The table as Markdown, cut after `rows`; its note stands above it."""
        lines = ["| " + " | ".join(self.headers) + " |"]
        lines.append("|" + "".join("---|" if i < self.text_columns else "---:|" for i in range(len(self.headers))))
        lines += ["| " + " | ".join(_escaped(text(cell)) for cell in row) + " |" for row in self.rows[:rows]]
        return f"{self.note}\n\n" + "\n".join(lines) if self.note else "\n".join(lines)


def text(cell: Cell) -> str:
    """A cell as plain text: a share with its interval, a dash for what is not known."""
    if isinstance(cell, Share):
        return UNKNOWN if cell.value is None else f"{percent(cell.value)} ({interval(cell.low, cell.high)})"
    return UNKNOWN if cell is None else cell


def _escaped(words: str) -> str:
    safe = words.replace("\\", "\\\\").replace("|", "\\|").replace("<", "&lt;")
    return " ".join(safe.split())


def percent(value: float | None, digits: int = 1) -> str:
    """A share in percent. Never rounds up to 100 or down to 0: `99.96 %` is not `100.0 %`."""
    if value is None:
        return UNKNOWN
    shown = f"{value * 100:.{digits}f}"
    while digits < 6 and 0 < value < 1 and float(shown) in (0.0, 100.0):
        digits += 1
        shown = f"{value * 100:.{digits}f}"
    return f"{shown} %"


def interval(low: float | None, high: float | None) -> str:
    """`98.0 to 99.0 %`, or a dash."""
    if low is None or high is None:
        return UNKNOWN
    return f"{percent(low).removesuffix(' %')} to {percent(high)}"


def _count(number: int) -> str:
    return f"{number:,}"


def _price(value: float | None) -> str:
    return UNKNOWN if value is None else f"{value:,.0f}"


def stages(evaluation: Evaluation) -> Table:
    """What each stage adds to those before it."""
    names: list[str] = []
    rows: list[tuple[Cell, ...]] = []
    for stage in evaluation.stages:
        if stage.stage == "none":
            continue
        names.append(STAGE_WORDS.get(stage.stage, stage.stage))
        label = f"{names[0]} alone" if len(names) == 1 else f"+ {names[-1]}"
        rows.append((label, percent(stage.coverage), stage.total_precision, stage.total_recall,
                     f"+{stage.auto_match:,}", stage.precision, _count(stage.review), _count(stage.no_match),
                     stage.none_precision))  # fmt: skip
    return Table(
        "What each stage adds",
        "Automatic matches of the stages so far, then what the stage itself decided. Counted from the decisions as they were taken: "
        "with a stage left out, the one before it would have decided its records too.",
        ("stages", "matched so far", "precision so far", "recall so far", "matches added", "their precision", "reviews", "no match",
         "truly none of these"),
        rows,
    )  # fmt: skip


def stage_methods(evaluation: Evaluation) -> Table:
    """Every method below its stage."""
    rows: list[tuple[Cell, ...]] = [
        (STAGE_WORDS.get(stage.stage, stage.stage), group.value or "(missing)", _count(group.records),
         _count(group.auto_match), _count(group.review), _count(group.no_match), group.precision)
        for stage in evaluation.stages for group in stage.methods
    ]  # fmt: skip
    headers = ("stage", "method", "records", "automatic", "review", "no match", "precision")
    return Table("Methods by stage", "", headers, rows, 2)


def thresholds(evaluation: Evaluation) -> Table:
    """What would be accepted at each threshold, how right it would be and what it would cost."""
    costs = evaluation.costs
    rows: list[tuple[Cell, ...]] = [
        (f"{row.threshold:.4f}".rstrip("0").rstrip("."), _count(row.accepted), _count(row.wrong), row.precision, row.recall,
         _count(row.review), _price(row.cost))
        for row in evaluation.thresholds
    ]  # fmt: skip
    note = (
        "What would be accepted if every labelled identifier at or above the threshold were, and every other reviewed. Cost of 1,000 "
        f"records at {costs.wrong_match:g} for a wrong match, {costs.review:g} for a review, {costs.miss:g} for a miss: "
        f"as decided {_price(evaluation.cost_as_decided)}, everything reviewed {_price(evaluation.cost_all_review)}."
    )
    if rows:
        least = min(evaluation.thresholds, key=lambda row: row.cost)
        note += f" Least here: {_price(least.cost)}, at {least.threshold:.4g}; chosen on these very records."
    headers = ("confidence at least", "accepted", "of these wrong", "precision", "recall", "to review", "cost of 1,000")
    return Table("Thresholds", note, headers, rows)


def reliability(evaluation: Evaluation) -> Table:
    """Stated confidence and what was found, by decile."""
    bins = [] if evaluation.calibration is None else evaluation.calibration.bins
    rows: list[tuple[Cell, ...]] = [
        (f"{b.low:.4f} to {b.high:.4f}", _count(b.found.total), f"{b.stated:.4f}",
         UNKNOWN if b.found.value is None else f"{b.found.value:.4f}", interval(b.found.low, b.found.high),
         "yes" if (b.found.low or 0) <= b.stated <= (1 if b.found.high is None else b.found.high) else "no")
        for b in bins
    ]  # fmt: skip
    return Table(
        "Reliability by decile",
        "Labelled identifiers in tenths by their confidence; equal confidences stay together.",
        ("confidence", "identifiers", "stated (mean)", "found right", "interval", "stated lies within"),
        rows,
    )


def _worst_first(group: Group) -> tuple[float, float, int]:
    """The surest to be bad come first: by the upper end of the interval, which one unlucky record cannot pull down."""
    bounds = [
        math.inf if share.value is None or share.high is None else share.high
        for share in (group.precision, group.recall)
    ]
    return bounds[0], bounds[1], -group.records


def worst_first(groups: Iterable[Group]) -> list[Group]:
    """Groups whose precision is surely low first, then those with low recall; unlabelled ones last, the largest first."""
    return sorted(groups, key=_worst_first)


def _surely_below(part: Share, whole: Share) -> bool:
    return part.high is not None and whole.value is not None and part.high < whole.value


def worst_groups(evaluation: Evaluation) -> Table:
    """Groups over all dimensions whose precision, or else recall, is surely below that of all records."""
    compared = 0
    found: list[tuple[str, Group]] = []
    for dimension, groups in evaluation.groups.items():
        for group in groups if len(groups) > 1 else []:
            if not group.labelled:
                continue
            compared += 1
            # Rules and stages take the records that suit them: their recall says nothing about them.
            forgetful = dimension not in ("stage", "method") and _surely_below(group.recall, evaluation.recall)
            if forgetful or _surely_below(group.precision, evaluation.precision):
                found.append((dimension, group))
    found.sort(key=lambda pair: _worst_first(pair[1]))
    rows: list[tuple[Cell, ...]] = [
        (DIMENSIONS.get(dimension, dimension), group.value or "(missing)", _count(group.records), _count(group.labelled),
         str(group.precision.total - group.precision.hits), group.precision, group.recall)
        for dimension, group in found[:WORST_SHOWN]
    ]  # fmt: skip
    note = (
        f"Groups that are surely worse than all records together: the whole {percent(evaluation.level, 0)} interval lies below the overall "
        f"precision ({percent(evaluation.precision.value)}) or, for feeds and countries, recall ({percent(evaluation.recall.value)}). "
        f"{compared:,} groups were compared, so about {compared * (1 - evaluation.level) / 2:.1f} would stand here by chance."
    )
    if len(found) > len(rows):
        note += f" The first {len(rows)} of {len(found):,} are shown."
    headers = ("kind", "group", "records", "labelled", "wrong matches", "precision", "recall")
    return Table("Worst groups", note, headers, rows, 2)


def leaks(evaluation: Evaluation) -> Table | None:
    """The figures with and without records that training had seen; None where nobody looked."""
    found = evaluation.leaks
    if found is None:
        return None
    if found.labels == 0:
        note = "The matcher learned from no labelled record."
    else:
        note = (
            f"The matcher learned from {found.labels:,} labelled record(s). Of the records judged here it had seen {found.seen:,}: "
            f"{found.by_key:,} by source system and id, {found.by_name:,} by the same name and answer (a record may be both). "
            f"{found.seen_entity:,} more belong to entities that it knew under other names."
        )
    if found.copies:
        note += f" The noise model had written the name of {found.copies:,} for the same entity by chance, which is no leak."
    if found.without_name:
        note += f" The names of {found.without_name:,} are not known here, so only their keys were compared: give the source table."
    rows: list[tuple[Cell, ...]] = [
        (line.records, _count(line.labelled), _count(line.known), line.precision, line.recall, line.suggestion_accuracy,
         line.none_precision)
        for line in found.lines
    ]  # fmt: skip
    headers = (
        "records",
        "labelled",
        "known",
        "precision",
        "recall",
        "right identifier matched or suggested",
        "no match truly none",
    )
    return Table("Seen in training?", note, headers, rows)


def recall_by_channel(recall: CandidateRecall) -> Table:
    """Candidate recall of the fused list and of each channel alone."""
    ks = list(recall.channels[FUSED])
    note = (
        f"Share of the {recall.known:,} records with a known entity in the fit that had it among their first k candidates. "
        f"{recall.lost:,} had it nowhere"
        + (f", of which an exact rule finds {recall.lost_but_found_by_rule:,} all the same" if recall.lost else "")
        + ". A channel alone: the fused list in the order of its cosine."
    )
    rows: list[tuple[Cell, ...]] = [(name, *(shares[k] for k in ks)) for name, shares in recall.channels.items()]
    return Table("What retrieval finds", note, ("candidates by", *(f"recall@{k}" for k in ks)), rows)


def recall_by(recall: CandidateRecall, dimension: str, shown: int = 30) -> Table:
    """Candidate recall of the fused list for each value of a dimension: surely bad ones first, lengths in their order."""
    ks = list(recall.channels[FUSED])
    groups = recall.groups[dimension]
    note = ""
    if dimension != "name_length":
        groups = sorted(groups, key=lambda group: (_last_bound(group), -group.known))
        if len(groups) > shown:
            note = f"The {shown} worst of {len(groups):,}."
    rows: list[tuple[Cell, ...]] = [
        (group.value or "(missing)", _count(group.known), *(group.recall_at[k] for k in ks)) for group in groups[:shown]
    ]
    words = DIMENSIONS[dimension]
    return Table(f"By {words}", note, (words, "known", *(f"recall@{k}" for k in ks)), rows)


def _last_bound(group: RecallGroup) -> float:
    share = group.recall_at[max(group.recall_at)]
    return 1.0 if share.high is None else share.high


def lost_records(recall: CandidateRecall, shown: int = 50) -> Table:
    """Records whose entity is among no candidates."""
    rows: list[tuple[Cell, ...]] = [
        (f"{lost.source_system} / {lost.source_id}", lost.name, lost.entity_name, lost.entity_id, lost.rule or "")
        for lost in recall.lost_records[:shown]
    ]
    note = f"{recall.lost:,} in all, {len(rows):,} shown. A rule: an exact rule finds the entity all the same."
    headers = ("record", "name", "right entity", "its id", "rule")
    return Table("Lost by retrieval", note, headers, rows, len(headers))


def errors(evaluation: Evaluation, shown: int = 25) -> Table:
    """The first errors with their reason and evidence."""
    rows: list[tuple[Cell, ...]] = [
        (ERROR_WORDS[case.kind], f"{case.source_system} / {case.source_id}", case.source_name, case.matched_name or case.matched_entity_id,
         case.truth_name or case.truth_entity_id, UNKNOWN if case.confidence is None else f"{case.confidence:.4f}",
         case.method, case.reason, case.evidence)
        for case in evaluation.errors[:shown]
    ]  # fmt: skip
    total = sum(evaluation.error_counts.values())
    headers = ("what", "record", "name", "answer", "truth", "confidence", "method", "why", "evidence")
    return Table("Errors", f"{total:,} in all, {len(rows):,} shown.", headers, rows, len(headers))


def for_evaluation(evaluation: Evaluation) -> Sequence[Table]:
    """Tables that need known answers, in the order of the report; those without rows are left out."""
    found = (
        stages(evaluation),
        worst_groups(evaluation),
        thresholds(evaluation),
        reliability(evaluation),
        leaks(evaluation),
    )
    return [table for table in found if table is not None and table.rows]
