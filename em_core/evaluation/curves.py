"""What a confidence threshold would do: precision-recall curve, recall at a precision, threshold table, reliability.

All take arrays with one place for each labelled record: `confidence` (NaN = no identifier came back, never accepted),
`right` (the identifier is the right one). Records of equal confidence are accepted together, so row order never counts.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from em_core.evaluation.figures import (
    Calibration,
    Costs,
    CurvePoint,
    Histogram,
    OperatingPoint,
    ReliabilityBin,
    Share,
    ThresholdRow,
)

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]
Ints = NDArray[np.int64]


class Blocks(NamedTuple):
    """Accepted sets, one for each distinct confidence, highest first."""

    threshold: Floats
    accepted: Ints
    right: Ints


def _ends(ordered: NDArray[Any]) -> Ints:
    """Last position of each run of equal values."""
    return np.flatnonzero(np.append(ordered[1:] != ordered[:-1], True)) if len(ordered) else np.zeros(0, dtype=np.int64)


def accepted_sets(confidence: Floats, right: Bools) -> Blocks:
    """Size and right answers of the accepted set at each distinct confidence."""
    given = ~np.isnan(confidence)
    order = np.argsort(-confidence[given], kind="stable")
    ordered = confidence[given][order]
    ends = _ends(ordered)
    return Blocks(ordered[ends], ends + 1, np.cumsum(right[given][order], dtype=np.int64)[ends])


def recall_at_precision(confidence: Floats, right: Bools, known_count: int, target: float) -> OperatingPoint:
    """Recall at the lowest threshold whose accepted set, unseen records included, is right at least `target` often.

    `known_count` is the number of records that have a right answer at all. Recall is 0 if no threshold reaches the
    target, None if `known_count` is 0. The threshold is chosen on the same records: a comparison, not a promise.
    """
    blocks = accepted_sets(confidence, right)
    reached = np.flatnonzero(blocks.right / blocks.accepted >= target)
    if not reached.size:
        return OperatingPoint(target=target, recall=0.0 if known_count else None, threshold=None, accepted=0, right=0)
    last = reached[-1]
    hits = int(blocks.right[last])
    return OperatingPoint(
        target=target,
        recall=hits / known_count if known_count else None,
        threshold=float(blocks.threshold[last]),
        accepted=int(blocks.accepted[last]),
        right=hits,
    )


def recall_at_precision_interval(
    confidence: Floats,
    right: Bools,
    known: Bools,
    targets: Sequence[float],
    *,
    level: float = 0.95,
    rounds: int = 200,
    seed: int = 0,
) -> list[tuple[float | None, float | None]]:
    """Bootstrap percentile interval of `recall_at_precision` for each target (Efron, Annals of Statistics 7(1), 1979).

    Whole records are drawn with replacement and the threshold is chosen anew each time, so the interval holds the noise
    of that choice too. Rows are sorted by what they say, so their order does not matter. `(None, None)` without known
    records.
    """
    if not known.any():
        return [(None, None)] * len(targets)
    order = np.lexsort((known, right, -confidence))  # NaN goes last
    ordered, right, known = confidence[order], right[order], known[order]
    given = int(np.count_nonzero(~np.isnan(ordered)))
    ends = _ends(ordered[:given])
    generator = np.random.default_rng(seed)
    found = np.full((len(targets), rounds), np.nan)
    for draw in range(rounds):
        weight = np.bincount(generator.integers(len(ordered), size=len(ordered)), minlength=len(ordered))
        known_count = int(weight[known].sum())
        if not known_count:
            continue
        accepted = np.cumsum(weight[:given])[ends]
        hits = np.cumsum(weight[:given] * right[:given])[ends]
        share = hits / np.maximum(accepted, 1)
        for row, target in enumerate(targets):
            reached = np.flatnonzero(share >= target)
            found[row, draw] = hits[reached[-1]] / known_count if reached.size else 0.0
    low, high = np.nanquantile(found, [(1 - level) / 2, (1 + level) / 2], axis=1)
    return list(zip(low.tolist(), high.tolist(), strict=True))


def cost_of(costs: Costs, wrong: int, reviewed: int, missed: int, records: int) -> float | None:
    """Cost of 1,000 records; None without records."""
    paid = costs.wrong_match * wrong + costs.review * reviewed + costs.miss * missed
    return paid / records * 1000 if records else None


def threshold_table(
    confidence: Floats,
    right: Bools,
    known: Bools,
    thresholds: Sequence[float],
    level: float,
    costs: Costs | None = None,
    given: Bools | None = None,
) -> list[ThresholdRow]:
    """One row for each threshold, highest first: the set at or above it, with exact intervals.

    `given` (n,): not decided as no_match; default: where there is a confidence. What is not accepted goes to review; a known record
    that is not given is missed. Empty without records.
    """
    if not len(confidence):
        return []
    costs = costs or Costs()
    with_id = ~np.isnan(confidence) if given is None else given
    suggestions, missed, known_count = int(with_id.sum()), int((known & ~with_id).sum()), int(known.sum())
    steps = np.unique(np.asarray(thresholds, dtype=float))[::-1]
    given = np.sort(confidence[~np.isnan(confidence)])
    good = np.sort(confidence[~np.isnan(confidence) & right])
    accepted = len(given) - np.searchsorted(given, steps, side="left")
    hits = len(good) - np.searchsorted(good, steps, side="left")
    precisions = Share.each(hits, accepted, level)
    recalls = Share.each(hits, np.full_like(hits, known_count), level)
    return [
        ThresholdRow(
            threshold=t, accepted=a, wrong=a - h, precision=p, recall=r, review=suggestions - a,
            cost=cost_of(costs, a - h, suggestions - a, missed, len(confidence)) or 0.0,
        )
        for t, a, h, p, r in zip(steps.tolist(), accepted.tolist(), hits.tolist(), precisions, recalls, strict=True)
    ]  # fmt: skip


def precision_recall_curve(confidence: Floats, right: Bools, known_count: int, points: int = 400) -> list[CurvePoint]:
    """The curve from the highest threshold down, thinned to about `points`; empty without known records."""
    blocks = accepted_sets(confidence, right)
    if not known_count or not len(blocks.accepted):
        return []
    keep = np.unique(np.linspace(0, len(blocks.accepted) - 1, points).round().astype(int))
    precision = blocks.right[keep] / blocks.accepted[keep]
    recall = blocks.right[keep] / known_count
    return [
        CurvePoint(threshold=t, precision=p, recall=r)
        for t, p, r in zip(blocks.threshold[keep].tolist(), precision.tolist(), recall.tolist(), strict=True)
    ]


def calibration(confidence: Floats, right: Bools, level: float, bins: int = 10) -> Calibration | None:
    """Stated confidence against the share found right, by decile of confidence; None without identifiers.

    Deciles hold equal numbers (Nguyen and O'Connor, EMNLP 2015), because confidences crowd near 1 and bins of equal
    width would hide them. Equal confidences share a bin, so there may be fewer bins.
    """
    order = np.lexsort((right, confidence))[: np.count_nonzero(~np.isnan(confidence))]  # NaN sorts last
    stated, hit = confidence[order], right[order]
    if not len(stated):
        return None
    edges = np.unique(np.quantile(stated, np.arange(1, bins) / bins, method="inverted_cdf"))
    place = np.searchsorted(edges, stated, side="left")  # an edge closes its bin
    last = _ends(place)
    first = np.append(0, last[:-1] + 1)
    counts = last - first + 1
    sums = np.add.reduceat(stated, first)
    hits = np.add.reduceat(hit.astype(int), first)
    shares = Share.each(hits, counts, level)
    columns = (stated[first].tolist(), stated[last].tolist(), (sums / counts).tolist())
    rows = [
        ReliabilityBin(low=low, high=high, stated=mean, found=found)
        for low, high, mean, found in zip(*columns, shares, strict=True)
    ]
    return Calibration(
        count=len(stated),
        bins=rows,
        ece=float(np.abs(sums - hits).sum() / len(stated)),
        brier=float(np.mean((stated - hit) ** 2)),
    )


def histogram(confidence: Floats, right: Bools, labelled: Bools, bins: int = 20) -> Histogram:
    """Identifiers by confidence in equal steps of 0..1, apart for right, wrong and unlabelled ones."""
    edges = np.linspace(0, 1, bins + 1)

    def counted(rows: Bools) -> list[int]:
        values = confidence[rows & ~np.isnan(confidence)]
        return [int(n) for n in np.histogram(values, edges)[0]]

    return Histogram(
        edges=edges.round(6).tolist(),
        right=counted(labelled & right),
        wrong=counted(labelled & ~right),
        unlabelled=counted(~labelled),
    )
