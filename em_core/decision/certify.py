"""Which thresholds keep a promised precision for sure: a walk from strict to lax over labelled records, with a shared error budget."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from scipy.stats import binom

from em_core.evaluation.curves import Blocks, accepted_sets
from em_core.evaluation.intervals import labels_needed

# A walk may begin where the bound can pass with 0, 1, 3, 7 ... errors: one wrong label then ends one walk, not all of them.
_START_ERRORS = np.array([0, 1, 3, 7, 15, 31])
# A run-up to the first start, at a weaker precision that allows this many times the errors: where the walk has any chance, it passes.
# It begins where this many errors may be among the labels, and its sets grow by this share.
_EASIER, _RUN_UP_ERRORS, _RUN_UP_STEP = 4, 2, 1.2
# The walk's steps grow by this share at least: more steps are more chances to stumble and hardly more records.
_STEP = 1.02
# Errors that the walk's steps tell apart, and those up to which a number of labels is worth telling.
_MOST_ERRORS, _TOLD_ERRORS = 5_000, 1_000


@dataclass(frozen=True)
class Claim:
    """From `threshold` on, `precision` is kept: the labels at or above it are `accepted`, `errors` of them wrong."""

    threshold: float
    precision: float
    accepted: int
    errors: int


@dataclass(frozen=True)
class Certificate:
    """All claims hold together with the certainty asked for, so any of them may be picked by any rule.

    `looked_at`: (accepted, errors) at the starts and on the way to the first, `certainty` the one that a start had to show by itself.
    """

    claims: tuple[Claim, ...]
    looked_at: tuple[tuple[int, int], ...]
    certainty: float


def certify(
    confidence: np.ndarray, right: np.ndarray, precision: float, certainty: float, weaker: Sequence[float] = ()
) -> Certificate:
    """Thresholds on `confidence` (n,) that keep `precision` on labels `right` (n,) bool, for sure but for 1 - `certainty`.

    Fixed-sequence testing (Learn then Test, Angelopoulos et al., 2021): the sets of accepted records grow step by step, and the walk
    ends at the first whose Clopper-Pearson lower bound is below `precision`. It has several starts that share the error budget equally;
    a walk that gets as far as the next start goes on with both shares (the fallback procedure of Wiens and Dmitrienko, Journal of
    Biopharmaceutical Statistics 15(6), 2005). At a start each of the `weaker` precisions is tested too, which costs nothing: the
    statements about one set are nested. A run-up of smaller sets at one weaker precision comes before the first start. Steps and
    starts follow from the number of labels and from which confidences are equal, never from `right`. With too few labels for
    `precision` the walk is made for the strongest of `weaker` that they can certify.

    The bound holds for the mean precision of the accepted confidences, whether or not all of them are right equally often (Hoeffding,
    Annals of Mathematical Statistics 27, 1956; for a `certainty` above 3/4). Labels must be independent of each other. Records of equal
    confidence are accepted together.
    """
    blocks = accepted_sets(confidence, right)
    total, budget = int(blocks.accepted[-1]) if len(blocks.accepted) else 0, 1 - certainty
    for wanted in (precision, *sorted((p for p in weaker if p < precision), reverse=True)):
        easier = [p for p in weaker if p < wanted]
        plan = _plan(total, wanted, max((p for p in easier if 1 - p >= _EASIER * (1 - wanted)), default=None), budget)
        if plan is not None:
            return _walk(blocks, plan, [wanted, *sorted(easier, reverse=True)], budget)
    return Certificate((), (), certainty)


@dataclass(frozen=True)
class _Plan:
    """Sizes of accepted sets: of the `run_up` at the precision `easier`, of the `starts`, and of all `steps` from the first start on."""

    run_up: tuple[int, ...]
    easier: float | None
    starts: tuple[int, ...]
    steps: tuple[int, ...]


@lru_cache(maxsize=64)
def _plan(total: int, precision: float, easier: float | None, budget: float) -> _Plan | None:
    """How to walk over `total` labels; None if so few cannot pass."""
    for count in range(len(_START_ERRORS), 0, -1):
        starts = labels_needed(_START_ERRORS[:count], precision, 1 - budget / count)
        if starts[-1] <= total:
            break
    else:
        return None
    # Between two of these sizes no further error is allowed: there a larger set is only harder to pass.
    errors = np.arange(min(_MOST_ERRORS, int(total * (1 - precision))) + 1)
    steps, run_up = [int(starts[0])], []
    for size in labels_needed(errors, precision, 1 - budget / count).tolist():
        if _STEP * steps[-1] <= size < total:
            steps.append(size)
    if easier is not None:
        size = labels_needed(_RUN_UP_ERRORS, easier, 1 - budget / count)
        while size < starts[0]:
            run_up.append(size)
            size = int(np.ceil(_RUN_UP_STEP * size))
    return _Plan(tuple(run_up), easier, tuple(starts.tolist()), (*steps, total))


def _walk(blocks: Blocks, plan: _Plan, precisions: Sequence[float], budget: float) -> Certificate:
    starts = np.searchsorted(blocks.accepted, plan.starts)
    run_up = np.unique(np.searchsorted(blocks.accepted, plan.run_up))
    run_up = run_up[run_up < starts[0]]
    steps = np.r_[run_up, np.unique(np.r_[starts, np.searchsorted(blocks.accepted, plan.steps)])]
    accepted, errors = blocks.accepted[steps], (blocks.accepted - blocks.right)[steps]
    # Chance of so few errors if the precision were just too low: within the level exactly where the lower bound passes.
    chance = np.stack([binom.cdf(errors, accepted, 1 - p) for p in precisions], axis=1)
    share = budget / len(starts)
    added = share * (starts[:, None] == steps).sum(axis=0)
    if len(run_up):
        # The first start's share goes through the run-up, which is easy to pass where the walk itself has any chance.
        added[len(run_up)] -= share
        added[0] += share
    claims, level = [], 0.0
    for step, more in enumerate(added.tolist()):
        level += more
        on_the_way = step < len(run_up)
        needed = precisions.index(plan.easier) if on_the_way and plan.easier is not None else 0
        # Elsewhere than at a start only the precision that carries the walk is tested.
        tested = [needed] if on_the_way or steps[step] not in starts else range(len(precisions))
        shown = next((p for p in tested if level > 0 and chance[step, p] <= level), None)
        if shown is not None:
            claims.append(
                Claim(float(blocks.threshold[steps[step]]), precisions[shown], int(accepted[step]), int(errors[step]))
            )
        if shown != needed:
            level = 0.0
    sets = np.isin(steps, np.r_[run_up, starts])
    return Certificate(
        tuple(claims), tuple(zip(accepted[sets].tolist(), errors[sets].tolist(), strict=True)), 1 - share
    )


def estimate_threshold(confidence: np.ndarray, right: np.ndarray, precision: float) -> float | None:
    """The lowest threshold whose accepted labels keep `precision`: a point estimate, chosen on the labels that it counts.

    None if there is none. Records of equal confidence are accepted together.
    """
    blocks = accepted_sets(confidence, right)
    keeps = np.flatnonzero(blocks.right / blocks.accepted >= precision)
    return float(blocks.threshold[keeps[-1]]) if len(keeps) else None


def labels_for_promise(sets: Sequence[tuple[int, int]], records: int, precision: float, certainty: float) -> int | None:
    """About how many records like these `records` would certify `precision`, were errors as frequent as in one of the `sets`.

    `sets`: (accepted, errors) out of `records`; the set that needs fewest counts. None if errors are too frequent in all of them, or so
    nearly that more than a thousand must be met.
    """
    errors, needed = np.arange(_TOLD_ERRORS), _needed(precision, certainty)
    found = []
    for accepted, wrong in sets:
        enough = wrong * needed <= errors * accepted
        if accepted and enough.any():
            found.append(int(np.ceil(needed[np.argmax(enough)] * records / accepted)))
    return min(found, default=None)


@lru_cache(maxsize=64)
def _needed(precision: float, certainty: float) -> np.ndarray:
    """Labels needed for 0, 1, 2 ... errors."""
    return labels_needed(np.arange(_TOLD_ERRORS), precision, certainty)
