"""From scored candidates and exact hits to exactly one decision for every record."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from em_core.decision.calibration import Calibration
from em_core.decision.exact import ExactHits
from em_core.decision.policy import DecisionPolicy


@dataclass(frozen=True)
class Ranked:
    """Best and second candidate of n records: row positions in the candidate table (-1 = none) and probabilities (0 = none)."""

    best: np.ndarray
    second: np.ndarray
    confidence: np.ndarray
    runner_up: np.ndarray

    def calibrated(self, calibration: Calibration) -> Ranked:
        """The same ranks with calibrated probabilities."""
        return replace(self, confidence=calibration(self.confidence), runner_up=calibration(self.runner_up))


def rank(candidates: pd.DataFrame, probability: np.ndarray, n: int) -> Ranked:
    """The two most probable candidates of each of n records; ties go to the better retrieval rank."""
    query = candidates["query"].to_numpy()
    order = np.lexsort((candidates["rank"].to_numpy(), -probability, query))
    starts = np.searchsorted(query[order], np.arange(n))
    ends = np.searchsorted(query[order], np.arange(n), side="right")
    padded = np.r_[order, -1] if len(order) else np.array([-1])
    last = len(padded) - 1
    best = np.where(ends - starts > 0, padded[np.minimum(starts, last)], -1)
    second = np.where(ends - starts > 1, padded[np.minimum(starts + 1, last)], -1)
    values = np.r_[probability, 0.0]
    return Ranked(best, second, values[best], values[second])


def _probability_of(
    candidates: pd.DataFrame, probability: np.ndarray, rows: np.ndarray, entity: np.ndarray
) -> np.ndarray:
    """(len(rows),) probability of the pair of record and entity, NaN where retrieval did not propose it."""
    found = pd.DataFrame({"query": candidates["query"], "entity": candidates["entity"], "p": probability})
    wanted = pd.DataFrame({"query": rows, "entity": entity})
    return wanted.merge(found, on=["query", "entity"], how="left")["p"].to_numpy(dtype=np.float64)


def may_match(ranked: Ranked, identifier: np.ndarray, tie: float) -> np.ndarray:
    """(n,) bool: the best candidate stands alone and no valid identifier speaks against it.

    `identifier` (p,) is the pair feature `same_identifier`.
    """
    values = np.r_[identifier, np.nan]
    return (ranked.best >= 0) & (ranked.confidence - ranked.runner_up >= tie) & ~(values[ranked.best] == 0)


@dataclass(frozen=True)
class Decisions:
    """One outcome for each of n records; positions are of reference entities, -1 = none.

    `auto_from`, `review_from`: the thresholds that hold for the record's source system, `auto_from` infinite = never.
    """

    decision: np.ndarray
    stage: np.ndarray
    method: np.ndarray
    entity: np.ndarray
    runner_up: np.ndarray
    confidence: np.ndarray
    margin: np.ndarray
    auto_from: np.ndarray
    review_from: np.ndarray


def decide(
    policy: DecisionPolicy,
    hits: ExactHits,
    candidates: pd.DataFrame,
    probability: np.ndarray,
    ditto: np.ndarray,
    identifier: np.ndarray,
    bad_input: np.ndarray,
    system: np.ndarray | None = None,
) -> Decisions:
    """Decide n records.

    `hits` of the exact stage (n); `candidates` with `query`, `entity`, `rank` (p), their `probability`, Ditto's probability
    (NaN where the pair was not sent) and `same_identifier` feature; `bad_input` (n,) marks records without a usable name;
    `system` (n,) the source system, without which the common thresholds hold.
    Models' probabilities come as they are: `tie` is held against them, `confidence`, `margin` and thresholds are calibrated.
    `confidence` is NaN where no estimate exists: a conflict whose entity retrieval did not propose.
    """
    n = len(bad_input)
    entities = np.r_[candidates["entity"].to_numpy(), -1]
    ranked = rank(candidates, probability, n)
    best, second = entities[ranked.best], entities[ranked.second]
    by_ditto = ~np.isnan(np.r_[ditto, np.nan][ranked.best])
    stands = may_match(ranked, identifier, policy.settings.tie)
    close = ranked.confidence - ranked.runner_up < policy.settings.tie
    clash = np.r_[identifier, np.nan][ranked.best] == 0

    ranked = ranked.calibrated(policy.calibration)
    auto_from, review_from = policy.thresholds_of(np.full(n, "", dtype=object) if system is None else system)
    found = ranked.best >= 0
    # A few ulp of a model evaluated on another batch must not flip a decision at the threshold.
    reviewed = found & (ranked.confidence >= review_from - 1e-9)
    auto = stands & (ranked.confidence >= auto_from - 1e-9)
    tied = reviewed & close

    decision = np.select([auto, reviewed], ["auto_match", "review"], "no_match").astype(object)
    stage = np.select([~found, by_ditto], ["none", "ditto"], "scorer").astype(object)
    model = np.where(by_ditto, "DITTO", "SCORER")
    method = np.select(
        [~found, auto, tied, reviewed & clash, reviewed],
        ["NO_CANDIDATE", model, "AMBIGUOUS", "CONFLICT", "NEAR_MISS"],
        "BELOW_THRESHOLD",
    ).astype(object)
    entity = np.where(reviewed | auto, best, -1)
    runner_up = np.where(reviewed | auto, second, -1)
    confidence, margin = ranked.confidence.astype(np.float64), (ranked.confidence - ranked.runner_up).astype(np.float64)

    rung, sure = hits.first(policy.automatic_rungs())
    exact = rung != ""
    expected = {code: evidence.expected for code, evidence in policy.rungs.items()}
    confidence[exact] = [expected[code] for code in rung[exact]]
    margin[exact], runner_up[exact] = confidence[exact], -1
    decision[exact], stage[exact], method[exact], entity[exact] = "auto_match", "exact", rung[exact], sure[exact]

    open_hit = np.isin(hits.state, ["conflict", "ambiguous"])
    rows = np.flatnonzero(open_hit)
    calibrated = policy.calibration(probability)
    confidence[rows] = _probability_of(candidates, calibrated, rows, hits.entity[rows])
    other = _probability_of(candidates, calibrated, rows, hits.other[rows])
    margin[rows] = confidence[rows] - np.nan_to_num(other)
    decision[open_hit], stage[open_hit] = "review", "exact"
    method[open_hit] = np.where(hits.state[open_hit] == "conflict", "CONFLICT", "AMBIGUOUS")
    entity[open_hit], runner_up[open_hit] = hits.entity[open_hit], hits.other[open_hit]

    # Without a name nothing confirms an identifier: it is shown to a steward, never accepted.
    suggested = bad_input & (hits.entity >= 0)
    decision[bad_input], stage[bad_input], method[bad_input] = "no_match", "none", "BAD_INPUT"
    decision[suggested], stage[suggested] = "review", "exact"
    entity[bad_input], runner_up[bad_input] = hits.entity[bad_input], hits.other[bad_input]
    confidence[bad_input], margin[bad_input] = np.where(suggested[bad_input], np.nan, 0.0), np.nan
    return Decisions(decision, stage, method, entity, runner_up, confidence, margin, auto_from, review_from)


def with_same_group(decisions: Decisions, ties: np.ndarray) -> Decisions:
    """Name the reviews whose suggestion and runner-up are members of one group: right group, maybe the wrong entity.

    `ties` (n,): see `em_core.decision.groups.group_ties`. Methods change, decisions never do.
    """
    kin = (decisions.decision == "review") & np.isin(decisions.method, ["AMBIGUOUS", "NEAR_MISS"]) & (ties != "")
    return replace(decisions, method=np.where(kin, "SAME_GROUP", decisions.method).astype(object))
