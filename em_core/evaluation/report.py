"""The match report: one HTML page that opens without a network, or the same figures as JSON."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from uuid import uuid4

from em_core.errors import UserError
from em_core.evaluation import charts, tables
from em_core.evaluation.figures import ErrorCase, ErrorKind, Evaluation, Group, Promise, PromiseStatus, Share
from em_core.evaluation.page import (
    Html,
    definitions,
    document,
    esc,
    evidence,
    figure,
    join,
    share,
    table,
    tag,
    worded,
)
from em_core.evaluation.retrieval import CandidateRecall
from em_core.evaluation.tables import DIMENSIONS, interval, percent, worst_first

ERRORS_SHOWN = 200
GROUPS_SHOWN = 60
_KIND_COLOURS: dict[ErrorKind, str] = {
    "wrong_match": "bad",
    "match_of_unseen": "bad",
    "missed": "open",
    "wrong_suggestion": "open",
}
_KIND_SENTENCES: dict[ErrorKind, str] = {
    "wrong_match": "automatic matches to another entity",
    "match_of_unseen": "automatic matches of records that are not in the reference",
    "missed": "records of the reference that got no identifier",
    "wrong_suggestion": "reviews that suggest another entity",
}


def render_html(
    evaluation: Evaluation,
    *,
    title: str,
    context: Mapping[str, str] | None = None,
    recall: CandidateRecall | None = None,
) -> str:
    """The whole report as one page: no request, no script, everything from the data escaped.

    `context` (run id, versions, seconds per stage ...) stands at the foot; `recall` is the candidate recall that the matcher's
    fit measured. Without truth the page says so and shows decisions only; without matplotlib it says that the charts are
    left out.
    """
    drawn = charts.all_charts(evaluation, recall)
    labelled = evaluation.counts.labelled > 0
    body = [
        tag("h1", title),
        tag("p", _lead(evaluation), kind="lead"),
        _notices(evaluation),
        _cards(evaluation) if labelled else None,
        _promise(evaluation.promise) if labelled else None,
        _decisions(evaluation, drawn),
        _stages(evaluation, drawn) if labelled else None,
        _worst(evaluation) if labelled else None,
        _confidence(evaluation, drawn),
        _section(tables.thresholds(evaluation)) if labelled else None,
        _section(tables.leaks(evaluation)) if labelled else None,
        None if recall is None else _recall(recall, drawn),
        _breakdowns(evaluation),
        _errors(evaluation) if labelled else None,
        tag("footer", definitions(context)) if context else None,
    ]
    return document(title, join(part for part in body if part is not None))


def write_report(
    path: str | os.PathLike[str],
    evaluation: Evaluation,
    *,
    title: str,
    context: Mapping[str, str] | None = None,
    recall: CandidateRecall | None = None,
) -> Path:
    """Write the report by suffix: `.html` is the page, `.json` the figures with title and context beside them.

    Missing folders are made; the file appears whole or not at all. Raises `UserError` on another suffix and where the
    place cannot be written.
    """
    target = Path(path)
    suffix = target.suffix.lower()
    if suffix not in (".html", ".json"):
        raise UserError(f"{target}: a report is written as .html or .json, not {suffix or 'without a suffix'}")
    if suffix == ".html":
        text = render_html(evaluation, title=title, context=context, recall=recall)
    else:
        figures = {"title": title, "context": dict(context or {}), **evaluation.to_dict()}
        if recall is not None:
            figures["candidate_recall"] = recall.model_dump(mode="json")
        text = json.dumps(figures, indent=2, ensure_ascii=False, allow_nan=False) + "\n"
    aside = target.with_name(f".{target.name}.{uuid4().hex}")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        try:
            aside.write_text(text, encoding="utf-8", newline="\n")
            aside.replace(target)
        finally:
            aside.unlink(missing_ok=True)
    except OSError as error:
        raise UserError(f"{target}: the report cannot be written here ({error.strerror})") from error
    return target


def _number(count: int, one: str, many: str | None = None) -> str:
    return f"{count:,} {one if count == 1 else many or one + 's'}"


def _lead(evaluation: Evaluation) -> str:
    counts = evaluation.counts
    if not counts.labelled:
        return f"{_number(counts.records, 'record')}, no truth."
    return (
        f"{_number(counts.records, 'record')}; {counts.labelled:,} labelled: {counts.known:,} known to the reference, "
        f"{counts.unseen:,} truly not in it; {counts.records - counts.labelled:,} without truth."
    )


def _notices(evaluation: Evaluation) -> Html:
    counts = evaluation.counts
    said: list[str] = []
    if not counts.labelled:
        said.append(
            "No truth was given. This page shows what was decided and how sure the matcher was; it cannot say whether "
            "any of it is right."
        )
    if counts.truth_without_result:
        said.append(
            f"{_number(counts.truth_without_result, 'truth row names', 'truth rows name')} no record of the results "
            "and enter no figure."
        )
    if counts.truth_not_in_reference:
        said.append(
            f"{_number(counts.truth_not_in_reference, 'labelled record has', 'labelled records have')} a true "
            "identifier that the reference lacks: no matcher can find it, and recall counts it as lost."
        )
    if not charts.available():
        said.append("matplotlib is not installed, so the charts are left out: install the extra `local`.")
    return join(tag("p", sentence, kind="notice") for sentence in said)


def _card(name: str, value: Share, population: str, outcome: str, level: float) -> Html:
    if value.value is None:
        figure, words = "not known", [f"no {population}"]
    else:
        limits = f"{percent(level, 0)} interval: {interval(value.low, value.high)}"
        figure, words = percent(value.value), [limits, f"{value.hits:,} of {value.total:,} {population} {outcome}"]
    lines = (tag("div", line, kind="words") for line in words)
    return tag("div", tag("div", name, kind="name"), tag("div", figure, kind="figure"), *lines, kind="card")


def _cards(evaluation: Evaluation) -> Html:
    review = next(outcome for outcome in evaluation.outcomes if outcome.decision == "review")
    matches, known = "labelled automatic matches", "known records"
    shares = [
        ("Precision of automatic matches", evaluation.precision, matches, "are right"),
        ("Recall", evaluation.recall, known, "are matched automatically and right"),
        ("Top-1 accuracy", evaluation.suggestion_accuracy, known, "are matched or suggested right"),
        (
            "Precision of no match",
            evaluation.none_precision,
            "labelled no-match records",
            "are truly not in the reference",
        ),
        ("Recall of no match", evaluation.none_recall, "records that are not in the reference", "stay unmatched"),
    ]
    workload = tag(
        "div",
        tag("div", "Review share", kind="name"),
        tag("div", percent(evaluation.review_share), kind="figure"),
        tag("div", f"{review.records:,} of {evaluation.counts.records:,} records go to a steward", kind="words"),
        kind="card",
    )
    return tag("div", *(_card(*figures, evaluation.level) for figures in shares), workload, kind="cards")


def _promise(promise: Promise) -> Html:
    target = percent(promise.target, 0)
    labels = _number(promise.labels, "labelled automatic match", "labelled automatic matches")
    found = f"{_number(promise.errors, 'error')} among {labels}"
    certainty = f"with {percent(promise.certainty, 0)} certainty"
    at_least = f"{certainty} at least {percent(promise.lower_bound, 2)} are right"
    needed = f"{promise.labels_needed:,} labels"
    more = promise.labels_needed - promise.labels
    words: dict[PromiseStatus, str] = {
        "shown": f"A precision of {target} is proven: {found}; {at_least}.",
        "open": f"A precision of {target} is neither proven nor refuted: {found}; {at_least}. "
        f"{needed} would prove it, {more:,} more than there are, were no further error found.",
        "broken": f"A precision of {target} is not reached: {found}; "
        f"{certainty} at most {percent(promise.upper_bound, 2)} are right.",
        "unlabelled": f"No automatic match is labelled, so their precision is not known. {needed} without an error "
        f"would prove {target} {certainty}.",
    }
    return tag("p", words[promise.status], kind=f"notice {promise.status}")


def _section(words: tables.Table | None) -> Html | None:
    """A table under its own heading."""
    return None if words is None else join([tag("h2", words.title), worded(words)])


def _drawn(drawn: Mapping[str, charts.Drawing], *names: str) -> Html:
    return join(figure(drawn[n].title, drawn[n].words, drawn[n].svg()) for n in names if n in drawn)


def _stages(evaluation: Evaluation, drawn: Mapping[str, charts.Drawing]) -> Html:
    words = tables.stages(evaluation)
    methods = tag("details", tag("summary", "methods of each stage"), worded(tables.stage_methods(evaluation)))
    return join([tag("h2", words.title), worded(words), _drawn(drawn, "stages"), methods])


def _worst(evaluation: Evaluation) -> Html:
    words = tables.worst_groups(evaluation)
    if words.rows:
        return join([tag("h2", words.title), worded(words)])
    return join([tag("h2", words.title), tag("p", words.note, kind="muted"), tag("p", "None.")])


def _recall(recall: CandidateRecall, drawn: Mapping[str, charts.Drawing]) -> Html:
    words = tables.recall_by_channel(recall)
    parts = [tag("h2", words.title), worded(words), _drawn(drawn, "candidate_recall")]
    for dimension in recall.groups:
        group = tables.recall_by(recall, dimension)
        if len(group.rows) > 1:
            parts += [tag("h3", group.title), worded(group)]
    if recall.lost_records:
        lost = tables.lost_records(recall)
        parts.append(tag("details", tag("summary", lost.title), worded(lost)))
    return join(parts)


def _decisions(evaluation: Evaluation, drawn: Mapping[str, charts.Drawing]) -> Html:
    total = evaluation.counts.records
    headers = ["decision", "records", "share"]
    if evaluation.counts.labelled:
        headers += [
            "labelled",
            "right",
            "wrong entity",
            "should be none",
            "missed",
            "rightly none",
        ]
    rows = []
    for outcome in evaluation.outcomes:
        row = [charts.DECISION_WORDS[outcome.decision], f"{outcome.records:,}", percent(outcome.records / total)]
        if evaluation.counts.labelled:
            figures = (
                outcome.labelled,
                outcome.right,
                outcome.wrong,
                outcome.invented,
                outcome.missed,
                outcome.truly_none,
            )
            row += [f"{count:,}" for count in figures]
        rows.append(row)
    return join([tag("h2", "Decisions"), table(headers, rows), _drawn(drawn, "decisions")])


def _confidence(evaluation: Evaluation, drawn: Mapping[str, charts.Drawing]) -> Html:
    sentences = []
    for point in evaluation.operating_points:
        words = f"Recall at {percent(point.target, 0)} precision"
        if point.recall is None:
            sentences.append(f"{words}: not known, no record is known to the reference.")
        elif point.threshold is None:
            sentences.append(f"{words}: 0, no threshold reaches it.")
        else:
            sentences.append(
                f"{words}: {percent(point.recall)} ({interval(point.low, point.high)}, bootstrap), accepting "
                f"{_number(point.accepted, 'identifier')} at or above confidence {point.threshold:.4f}."
            )
    if sentences:
        sentences.append("These thresholds are chosen on the same records: they compare matchers and promise nothing.")
    if evaluation.calibration is not None:
        sentences.append(
            f"Calibration error (ECE) {evaluation.calibration.ece:.4f}, "
            f"Brier score {evaluation.calibration.brier:.4f}, "
            f"over {_number(evaluation.calibration.count, 'labelled identifier')}."
        )
    figures = _drawn(drawn, "precision_recall", "reliability", "confidence")
    if not sentences and not figures:
        return Html("")
    parts = [tag("h2", "Confidence"), *(tag("p", s) for s in sentences), tag("div", figures, kind="charts")]
    if evaluation.calibration is not None:
        deciles = tables.reliability(evaluation)
        parts += [tag("h3", deciles.title), worded(deciles)]
    return join(parts)


def _breakdowns(evaluation: Evaluation) -> Html:
    order = "The surest to be imprecise first, then those with low recall." if evaluation.counts.labelled else ""
    parts = [tag("h2", "Breakdown"), tag("p", order, kind="muted") if order else Html("")]
    for dimension, groups in evaluation.groups.items():
        words = DIMENSIONS.get(dimension, dimension)
        parts += [tag("h3", f"By {words}"), _breakdown(dimension, groups, evaluation.counts.labelled > 0)]
        if len(groups) > GROUPS_SHOWN:
            parts.append(tag("p", f"The first {GROUPS_SHOWN} of {len(groups):,}.", kind="muted"))
    return join(parts)


def _breakdown(dimension: str, groups: list[Group], labelled: bool) -> Html:
    explained = dimension == "method"  # elsewhere the commonest reason says nothing about the group
    headers = [DIMENSIONS.get(dimension, dimension), *(["most frequent reason"] if explained else [])]
    texts = len(headers)
    headers += [
        "records",
        "automatic",
        "review",
        "no match",
        *(["labelled", "precision", "recall"] if labelled else []),
    ]
    rows = []
    for group in worst_first(groups)[:GROUPS_SHOWN]:
        decided = (percent(count / group.records) for count in (group.auto_match, group.review, group.no_match))
        row: list[object] = [group.value or "(missing)", *([tag("small", group.reason or "")] if explained else [])]
        row += [f"{group.records:,}", *decided]
        if labelled:
            row += [f"{group.labelled:,}", share(group.precision), share(group.recall)]
        rows.append(row)
    return table(headers, rows, text_columns=texts)


def _errors(evaluation: Evaluation) -> Html:
    total = sum(evaluation.error_counts.values())
    if not total:
        return join([tag("h2", "Errors"), tag("p", "None among the labelled records.")])
    counts = "; ".join(f"{n:,} {_KIND_SENTENCES[kind]}" for kind, n in evaluation.error_counts.items() if n)
    shown = evaluation.errors[:ERRORS_SHOWN]
    cut = f" The first {len(shown):,} of {total:,} are listed." if len(shown) < total else ""
    head = tag("tr", *(tag("th", h) for h in ("what", "source record", "answer", "truth", "confidence", "why")))
    body = tag("table", tag("thead", head), tag("tbody", *(_error(case) for case in shown)))
    return join([tag("h2", "Errors"), tag("p", f"{counts}.{cut}"), tag("div", body, kind="scroll wide")])


def _named(name: str | None, key: str | None, none: str) -> Html:
    if key is None:
        return tag("span", none, kind="muted")
    return join([name, tag("small", key)]) if name else esc(key)


def _error(case: ErrorCase) -> Html:
    nearly = tag("small", "the runner-up is right") if case.runner_up_right else ""
    why = [tag("div", case.reason or "")]
    if case.evidence:
        why.append(tag("details", tag("summary", "evidence"), evidence(case.evidence)))
    return tag(
        "tr",
        tag("td", tag("span", tables.ERROR_WORDS[case.kind], kind=f"tag {_KIND_COLOURS[case.kind]}"), nearly),
        tag("td", _named(case.source_name, f"{case.source_system} / {case.source_id}", "")),
        tag("td", _named(case.matched_name, case.matched_entity_id, "none")),
        tag("td", _named(case.truth_name, case.truth_entity_id, "none in the reference")),
        tag(
            "td",
            None if case.confidence is None else f"{case.confidence:.4f}",
            tag("small", case.method),
            kind="number",
        ),
        tag("td", *why),
    )
