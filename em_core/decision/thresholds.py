"""Thresholds of a policy out of labelled records: certified where the labels allow it, a stated estimate where they do not."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from em_core.decision.calibration import Calibration
from em_core.decision.certify import Claim, certify, estimate_threshold, labels_for_promise
from em_core.decision.costs import CostReport, cheapest, report_costs
from em_core.decision.labelled import Labelled
from em_core.decision.policy import DecisionPolicy, Evidence, PolicySettings, Promise, PromiseKind, Thresholds
from em_core.evaluation.intervals import upper_bound

_OWN = "the user's labels"
_UNSEEN_REVIEW = 0.5  # review from here where no known record says better
_FEW = 30  # so many labels say how frequent errors are; with fewer all records are asked


def fit_policy(
    labelled: Labelled,
    settings: PolicySettings,
    rungs: Mapping[str, Evidence],
    calibration: Calibration,
    labels_from: str,
    drawn: int,
    given: Mapping[str, int],
) -> DecisionPolicy:
    """The policy from held-out records.

    `drawn` counts all training records and `given` all the user's labels by source system, those that scorer and Ditto learn from
    included: whoever needs more labels must bring more of all.
    """
    common = _common(labelled, settings, labels_from, drawn, sum(given.values()))
    policy = DecisionPolicy(
        **dict(common), settings=settings, rungs=dict(rungs), labels_from=labels_from, calibration=calibration
    )
    if settings.choose_by == "precision":
        for system in np.unique(labelled.system[labelled.own].astype(str)):
            mine = labelled.only(labelled.own & (labelled.system == system))
            own = _of_source(mine, common, settings, given[system])
            if own is not None:
                policy.sources[str(system)] = own
    return policy


def report_policy_costs(labelled: Labelled, policy: DecisionPolicy) -> CostReport | None:
    """What the policy's common thresholds cost on the judged records; None without `costs` or such records."""
    settings, judged = policy.settings, labelled.only(labelled.judged)
    if settings.costs is None or not len(judged.right):
        return None
    # With certified_only the certificate, not the cost, may have set the threshold.
    by_cost = settings.choose_by == "cost" and not settings.certified_only
    return report_costs(judged, settings.costs, policy.auto_threshold, policy.review_threshold, by_cost)


def _common(labelled: Labelled, settings: PolicySettings, labels_from: str, drawn: int, given: int) -> Thresholds:
    promise, evidence = _promise(labelled, settings, labels_from, drawn, given)
    if settings.choose_by == "cost":
        return _by_cost(labelled, settings, promise, labels_from)
    auto = promise.threshold if promise.certified or not settings.certified_only else None
    return Thresholds(
        auto_threshold=auto,
        review_threshold=review_threshold(labelled, settings.max_missed, auto),
        auto_evidence=evidence,
        promise=promise,
    )


def _promise(
    labelled: Labelled, settings: PolicySettings, labels_from: str, drawn: int, given: int
) -> tuple[Promise, Evidence]:
    """The best promise and its evidence: of the user's labels alone, else of all records in the same test, else an estimate."""
    standing = labelled.only(labelled.stands)
    own = standing.only(standing.own)
    estimate = estimate_threshold(standing.confidence, standing.right, settings.precision)
    proven = certify(own.confidence, own.right, settings.precision, settings.certainty, settings.weaker)
    claim = _pick(proven.claims, settings.precision, estimate)
    if claim is not None and claim.precision >= settings.precision:
        return _stand(own, "certified", claim.threshold, claim.precision, _OWN, None, settings)
    tested = (
        proven
        if standing.own.all()
        else certify(standing.confidence, standing.right, settings.precision, settings.certainty, settings.weaker)
    )
    basis, test, total = (own, proven, given) if len(own.right) >= _FEW else (standing, tested, drawn)
    sets = list(test.looked_at)
    if estimate is not None:
        taken = basis.right[basis.accepted(estimate)]
        sets.append((len(taken), int((~taken).sum())))
    needed = labels_for_promise(sets, total, settings.precision, test.certainty)
    more = None if needed is None else _about(max(1, needed - given))
    if claim is not None:
        return _stand(own, "weaker", claim.threshold, claim.precision, _OWN, more, settings)
    kept = [c for c in tested.claims if c.precision >= settings.precision]
    if tested is not proven and kept:
        claim = kept[-1]
        return _stand(standing, "simulated", claim.threshold, claim.precision, labels_from, more, settings)
    kind: PromiseKind = "none" if estimate is None else "estimated"
    return _stand(standing, kind, estimate, None, labels_from, more, settings)


