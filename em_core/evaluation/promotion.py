"""Champion and challenger: may a newly fitted matcher replace the one in use?

Both match the same records with known answers. Each record costs what its outcome costs (a wrong match, a review, a miss), and the
difference of the two costs is judged by a paired bootstrap over entities (Efron and Tibshirani, An Introduction to the Bootstrap, 1993,
ch. 16): the challenger must be cheaper outside the interval of that difference, and worse on no source system.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from pydantic import BaseModel, Field

from em_core.evaluation.figures import Costs
from em_core.evaluation.metrics import evaluate
from em_core.schema import TRUTH

_RESAMPLES = 2_000


class GateSettings(BaseModel):
    """When a challenger becomes champion."""

    certainty: float = Field(
        0.95, gt=0.5, lt=1, description="with which the challenger must be cheaper than the champion"
    )
    worse_certainty: float = Field(
        0.8, gt=0.5, lt=1, description="with which a source system must be worse to stop it; lower stops it more easily"
    )
    records: int = Field(300, ge=1, description="fewest records with known answers to compare by")
    system_records: int = Field(30, ge=1, description="fewest records of a source system to judge it by itself")


class Side(BaseModel):
    """How one matcher did: cost of 1,000 records, precision and recall of its automatic matches."""

    version: str
    cost: float
    precision: float | None
    recall: float | None
    wrong: int
    reviewed: int


class Comparison(BaseModel):
    """Difference of the cost of 1,000 records, challenger less champion, with its interval; below 0 the challenger is cheaper."""

    records: int
    difference: float
    low: float
    high: float


class Verdict(BaseModel):
    """Whether the challenger is promoted, why, and the numbers behind it."""

    promote: bool
    reason: str
    champion: Side | None = None
    challenger: Side | None = None
    overall: Comparison | None = None
    systems: dict[str, Comparison] = Field(default_factory=dict)

    def metrics(self) -> dict[str, float]:
        """The numbers as one flat table."""
        out: dict[str, float] = {"promoted": float(self.promote)}
        for name, side in (("champion", self.champion), ("challenger", self.challenger)):
            if side is not None:
                figures = side.model_dump(exclude={"version"}, exclude_none=True)
                out |= {f"{name}_{key}": float(value) for key, value in figures.items()}
        if self.overall is not None:
            out |= {f"difference_{key}": float(value) for key, value in self.overall.model_dump().items()}
        return out


def outcome_costs(results: pd.DataFrame, answers: NDArray[np.object_], costs: Costs) -> NDArray[np.float64]:
    """(n,) what each record's outcome costs. answers (n,): the true entity_id, None = truly none of these."""
    decision = results["decision"].to_numpy(dtype=object)
    given = results["matched_entity_id"].to_numpy(dtype=object)
    known = pd.notna(answers)
    wrong = (decision == "auto_match") & (~known | (given != answers))
    out = np.zeros(len(results))
    out[wrong] = costs.wrong_match
    out[decision == "review"] = costs.review
    out[(decision == "no_match") & known] = costs.miss
    return out


def compare_costs(
    difference: NDArray[np.float64], group: NDArray[np.int64], certainty: float, seed: int = 0
) -> Comparison:
    """Mean difference per 1,000 records with its two-sided bootstrap interval, resampling whole groups (entities)."""
    codes, group = np.unique(group, return_inverse=True)
    sums, sizes = np.bincount(group, difference), np.bincount(group)
    rng, means = np.random.default_rng(seed), np.empty(_RESAMPLES)
    for start in range(0, _RESAMPLES, 100):
        weights = rng.multinomial(len(codes), np.full(len(codes), 1 / len(codes)), size=100)
        means[start : start + 100] = 1000 * (weights @ sums) / (weights @ sizes)
    low, high = np.quantile(means, [(1 - certainty) / 2, (1 + certainty) / 2])
    return Comparison(
        records=len(difference), difference=1000 * float(difference.mean()), low=float(low), high=float(high)
    )


def judge(
    records: pd.DataFrame,
    champion: pd.DataFrame,
    challenger: pd.DataFrame,
    costs: Costs,
    settings: GateSettings,
    seed: int = 0,
) -> Verdict:
    """Compare the results of two matchers on the same records.

    records: source contract plus `entity_id` (None = truly none of these) and `hidden_id`; champion, challenger: their results, same order.
    """
    answers = records["entity_id"].to_numpy(dtype=object)
    sides = [_side(results, records, answers, costs) for results in (champion, challenger)]
    about = {"champion": sides[0], "challenger": sides[1]}
    if len(records) < settings.records:
        return Verdict(
            promote=False, reason=f"only {len(records)} records to compare by; {settings.records} are needed", **about
        )
    difference = outcome_costs(challenger, answers, costs) - outcome_costs(champion, answers, costs)
    key = (
        records["entity_id"]
        .fillna(records["hidden_id"])
        .fillna(records["source_system"] + "\x1f" + records["source_id"])
    )
    group = pd.factorize(key)[0]
    overall = compare_costs(difference, group, settings.certainty, seed)
    systems = {}
    for system, rows in records.groupby("source_system").indices.items():
        if len(rows) >= settings.system_records:
            systems[str(system)] = compare_costs(difference[rows], group[rows], 2 * settings.worse_certainty - 1, seed)
    worse = [name for name, found in systems.items() if found.low > 0]
    words = f"{overall.difference:+.1f} per 1,000 records [{overall.low:+.1f}, {overall.high:+.1f}]"
    promote = overall.high < 0 and not worse
    if promote:
        reason = f"cheaper than the champion beyond chance: {words}"
    elif overall.high >= 0:
        reason = f"not cheaper than the champion beyond chance: {words}"
    else:
        reason = f"cheaper on the whole ({words}) but worse on {', '.join(sorted(worse))}"
    return Verdict(promote=promote, reason=reason, overall=overall, systems=systems, **about)


def _side(results: pd.DataFrame, records: pd.DataFrame, answers: NDArray[np.object_], costs: Costs) -> Side:
    truth = records.reindex(columns=list(TRUTH.columns)).assign(entity_id=answers)
    found = evaluate(results, truth, costs=costs)
    return Side(
        version=", ".join(sorted(set(results["matcher_version"]))),
        cost=1000 * float(outcome_costs(results, answers, costs).mean()),
        precision=found.precision.value,
        recall=found.recall.value,
        wrong=found.precision.total - found.precision.hits,
        reviewed=int((results["decision"] == "review").sum()),
    )
