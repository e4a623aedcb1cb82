"""Metrics on the identifier that came back, never on whether one came back."""

from __future__ import annotations

import json
from collections.abc import Hashable, Iterator, Mapping, Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from em_core.errors import UserError
from em_core.evaluation import curves
from em_core.evaluation.figures import (
    Costs,
    Counts,
    ErrorCase,
    ErrorKind,
    Evaluation,
    Group,
    LeakLine,
    Leaks,
    OperatingPoint,
    Outcome,
    Promise,
    PromiseStatus,
    Share,
    Stage,
)
from em_core.evaluation.intervals import labels_needed, lower_bound, upper_bound
from em_core.evaluation.labels import Labels, join_truth, key_index, same_entity
from em_core.evaluation.leaks import TrainingDigests
from em_core.schema import DECISIONS, STAGES, prepare_results
from em_core.text.places import country_codes

THRESHOLDS = (0.0, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.97, 0.98, 0.99, 0.995, 0.999)
TARGETS = (0.99, 0.95)
ERROR_KINDS: tuple[ErrorKind, ...] = ("wrong_match", "match_of_unseen", "missed", "wrong_suggestion")


def evaluate(
    results: pd.DataFrame,
    truth: pd.DataFrame | None = None,
    *,
    equivalent: Mapping[str, Hashable] | None = None,
    source: pd.DataFrame | None = None,
    reference: pd.DataFrame | None = None,
    training: TrainingDigests | None = None,
    costs: Costs | None = None,
    target_precision: float = 0.99,
    certainty: float = 0.95,
    level: float = 0.95,
    error_limit: int = 1000,
    seed: int = 0,
) -> Evaluation:
    """Hold results (result contract) against truth (truth contract).

    An automatic match is right when its identifier is the true one, or of the same group in `equivalent` (entity_id ->
    group). Records without truth count as unlabelled and enter no metric. `source` (source contract) adds names and a
    breakdown by country (without it, names are those that the evidence quotes), `reference` (reference contract) the true names and a count
    of true ids that it lacks. `training` says which records the matcher had seen; `costs` price the thresholds.
    `target_precision` and `certainty` are the promise that the labels are asked to prove; `level` is that of the
    two-sided intervals; `error_limit` caps the listed errors, not their counts; `seed` drives the bootstrap.

    Raises `UserError` on tables that break their contract, an empty one, a confidence outside 0..1, or truth that
    cannot be joined (see `join_truth`).
    """
    results = prepare_results(results)
    if results.empty:
        raise UserError("results: the table has no rows")
    labels = join_truth(results, truth)
    table = _judged(results, labels, equivalent).assign(**_beside(results, source))
    labelled = table[table["labelled"]]
    confidence = labelled["confidence"].where(labelled["given"]).to_numpy(dtype=float)
    right, known = labelled["right"].to_numpy(), labelled["known"].to_numpy()
    known_count = int(known.sum())
    automatic, none = labelled["decision"].eq("auto_match"), labelled["decision"].eq("no_match")
    matched = int((automatic & labelled["right"]).sum())
    truly_none = int((none & labelled["unseen"]).sum())
    points = _operating_points(confidence, right, known, level, seed)
    costs = costs or Costs()
    wrong = int((automatic & ~labelled["right"]).sum())
    reviewed, missed = int(labelled["decision"].eq("review").sum()), int((none & labelled["known"]).sum())
    cuts = [*THRESHOLDS, *(point.threshold for point in points if point.threshold is not None)]
    counts, errors = _errors(table, labels, reference, equivalent, error_limit)
    return Evaluation(
        level=level,
        counts=Counts(
            records=len(table),
            labelled=len(labelled),
            known=known_count,
            unseen=len(labelled) - known_count,
            truth_without_result=labels.unmatched,
            truth_not_in_reference=_absent(labels, reference),
        ),
        outcomes=[_outcome(table[table["decision"] == decision], decision) for decision in DECISIONS],
        review_share=float(table["decision"].eq("review").mean()),
        precision=Share.of(matched, int(automatic.sum()), level),
        recall=Share.of(matched, known_count, level),
        suggestion_accuracy=Share.of(int(right.sum()), known_count, level),
        none_precision=Share.of(truly_none, int(none.sum()), level),
        none_recall=Share.of(truly_none, len(labelled) - known_count, level),
        promise=_promise(matched, int(automatic.sum()), target_precision, certainty),
        operating_points=points,
        thresholds=curves.threshold_table(
            confidence, right, known, cuts, level, costs, labelled["decision"].ne("no_match").to_numpy()
        ),
        costs=costs,
        cost_as_decided=curves.cost_of(costs, wrong, reviewed, missed, len(labelled)),
        cost_all_review=curves.cost_of(costs, 0, len(labelled), 0, len(labelled)),
        curve=curves.precision_recall_curve(confidence, right, known_count),
        calibration=curves.calibration(confidence, right, level),
        histogram=curves.histogram(
            table["confidence"].where(table["given"]).to_numpy(dtype=float),
            table["right"].to_numpy(),
            table["labelled"].to_numpy(),
        ),
        groups=_groups(table, level),
        stages=_stages(table, level),
        leaks=None if training is None else _leaks(table, labels, training, level),
        error_counts=counts,
        errors=errors,
    )


