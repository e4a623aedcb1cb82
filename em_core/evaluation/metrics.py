"""Metrics on the identifier that came back, never on whether one came back."""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Mapping, Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from em_core.errors import UserError
from em_core.evaluation import curves
from em_core.evaluation.figures import (
    Counts,
    ErrorCase,
    ErrorKind,
    Evaluation,
    Group,
    OperatingPoint,
    Outcome,
    Promise,
    PromiseStatus,
    Share,
)
from em_core.evaluation.intervals import labels_needed, lower_bound, upper_bound
from em_core.evaluation.labels import Labels, join_truth, key_index, same_entity
from em_core.schema import DECISIONS, prepare_results

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
    target_precision: float = 0.99,
    certainty: float = 0.95,
    level: float = 0.95,
    error_limit: int = 1000,
    seed: int = 0,
) -> Evaluation:
    """Hold results (result contract) against truth (truth contract).

    An automatic match is right when its identifier is the true one, or of the same group in `equivalent` (entity_id ->
    group). Records without truth count as unlabelled and enter no metric. `source` (source contract) adds names and a
    breakdown by country, `reference` (reference contract) the true names and a count of true ids that it lacks.
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
        thresholds=curves.threshold_table(confidence, right, known_count, cuts, level) if len(labelled) else [],
        curve=curves.precision_recall_curve(confidence, right, known_count),
        calibration=curves.calibration(confidence, right, level),
        histogram=curves.histogram(
            table["confidence"].where(table["given"]).to_numpy(dtype=float),
            table["right"].to_numpy(),
            table["labelled"].to_numpy(),
        ),
        groups=_groups(table, level),
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
    return beside


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