def _about(count: int) -> int:
    """Two digits of a count, rounded up: more would be pretence."""
    unit = 10 ** max(0, len(str(count)) - 2)
    return -(-count // unit) * unit


def _pick(claims: Sequence[Claim], precision: float, estimate: float | None) -> Claim | None:
    """The laxest claim of the precision asked for, else of the strongest weaker one that accepts no more than the estimate would.

    A weaker promise says less about the matches; it is no licence to make more of them.
    """
    full = [claim for claim in claims if claim.precision >= precision]
    if not full and estimate is not None:
        claims = [claim for claim in claims if claim.threshold >= estimate]
    return max(full or claims, key=lambda claim: (claim.precision, claim.accepted), default=None)


def _stand(
    records: Labelled,
    kind: PromiseKind,
    threshold: float | None,
    precision: float | None,
    labels_from: str,
    more: int | None,
    settings: PolicySettings,
) -> tuple[Promise, Evidence]:
    promise = Promise(kind=kind, precision=precision, threshold=threshold, labels_from=labels_from, more_labels=more)
    return promise, Evidence.of(records.right[records.accepted(threshold)], settings.certainty)


def _by_cost(labelled: Labelled, settings: PolicySettings, promise: Promise, labels_from: str) -> Thresholds:
    """The cheapest thresholds; with `certified_only` never laxer than what is certified."""
    if settings.costs is None:
        raise ValueError("thresholds by cost need costs")
    mine = labelled.only(labelled.judged)
    auto, review = cheapest(mine, settings.costs)
    if settings.certified_only and auto is not None:
        auto = max(auto, promise.threshold) if promise.certified and promise.threshold is not None else None
    certified = promise.certified and auto is not None and auto == promise.threshold
    return Thresholds(
        auto_threshold=auto,
        review_threshold=review,
        auto_evidence=Evidence.of(mine.right[mine.accepted(auto)], settings.certainty),
        promise=Promise(
            kind="cost",
            precision=promise.precision if certified else None,
            threshold=auto,
            labels_from=labels_from,
        ),
    )


def _of_source(mine: Labelled, common: Thresholds, settings: PolicySettings, given: int) -> Thresholds | None:
    """Thresholds of one source system from its own labels, None where the common ones serve.

    It gets its own if its labels certify the precision asked for, or if they prove that the common threshold breaks the promise on its
    records: then a stricter one, or none.
    """
    standing = mine.only(mine.stands)
    if len(standing.right) < settings.source_labels:
        return None
    promise, evidence = _promise(mine, settings, _OWN, given, given)
    auto = promise.threshold
    if promise.kind != "certified":
        taken = standing.right[standing.accepted(common.auto_threshold)]
        if not len(taken) or upper_bound(taken.sum(), len(taken), settings.certainty) >= settings.precision:
            return None
        stricter = auto is not None and common.auto_threshold is not None and auto > common.auto_threshold
        if not stricter:
            promise, evidence = _stand(mine, "none", None, None, _OWN, promise.more_labels, settings)
        auto = promise.threshold if promise.certified or not settings.certified_only else None
    return Thresholds(
        auto_threshold=auto,
        review_threshold=review_threshold(mine, settings.max_missed, auto),
        auto_evidence=evidence,
        promise=promise,
    )


def review_threshold(labelled: Labelled, max_missed: float, auto: float | None) -> float:
    """The confidence from which at most `max_missed` of all known records, those of the exact stage included, lose their right candidate.

    Never above the automatic threshold.
    """
    found = np.sort(labelled.confidence[labelled.judged & labelled.right & labelled.known])
    missed = int(max_missed * max(1, int(labelled.known.sum())))
    review = float(found[min(missed, len(found) - 1)]) if len(found) else _UNSEEN_REVIEW
    return review if auto is None else min(review, auto)