def _judged(results: pd.DataFrame, labels: Labels, equivalent: Mapping[str, Hashable] | None) -> pd.DataFrame:
    """Results with one boolean column for each question asked of a record."""
    # By contract a no_match carries no identifier; an automatic match without one cannot be right.
    given = results["matched_entity_id"].notna() & results["decision"].ne("no_match")
    identifier = results["matched_entity_id"].where(given, None).to_numpy(dtype=object)
    return results.assign(
        labelled=labels.labelled,
        known=labels.known,
        unseen=labels.unseen,
        given=given,
        right=same_entity(identifier, labels.entity_id, equivalent),
    )


def _outcome(part: pd.DataFrame, decision: str) -> Outcome:
    known, given, right = part["known"], part["given"], part["right"]
    return Outcome(
        decision=decision,
        records=len(part),
        labelled=int(part["labelled"].sum()),
        right=int(right.sum()),
        wrong=int((known & given & ~right).sum()),
        invented=int((part["unseen"] & given).sum()),
        missed=int((known & ~given).sum()),
        truly_none=int((part["unseen"] & ~given).sum()),
    )


def _promise(right: int, labels: int, target: float, certainty: float) -> Promise:
    low, high = float(lower_bound(right, labels, certainty)), float(upper_bound(right, labels, certainty))
    status: PromiseStatus = "shown" if low >= target else "broken" if high < target else "open"
    return Promise(
        target=target,
        certainty=certainty,
        labels=labels,
        errors=labels - right,
        lower_bound=low if labels else None,
        upper_bound=high if labels else None,
        status=status if labels else "unlabelled",
        labels_needed=labels_needed(labels - right, target, certainty),
    )


def _operating_points(
    confidence: NDArray[np.float64], right: NDArray[np.bool_], known: NDArray[np.bool_], level: float, seed: int
) -> list[OperatingPoint]:
    if not len(confidence):
        return []
    intervals = curves.recall_at_precision_interval(confidence, right, known, TARGETS, level=level, seed=seed)
    return [
        curves.recall_at_precision(confidence, right, int(known.sum()), target).model_copy(
            update={"low": low, "high": high}
        )
        for target, (low, high) in zip(TARGETS, intervals, strict=True)
    ]


def _absent(labels: Labels, reference: pd.DataFrame | None) -> int | None:
    if reference is None:
        return None
    return int((labels.known & ~pd.Series(labels.entity_id).isin(reference["entity_id"]).to_numpy()).sum())


