"""Drift: are decisions and confidences of a run distributed as in the last accepted run of the same source system?

Measured by the population stability index, PSI = sum (p - q) ln(p / q) over the bins of a distribution; below 0.1 is customary for
"stable", above 0.25 for "shifted" (Siddiqi, Credit Risk Scorecards, 2006). Two samples of one distribution have a PSI of about
(1/n + 1/m) times a chi-squared variable (Yurdakul and Naranjo, Journal of Risk Model Validation 14(4), 2020), so small feeds must
exceed chance too. Another fitted model has another yardstick of confidence, so against a baseline of another model the confidences
alone hold nothing back; the decisions still do.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import UTC, datetime

import numpy as np
import pandas as pd
from scipy.stats import chi2

from em_core.schema import DECISIONS
from em_core.storage import TableStore
from em_core.storage.names import PROFILE_TABLE

STABLE, SHIFTED = 0.1, 0.25
CHANCE = 0.999
_CUTS = np.array([0.5, 0.8, 0.9, 0.95, 0.99, 0.999])
_KEY = ("source_system", "run_id")


@dataclass(frozen=True)
class RunProfile:
    """Counts of one source system's records in one run: by decision, and by band of confidence (the last: no confidence)."""

    records: int
    decisions: dict[str, int]
    confidence: list[int]


@dataclass(frozen=True)
class Drift:
    """How far one system is from its last accepted run; 0 and no `baseline` where none was accepted before."""

    system: str
    records: int
    psi_decisions: float
    psi_confidence: float
    chance: float
    baseline: str | None
    same_model: bool = True

    @property
    def psi(self) -> float:
        """The larger index."""
        return max(self.psi_decisions, self.psi_confidence)

    @property
    def shifted(self) -> bool:
        """Beyond custom's limit and beyond chance, in what one model can be held to."""
        held = self.psi if self.same_model else self.psi_decisions
        return held > SHIFTED and held > self.chance

    def in_words(self) -> str:
        """System, index and baseline."""
        return f"{self.system}: stability index {self.psi:.2f} against run {self.baseline}"

    @property
    def unsettled(self) -> bool:
        """Between the limits, beyond chance."""
        return not self.shifted and self.psi > STABLE and self.psi > self.chance


def profile_of(results: pd.DataFrame) -> RunProfile:
    """The profile of some results (result contract)."""
    confidence = results["confidence"].to_numpy(dtype=float)
    given = ~np.isnan(confidence)
    bands = np.bincount(np.searchsorted(_CUTS, confidence[given], side="right"), minlength=len(_CUTS) + 1)
    counts = results["decision"].value_counts()
    return RunProfile(
        len(results), {d: int(counts.get(d, 0)) for d in DECISIONS}, [*bands.tolist(), int((~given).sum())]
    )


def stability(expected: np.ndarray, actual: np.ndarray) -> float:
    """PSI of two (bins,) counts; half a record is added to each bin, so that an empty one is no infinity."""
    p = (np.asarray(expected, dtype=float) + 0.5) / (np.sum(expected) + 0.5 * len(expected))
    q = (np.asarray(actual, dtype=float) + 0.5) / (np.sum(actual) + 0.5 * len(actual))
    return float(np.sum((p - q) * np.log(p / q)))


def chance_limit(expected: int, actual: int, bins: int, certainty: float = CHANCE) -> float:
    """PSI that two samples of one distribution stay below with this certainty."""
    return float((1 / max(1, expected) + 1 / max(1, actual)) * chi2.ppf(certainty, bins - 1))


def compare(
    system: str, now: RunProfile, before: RunProfile | None, baseline: str | None, same_model: bool = True
) -> Drift:
    """The drift of one system from the profile `before` of run `baseline`."""
    if before is None:
        return Drift(system, now.records, 0.0, 0.0, 0.0, None)
    decisions = [np.array([p.decisions[d] for d in DECISIONS]) for p in (before, now)]
    return Drift(
        system,
        now.records,
        stability(*decisions),
        stability(np.array(before.confidence), np.array(now.confidence)),
        chance_limit(before.records, now.records, len(now.confidence)),
        baseline,
        same_model,
    )


def measure_drift(store: TableStore, results: pd.DataFrame, run_id: str) -> list[Drift]:
    """Drift of each source system in `results`; the profiles are stored, accepted unless shifted.

    results: result contract and `model_version`. Measured again for the same run it says the same: a run is never its own baseline.
    """
    known = store.read(PROFILE_TABLE) if store.exists(PROFILE_TABLE) else None
    found, rows = [], []
    for system, part in results.groupby("source_system"):
        now = profile_of(part)
        before, baseline, models_before = _last_accepted(known, str(system), run_id)
        models = ", ".join(sorted(set(part["model_version"])))
        drift = compare(str(system), now, before, baseline, models == models_before)
        found.append(drift)
        rows.append(
            {
                "source_system": str(system),
                "run_id": run_id,
                "records": now.records,
                "decisions": json.dumps(now.decisions),
                "confidence": json.dumps(now.confidence),
                "psi": drift.psi,
                "baseline": drift.baseline,
                "matcher_versions": ", ".join(sorted(set(part["matcher_version"]))),
                "model_versions": models,
                "accepted": "no" if drift.shifted else "yes",
                "measured_at": pd.Timestamp(datetime.now(UTC)),
            }
        )
    if rows:
        store.upsert(PROFILE_TABLE, pd.DataFrame(rows), key=_KEY, ignore=("measured_at",))
    return found


def accept(store: TableStore, run_id: str) -> int:
    """Accept the profiles of a run that was held back, as the baseline of the next; how many source systems that were."""
    if not store.exists(PROFILE_TABLE):
        return 0
    rows = store.read(PROFILE_TABLE, filter={"run_id": run_id})
    held = rows[rows["accepted"] == "no"]
    if len(held):
        store.upsert(PROFILE_TABLE, held.assign(accepted="yes"), key=_KEY)
    return len(held)


def _last_accepted(
    known: pd.DataFrame | None, system: str, run_id: str
) -> tuple[RunProfile | None, str | None, str | None]:
    """Profile, run and models of the baseline."""
    if known is None:
        return None, None, None
    mine = known[(known["source_system"] == system) & (known["accepted"] == "yes") & (known["run_id"] != run_id)]
    if mine.empty:
        return None, None, None
    row = mine.sort_values("measured_at").iloc[-1]
    profile = RunProfile(int(row["records"]), json.loads(row["decisions"]), json.loads(row["confidence"]))
    return profile, str(row["run_id"]), str(row["model_versions"])
