"""The one engine: exact -> retrieve -> score -> decide. Batch, API, Spark and Dagster all call it.

A matcher is a versioned folder: candidate index, Ditto's weights (or none), scorer, policy and a manifest that says how each was
made. `em_core.fit` makes one; this module opens it and matches.
"""

from __future__ import annotations

import hashlib
import json
import logging
import shutil
import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from tqdm import tqdm

from em_core.decision.decide import decide
from em_core.decision.exact import ExactHits, ExactStage
from em_core.decision.explain import evidence, reasons
from em_core.decision.features import PairFeatures
from em_core.decision.policy import DecisionPolicy
from em_core.decision.scorer import Scorer, ScorerSettings
from em_core.ditto.serialise import serialise
from em_core.retrieval.folder import MANIFEST, check_manifest, digest
from em_core.retrieval.index import CandidateIndex
from em_core.schema import RESULT
from em_core.text.profile import profile

if TYPE_CHECKING:
    from em_core.ditto.predict import DittoModel

log = logging.getLogger(__name__)
_FORMAT = 3
_CHUNK = 4096


@dataclass
class Timings:
    """Seconds by stage, and how many pairs went to Ditto."""

    seconds: dict[str, float] = field(default_factory=dict)
    pairs: int = 0
    ditto_pairs: int = 0

    def add(self, stage: str, since: float) -> None:
        """Add the time since `since` (a `time.perf_counter` reading) to `stage`."""
        self.seconds[stage] = self.seconds.get(stage, 0.0) + time.perf_counter() - since


@dataclass
class Scored:
    """Candidates of some records with everything the models said of them; `query` is a position in `records`."""

    records: pd.DataFrame
    hits: ExactHits
    candidates: pd.DataFrame
    features: pd.DataFrame
    pair: np.ndarray
    ditto: np.ndarray


class Engine:
    """Index, pair features, exact stage and Ditto of one reference: the parts that training and matching share."""

    def __init__(self, index: CandidateIndex, ditto: DittoModel | None) -> None:
        self.index = index
        self.ditto = ditto
        self.features = PairFeatures(index.profile)
        self.exact = ExactStage.build(index.profile, index.reference["aliases"])

    def candidates(
        self, records: pd.DataFrame, hidden: np.ndarray | None, wanted: np.ndarray, timings: Timings
    ) -> tuple[pd.DataFrame, pd.DataFrame]:
        """Candidates and pair features of the records that are `wanted` (n,) bool; `query` is a position in `records`."""
        rows = np.flatnonzero(wanted)
        start = time.perf_counter()
        found = self.index.search(records.iloc[rows], None if hidden is None else hidden[rows])
        found["query"] = rows[found["query"].to_numpy()]
        timings.add("retrieve", start)
        start = time.perf_counter()
        features = self.features(records, found)
        timings.add("features", start)
        timings.pairs += len(found)
        return found, features

    def ask_ditto(
        self, source: pd.DataFrame, candidates: pd.DataFrame, chosen: np.ndarray, timings: Timings
    ) -> np.ndarray:
        """(p,) Ditto's probability of the `chosen` (p,) pairs, NaN elsewhere and everywhere without Ditto."""
        out = np.full(len(candidates), np.nan)
        if self.ditto is None or not chosen.any():
            return out
        start = time.perf_counter()
        attributes = self.ditto.attributes
        left = serialise(source.iloc[candidates["query"].to_numpy()[chosen]], attributes)
        right = serialise(self.index.reference.iloc[candidates["entity"].to_numpy()[chosen]], attributes)
        out[chosen] = self.ditto.predict(left, right, part="encoder")
        timings.ditto_pairs += int(chosen.sum())
        timings.add("ditto", start)
        return out