def _beside(results: pd.DataFrame, source: pd.DataFrame | None) -> dict[str, NDArray[np.object_]]:
    """Name and country of each source record, in the order of the results; None where the source does not hold it."""
    columns = {"source_name": "name", "country": "country"}
    beside = {ours: np.full(len(results), None, dtype=object) for ours in columns}
    if source is not None:
        found = key_index(source).get_indexer(key_index(results))
        for ours, theirs in columns.items():
            beside[ours][found >= 0] = source[theirs].to_numpy(dtype=object)[found[found >= 0]]
    codes = country_codes(beside["country"])
    beside["country"] = np.where(pd.isna(codes), beside["country"], codes)  # Germany and DE are one group
    unnamed = np.flatnonzero(pd.isna(beside["source_name"]))
    beside["source_name"][unnamed] = [_quoted(text) for text in results["evidence"].to_numpy(dtype=object)[unnamed]]
    return beside


def _quoted(evidence: object) -> str | None:
    """The record's name as its evidence quotes it (see `em_core.decision.explain`), None where it does not."""
    try:
        name = json.loads(evidence).get("name") if isinstance(evidence, str) and evidence.startswith("{") else None
    except ValueError:
        return None
    given = name.get("source") if isinstance(name, dict) else None
    return given if isinstance(given, str) else None


def _groups(table: pd.DataFrame, level: float) -> dict[str, list[Group]]:
    dimensions = ["source_system", "stage", "method", *(["country"] if table["country"].notna().any() else [])]
    return {name: _breakdown(table, table[name], level) for name in dimensions}


def _breakdown(table: pd.DataFrame, values: pd.Series, level: float) -> list[Group]:
    automatic = table["decision"].eq("auto_match")
    flags = pd.DataFrame(
        {
            "labelled": table["labelled"],
            "known": table["known"],
            **{decision: table["decision"].eq(decision) for decision in DECISIONS},
            "answered": automatic & table["labelled"],
            "hits": automatic & table["right"],
        }
    ).astype(int)
    grouped = flags.assign(records=1).groupby(values.to_numpy(), dropna=False).sum()
    reasons = (
        pd.DataFrame({"value": values, "reason": table["reason"]}).groupby(["value", "reason"], dropna=False).size()
    )
    common = (
        reasons.rename("n").reset_index().sort_values(["n", "reason"], ascending=[False, True])
        .drop_duplicates("value").set_index("value")["reason"]
    )  # fmt: skip
    grouped["reason"] = common.reindex(grouped.index).to_numpy()
    grouped["value"] = grouped.index
    grouped = grouped.sort_values(["records", "value"], ascending=[False, True])
    precisions = Share.each(grouped["hits"], grouped["answered"], level)
    recalls = Share.each(grouped["hits"], grouped["known"], level)
    return [
        Group(
            value=_text(row["value"]),
            reason=_text(row["reason"]),
            precision=precision,
            recall=recall,
            **{name: int(row[name]) for name in ("records", "labelled", "known", *DECISIONS)},
        )
        for row, precision, recall in zip(grouped.to_dict("records"), precisions, recalls, strict=True)
    ]


def _stages(table: pd.DataFrame, level: float) -> list[Stage]:
    """What each stage decided, in the order in which stages are asked; stages that decided nothing are left out."""
    automatic, known = table["decision"].eq("auto_match"), int(table["known"].sum())
    place = pd.Series(pd.Index(STAGES).get_indexer(pd.Index(table["stage"])), index=table.index)
    place = place.where(place >= 0, len(STAGES))  # an unknown stage comes last
    out = []
    for position in sorted(place.unique()):
        part, upto = table[place == position], table[automatic & (place <= position)]
        mine = part[part["decision"].eq("auto_match") & part["labelled"]]
        none = part[part["decision"].eq("no_match") & part["labelled"]]
        hits = int(upto["right"].sum())
        out.append(
            Stage(
                stage=STAGES[position] if position < len(STAGES) else "other",
                records=len(part),
                **{decision: int(part["decision"].eq(decision).sum()) for decision in DECISIONS},
                labelled=len(mine),
                precision=Share.of(int(mine["right"].sum()), len(mine), level),
                none_precision=Share.of(int(none["unseen"].sum()), len(none), level),
                total_auto_match=len(upto),
                coverage=len(upto) / len(table),
                total_precision=Share.of(hits, int(upto["labelled"].sum()), level),
                total_recall=Share.of(hits, known, level),
                methods=_breakdown(part, part["method"], level),
            )
        )
    return out


