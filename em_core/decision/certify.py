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

    `starts`: (accepted, errors) where walks began, `certainty` the one that each start had to show by itself.
    """

    claims: tuple[Claim, ...]
    starts: tuple[tuple[int, int], ...]
    certainty: float


def certify(
    confidence: np.ndarray, right: np.ndarray, precision: float, certainty: float, weaker: Sequence[float] = ()
) -> Certificate:
    """Thresholds on `confidence` (n,) that keep `precision` on labels `right` (n,) bool, for sure but for 1 - `certainty`.

    Fixed-sequence testing (Learn then Test, Angelopoulos et al., 2021): the sets of accepted records grow step by step, and the walk
    ends at the first whose Clopper-Pearson lower bound is below `precision`. It has several starts that share the error budget equally;
    a walk that gets as far as the next start goes on with both shares (the fallback procedure of Wiens and Dmitrienko, Journal of
    Biopharmaceutical Statistics 15(6), 2005). At a start each of the `weaker` precisions is tested too, which costs nothing: the
    statements about one set are nested. Steps and starts follow from the number of labels and from which confidences are equal, never
    from `right`. With too few labels for `precision` the walk is made for the strongest of `weaker` that they can certify.

    The bound holds for the mean precision of the accepted confidences, whether or not all of them are right equally often (Hoeffding,
    Annals of Mathematical Statistics 27, 1956; for a `certainty` above 3/4). Labels must be independent of each other. Records of equal
    confidence are accepted together.
    """
    blocks = accepted_sets(confidence, right)
    budget = 1 - certainty
    for wanted in (precision, *sorted((p for p in weaker if p < precision), reverse=True)):
        starts, steps = _plan(blocks.accepted, wanted, budget)
        if len(starts):
            return _walk(blocks, starts, steps, [wanted, *(p for p in weaker if p < wanted)], budget)
    return Certificate((), (), certainty)


def _plan(accepted: np.ndarray, precision: float, budget: float) -> tuple[np.ndarray, np.ndarray]:
    """(starts, steps): positions in `accepted`, the sizes of the growing accepted sets. A start may stand there more than once."""
    starts, steps = _sizes(int(accepted[-1]) if len(accepted) else 0, precision, budget)
    at = np.searchsorted(accepted, starts)
    return at, np.unique(np.r_[at, np.searchsorted(accepted, steps)])


@lru_cache(maxsize=64)
def _sizes(total: int, precision: float, budget: float) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Accepted labels at the starts and at the steps of walks over `total` labels; none if so few cannot pass."""
    for count in range(len(_START_ERRORS), 0, -1):
        starts = labels_needed(_START_ERRORS[:count], precision, 1 - budget / count)
        if starts[-1] <= total:
            break
    else:
        return (), ()
    # Between two of these sizes no further error is allowed: there a larger set is only harder to pass.
    errors = np.arange(min(_MOST_ERRORS, int(total * (1 - precision))) + 1)
    steps = [int(starts[0])]
    for size in labels_needed(errors, precision, 1 - budget / count).tolist():
        if _STEP * steps[-1] <= size < total:
            steps.append(size)
    return tuple(starts.tolist()), (*steps, total)


def _walk(
    blocks: Blocks, starts: np.ndarray, steps: np.ndarray, precisions: Sequence[float], budget: float
) -> Certificate:
    share = budget / len(starts)
    accepted, errors = blocks.accepted[steps], (blocks.accepted - blocks.right)[steps]
    # Chance of so few errors if the precision were just too low: below the level exactly where the lower bound passes.
    chance = np.stack([binom.cdf(errors, accepted, 1 - p) for p in precisions], axis=1)
    own = share * (starts[:, None] == steps).sum(axis=0)
    claims, level = [], 0.0
    for step, added in enumerate(own.tolist()):
        level += added
        passed = chance[step] <= level
        shown = int(np.argmax(passed)) if level > 0 and passed.any() else None
        if shown is not None and (shown == 0 or added):
            claims.append(
                Claim(float(blocks.threshold[steps[step]]), precisions[shown], int(accepted[step]), int(errors[step]))
            )
        if shown != 0:
            level = 0.0
    first = np.isin(steps, starts)
    return Certificate(
        tuple(claims), tuple(zip(accepted[first].tolist(), errors[first].tolist(), strict=True)), 1 - share
    )


def estimate_threshold(confidence: np.ndarray, right: np.ndarray, precision: float) -> float | None:
    """The lowest threshold whose accepted labels keep `precision`: a point estimate, chosen on the labels that it counts.

    None if there is none. Records of equal confidence are accepted together.
    """
    blocks = accepted_sets(confidence, right)
    keeps = np.flatnonzero(blocks.right >= precision * blocks.accepted)
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