@dataclass
class Matcher:
    """A fitted matcher. `match` turns source records into decisions."""

    engine: Engine
    scorer: Scorer
    policy: DecisionPolicy
    manifest: dict[str, Any]
    folder: Path | None = None

    @property
    def version(self) -> str:
        """Digest of everything that can change a decision."""
        return str(self.manifest["matcher_version"])

    @property
    def reference_version(self) -> str:
        """Digest of the reference that the index holds."""
        return self.engine.index.version

    def match(
        self, source: pd.DataFrame, *, run_id: str | None = None, progress: bool = False, timings: Timings | None = None
    ) -> pd.DataFrame:
        """One result row (see `em_core.schema.RESULT`) for each row of a prepared source table, in the same order.

        Works through the records in chunks; a record's result does not depend on the records beside it.
        """
        timings = timings or Timings()
        run_id = run_id or uuid.uuid4().hex
        parts = list(self._chunks(source, run_id, progress, timings))
        return pd.concat(parts, ignore_index=True)

    def _chunks(self, source: pd.DataFrame, run_id: str, progress: bool, timings: Timings) -> Iterator[pd.DataFrame]:
        with tqdm(total=len(source), desc="matching", unit="record", disable=not progress) as bar:
            for start in range(0, len(source), _CHUNK):
                chunk = source.iloc[start : start + _CHUNK].reset_index(drop=True)
                yield self._match(chunk, run_id, timings)
                bar.update(len(chunk))

    def _match(self, source: pd.DataFrame, run_id: str, timings: Timings) -> pd.DataFrame:
        start = time.perf_counter()
        records = profile(source)
        hits = self.engine.exact(records)
        bad_input = (records["full"] == "").to_numpy()
        done = hits.first(self.policy.automatic_rungs())[0] != ""
        timings.add("exact", start)
        candidates, features = self.engine.candidates(records, None, ~done & ~bad_input, timings)
        start = time.perf_counter()
        query = candidates["query"].to_numpy()
        pair = self.scorer.pair_probability(features)
        timings.add("score", start)
        ditto = self.engine.ask_ditto(source, candidates, self.scorer.open_pairs(query, pair), timings)
        start = time.perf_counter()
        probability = self.scorer.probability(features, query, pair, ditto)
        timings.add("score", start)
        start = time.perf_counter()
        identifier = features["same_identifier"].to_numpy()
        system = source["source_system"].to_numpy(dtype=object)
        decisions = decide(self.policy, hits, candidates, probability, ditto, identifier, bad_input, system)
        reference = self.engine.index.reference
        nearest = decisions.entity.copy()
        if len(candidates):
            order = np.lexsort((candidates["rank"].to_numpy(), -probability, query))
            rows, first = np.unique(query[order], return_index=True)
            best = candidates["entity"].to_numpy()[order[first]]
            nearest[rows] = np.where(nearest[rows] < 0, best, nearest[rows])
        ids = np.array([*reference["entity_id"], None], dtype=object)
        names = np.array([*reference["name"], None], dtype=object)
        results = pd.DataFrame(
            {
                "source_system": source["source_system"],
                "source_id": source["source_id"],
                "matched_entity_id": ids[decisions.entity],
                "matched_name": names[decisions.entity],
                "decision": decisions.decision,
                "confidence": decisions.confidence,
                "stage": decisions.stage,
                "method": decisions.method,
                "reason": reasons(reference, decisions, hits, self.policy, nearest),
                "runner_up_id": ids[decisions.runner_up],
                "margin": decisions.margin,
                "evidence": evidence(records, reference, self.engine.exact, hits, decisions, nearest),
                "run_id": run_id,
                "matcher_version": self.version,
                "reference_version": self.reference_version,
                "matched_at": datetime.now(UTC),
            },
            columns=list(RESULT.columns),
        )
        timings.add("decide", start)
        return results

    @classmethod
    def load(cls, folder: Path | str) -> Matcher:
        """Open a matcher folder. Raises `UserError` if it is half-written, changed or of another format."""
        folder = Path(folder)
        manifest = check_manifest(folder, _FORMAT)
        ditto = None
        if manifest["ditto"]:
            from em_core.ditto.predict import DittoModel

            ditto = DittoModel.load(folder / "ditto")
        engine = Engine(CandidateIndex.load(folder / "index"), ditto)
        scorer = Scorer.load(folder, ScorerSettings(**manifest["settings"]["scorer"]))
        return cls(engine, scorer, DecisionPolicy(**manifest["policy"]), manifest, folder)


def matcher_version(folder: Path) -> str | None:
    """Version of the matcher in a folder without opening it, None where there is none. See `Matcher.load` for one that can be trusted."""
    path = Path(folder) / MANIFEST
    return json.loads(path.read_text(encoding="utf-8")).get("matcher_version") if path.is_file() else None


def write_matcher(
    folder: Path, engine: Engine, scorer: Scorer, policy: DecisionPolicy, about: dict[str, Any], ditto: Path | None
) -> str:
    """Fill an empty matcher folder, the manifest last, and return its version. `ditto` is the folder that `train_ditto` wrote."""
    engine.index.save(folder / "index")
    if ditto is not None:
        shutil.copytree(ditto, folder / "ditto")
    scorer.save(folder)
    # The index lists its own files in its manifest, and checks them when it is opened.
    index = folder / "index"
    files = {
        p.relative_to(folder).as_posix(): digest(p)
        for p in sorted(folder.rglob("*"))
        if p.is_file() and (index not in p.parents or p == index / MANIFEST)
    }
    manifest: dict[str, Any] = {
        "format": _FORMAT,
        **about,
        "policy": policy.model_dump(),
        "ditto": ditto is not None,
        "files": files,
    }
    parts = {name: manifest[name] for name in ("inputs", "settings", "policy")}
    manifest["matcher_version"] = hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:12]
    (folder / MANIFEST).write_text(json.dumps(manifest, indent=1, default=str), encoding="utf-8")
    return str(manifest["matcher_version"])