def _leaks(table: pd.DataFrame, labels: Labels, training: TrainingDigests, level: float) -> Leaks:
    judged = table["labelled"].to_numpy()
    seen = training.seen(table, table["source_name"].to_numpy(dtype=object), labels.entity_id)
    record, entity = seen.record & judged, seen.entity & ~seen.record & judged
    parts = {
        "all labelled records": judged,
        "not seen in training": judged & ~record,
        "of entities not seen in training": judged & ~record & ~entity,
        "seen in training": record,
    }
    return Leaks(
        labels=len(training.keys),
        by_key=int((seen.key & judged).sum()),
        by_name=int((seen.answer & judged).sum()),
        seen=int(record.sum()),
        seen_entity=int(entity.sum()),
        copies=int((seen.copy & judged).sum()),
        without_name=int((~seen.named & judged).sum()),
        lines=[_leak_line(name, table[part], level) for name, part in parts.items() if part.any()],
    )


def _leak_line(name: str, part: pd.DataFrame, level: float) -> LeakLine:
    automatic, none, known = (
        part["decision"].eq("auto_match"),
        part["decision"].eq("no_match"),
        int(part["known"].sum()),
    )
    matched = int((automatic & part["right"]).sum())
    return LeakLine(
        records=name,
        labelled=len(part),
        known=known,
        precision=Share.of(matched, int(automatic.sum()), level),
        recall=Share.of(matched, known, level),
        suggestion_accuracy=Share.of(int(part["right"].sum()), known, level),
        none_precision=Share.of(int((none & part["unseen"]).sum()), int(none.sum()), level),
    )


def _text(value: object) -> str | None:
    return None if value is None or pd.isna(value) else str(value)  # type: ignore[call-overload]


def _errors(
    table: pd.DataFrame,
    labels: Labels,
    reference: pd.DataFrame | None,
    equivalent: Mapping[str, Hashable] | None,
    limit: int,
) -> tuple[dict[ErrorKind, int], list[ErrorCase]]:
    """Counts by kind, and the first `limit` cases: by kind, then the most confident, then by key."""
    automatic, review = table["decision"].eq("auto_match"), table["decision"].eq("review")
    kinds = [
        table["known"] & automatic & ~table["right"],
        table["unseen"] & automatic,
        table["known"] & ~table["given"] & ~automatic,
        table["known"] & table["given"] & review & ~table["right"],
    ]
    kind = np.select([k.to_numpy() for k in kinds], range(len(kinds)), default=-1)
    counts = {name: int((kind == place).sum()) for place, name in enumerate(ERROR_KINDS)}
    rows = np.flatnonzero(kind >= 0)
    chosen = table.iloc[rows].assign(
        kind=kind[rows],
        truth_entity_id=labels.entity_id[rows],
        runner_up_right=same_entity(
            table["runner_up_id"].to_numpy(dtype=object)[rows], labels.entity_id[rows], equivalent
        ),
    )
    chosen = chosen.sort_values(
        ["kind", "confidence", "source_system", "source_id"], ascending=[True, False, True, True]
    ).head(limit)
    names: Mapping[object, object] = {}
    if reference is not None:
        names = reference.drop_duplicates("entity_id").set_index("entity_id")["name"].to_dict()
    return counts, list(_cases(chosen, names))


_CASE_TEXT: Sequence[str] = (
    "source_name", "matched_entity_id", "matched_name", "truth_entity_id", "stage", "method", "reason", "evidence"
)  # fmt: skip


def _cases(chosen: pd.DataFrame, names: Mapping[object, object]) -> Iterator[ErrorCase]:
    for row in chosen.to_dict("records"):
        yield ErrorCase(
            kind=ERROR_KINDS[row["kind"]],
            source_system=str(row["source_system"]),
            source_id=str(row["source_id"]),
            decision=row["decision"],
            confidence=None if pd.isna(row["confidence"]) else float(row["confidence"]),
            truth_name=_text(names.get(row["truth_entity_id"])),
            runner_up_right=bool(row["runner_up_right"]),
            **{name: _text(row[name]) for name in _CASE_TEXT},
        )
