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
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from tqdm import tqdm

from em_core.decision.contributions import Attributor
from em_core.decision.decide import Decisions, decide, with_same_group
from em_core.decision.exact import ExactHits, ExactStage
from em_core.decision.explain import evidence, reasons, short_reasons
from em_core.decision.explanation import Explanation, candidate_table, changed, changes, threshold_of, variants
from em_core.decision.features import PairFeatures
from em_core.decision.groups import group_ties
from em_core.decision.policy import DecisionPolicy
from em_core.decision.scorer import Scorer, ScorerSettings
from em_core.ditto.serialise import serialise
from em_core.errors import UserError
from em_core.files import atomic_folder
from em_core.retrieval.folder import MANIFEST, check_manifest, digest
from em_core.retrieval.index import CandidateIndex
from em_core.retrieval.products import place_in_run
from em_core.schema import ATTRIBUTES, RESULT
from em_core.text.profile import profile

if TYPE_CHECKING:
    from em_core.ditto.late import LateDitto
    from em_core.ditto.predict import DittoModel

log = logging.getLogger(__name__)
_FORMAT = 4
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
    probability: np.ndarray

    @property
    def query(self) -> np.ndarray:
        """(p,) the record of each candidate."""
        return self.candidates["query"].to_numpy()

    @cached_property
    def order(self) -> np.ndarray:
        """(p,) candidates by record, the most probable first; ties go to the better retrieval rank."""
        return np.lexsort((self.candidates["rank"].to_numpy(), -self.probability, self.query))

    def best(self) -> tuple[np.ndarray, np.ndarray]:
        """(records that have candidates, position of each one's best candidate)."""
        rows, first = np.unique(self.query[self.order], return_index=True)
        return rows, self.order[first]


class Engine:
    """Index, pair features, exact stage and Ditto of one reference: the parts that training and matching share."""

    def __init__(self, index: CandidateIndex, ditto: DittoModel | LateDitto | None) -> None:
        self.index = index
        self.ditto = ditto
        self.features = PairFeatures(index.lookups)
        self.exact = ExactStage(index.lookups)

    def search(
        self, records: pd.DataFrame, hidden: np.ndarray | None, wanted: np.ndarray, timings: Timings
    ) -> pd.DataFrame:
        """Candidates of the records that are `wanted` (n,) bool; `query` is a position in `records`."""
        rows = np.flatnonzero(wanted)
        start = time.perf_counter()
        found = self.index.search(records.iloc[rows], None if hidden is None else hidden[rows])
        found["query"] = rows[found["query"].to_numpy()]
        timings.add("retrieve", start)
        return found

    def candidates(
        self, records: pd.DataFrame, hidden: np.ndarray | None, wanted: np.ndarray, timings: Timings
    ) -> tuple[pd.DataFrame, pd.DataFrame]:
        """Candidates (see `search`) and their pair features."""
        found = self.search(records, hidden, wanted, timings)
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
        right = serialise(self.index.rows.take(candidates["entity"].to_numpy()[chosen]), attributes)
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

    @property
    def model_version(self) -> str:
        """Digest of the fitted model alone: what decides, whatever reference it is given."""
        return str(self.manifest["model_version"])

    def match(
        self,
        source: pd.DataFrame,
        *,
        run_id: str | None = None,
        progress: bool = False,
        timings: Timings | None = None,
        seen: Callable[[ExactHits, pd.DataFrame], None] | None = None,
        hidden: np.ndarray | None = None,
    ) -> pd.DataFrame:
        """One result row (see `em_core.schema.RESULT`) for each row of a prepared source table, in the same order.

        Works through the records in chunks; a record's result does not depend on the records beside it. `seen` is shown each chunk's
        exact findings and candidates (see `offers`). `hidden` (n,): position of an entity that is not offered to the record, -1 none; for
        evaluation, where it makes a true "none of these".
        """
        timings = timings or Timings()
        run_id = run_id or uuid.uuid4().hex
        parts = []
        with tqdm(total=len(source), desc="matching", unit="record", disable=not progress) as bar:
            for start in range(0, len(source), _CHUNK):
                chunk = source.iloc[start : start + _CHUNK].reset_index(drop=True)
                veiled = None if hidden is None else hidden[start : start + _CHUNK]
                results, scored = self._match(chunk, run_id, timings, veiled)
                if seen is not None:
                    seen(scored.hits, scored.candidates)
                parts.append(results)
                bar.update(len(chunk))
        return pd.concat(parts, ignore_index=True)

    def offers(self, source: pd.DataFrame, timings: Timings) -> Iterator[tuple[ExactHits, pd.DataFrame]]:
        """What the reference offers each chunk of records, as `match` would see it: exact findings and candidates, nothing scored."""
        for start in range(0, len(source), _CHUNK):
            chunk = source.iloc[start : start + _CHUNK].reset_index(drop=True)
            records, hits, wanted = self._looked_up(chunk, None, timings)
            yield hits, self.engine.search(records, None, wanted, timings)

    def _looked_up(
        self, source: pd.DataFrame, hidden: np.ndarray | None, timings: Timings
    ) -> tuple[pd.DataFrame, ExactHits, np.ndarray]:
        """Profiles, exact findings, and (n,) bool: the records that no rule decides and that have a name."""
        start = time.perf_counter()
        records = profile(source)
        hits = self.engine.exact(records, hidden)
        done = hits.first(self.policy.automatic_rungs())[0] != ""
        timings.add("exact", start)
        return records, hits, ~done & (records["full"] != "").to_numpy()

    @cached_property
    def attributor(self) -> Attributor:
        """What moved the scorer."""
        return Attributor(self.scorer)

    def _score(
        self,
        source: pd.DataFrame,
        records: pd.DataFrame,
        hits: ExactHits,
        wanted: np.ndarray,
        timings: Timings,
        hidden: np.ndarray | None = None,
    ) -> Scored:
        candidates, features = self.engine.candidates(records, hidden, wanted, timings)
        start = time.perf_counter()
        query = candidates["query"].to_numpy()
        pair = self.scorer.pair_probability(features)
        timings.add("score", start)
        ditto = self.engine.ask_ditto(source, candidates, self.scorer.open_pairs(query, pair), timings)
        start = time.perf_counter()
        probability = self.scorer.probability(features, query, pair, ditto)
        timings.add("score", start)
        return Scored(records, hits, candidates, features, pair, ditto, probability)

    def _moved(self, scored: Scored, decisions: Decisions) -> dict[int, dict[str, dict[str, float]]]:
        """Short reasons of the records that the scorer decided; none where it closed even the best candidate."""
        rows, best = scored.best()
        told = np.isin(decisions.stage[rows], ["scorer", "ditto"])
        told &= scored.probability[best] >= self.scorer.settings.open_low
        found = self.attributor(scored.features, scored.query, scored.pair, scored.ditto, best[told])
        return dict(zip(rows[told].tolist(), short_reasons(found.parts, found.seen), strict=True))

    def _match(
        self, source: pd.DataFrame, run_id: str, timings: Timings, hidden: np.ndarray | None = None
    ) -> tuple[pd.DataFrame, Scored]:
        records, hits, wanted = self._looked_up(source, hidden, timings)
        bad_input = (records["full"] == "").to_numpy()
        scored = self._score(source, records, hits, wanted, timings, hidden)
        start = time.perf_counter()
        identifier = scored.features["same_identifier"].to_numpy()
        system = source["source_system"].to_numpy(dtype=object)
        decisions = decide(
            self.policy, hits, scored.candidates, scored.probability, scored.ditto, identifier, bad_input, system
        )
        reference = self.engine.index.rows
        ties = group_ties(reference, self.engine.index.lookups.entities, decisions.entity, decisions.runner_up)
        decisions = with_same_group(decisions, ties)
        nearest = decisions.entity.copy()
        rows, best = scored.best()
        nearest[rows] = np.where(nearest[rows] < 0, scored.candidates["entity"].to_numpy()[best], nearest[rows])
        timings.add("decide", start)
        start = time.perf_counter()
        moved = self._moved(scored, decisions)
        timings.add("explain", start)
        start = time.perf_counter()
        ids = reference["entity_id"]
        results = pd.DataFrame(
            {
                "source_system": source["source_system"],
                "source_id": source["source_id"],
                "matched_entity_id": ids[decisions.entity],
                "matched_name": reference["name"][decisions.entity],
                "decision": decisions.decision,
                "confidence": decisions.confidence,
                "stage": decisions.stage,
                "method": decisions.method,
                "reason": reasons(reference, decisions, hits, self.policy, nearest, ties),
                "runner_up_id": ids[decisions.runner_up],
                "margin": decisions.margin,
                "evidence": evidence(records, reference, self.engine.exact, hits, decisions, nearest, ties, moved),
                "run_id": run_id,
                "matcher_version": self.version,
                "reference_version": self.reference_version,
                "matched_at": datetime.now(UTC),
            },
            columns=list(RESULT.columns),
        )
        timings.add("decide", start)
        return results, scored

    def candidates(self, source: pd.DataFrame, best: int = 10) -> pd.DataFrame:
        """The most probable candidates of each row of a prepared source table, whatever the exact stage and the thresholds say.

        Columns `row` (position in `source`), `place` (from 1), `entity_id`, `name`, `probability` (calibrated), sorted by row and place; at
        most `best` for each row, none for a row without a usable name.
        """
        parts = []
        for start in range(0, len(source), _CHUNK):
            chunk = source.iloc[start : start + _CHUNK].reset_index(drop=True)
            records = profile(chunk)
            usable = (records["full"] != "").to_numpy()
            scored = self._score(chunk, records, self.engine.exact(records), usable, Timings())
            query = scored.query[scored.order]
            place = place_in_run(query)
            kept = scored.order[place < best]
            entities = self.engine.index.rows.take(scored.candidates["entity"].to_numpy()[kept], ("entity_id", "name"))
            parts.append(
                pd.DataFrame(
                    {
                        "row": scored.query[kept] + start,
                        "place": place[place < best] + 1,
                        "entity_id": entities["entity_id"].to_numpy(),
                        "name": entities["name"].to_numpy(),
                        "probability": self.policy.calibration(scored.probability[kept]),
                    }
                )
            )
        return pd.concat(parts, ignore_index=True)

    def explain(self, source: pd.DataFrame, best: int = 5) -> list[Explanation]:
        """Why each row of a prepared source table is decided as it is; made on demand, with its `best` candidates.

        What would change a decision is found by matching the changed record, never guessed.
        """
        source = source.reset_index(drop=True)
        results = self.match(source)
        records = profile(source)
        usable = (records["full"] != "").to_numpy()
        scored = self._score(source, records, self.engine.exact(records), usable, Timings())
        return [self._explain(row, source, results, scored, best) for row in range(len(source))]

    def _explain(self, row: int, source: pd.DataFrame, results: pd.DataFrame, scored: Scored, best: int) -> Explanation:
        reference, result, record = self.engine.index.rows, results.iloc[row], source.iloc[row]
        mine = scored.order[scored.query[scored.order] == row]
        entities = scored.candidates["entity"].to_numpy()
        decided = reference.where("entity_id", result["matched_entity_id"])
        named = np.isin(entities[mine], decided)
        # The entity that was decided for is shown even where others look better or retrieval did not propose it.
        shown = np.r_[mine[named], mine[~named][: best - named.sum()]]
        pairs = pd.DataFrame(
            {
                "entity": entities[shown],
                "probability": self.policy.calibration(scored.probability[shown]),
                "pair": scored.pair[shown],
                "ditto": scored.ditto[shown],
                "moved": np.arange(len(shown)),
            }
        )
        if len(decided) and not named.any():
            pairs = pd.concat([pd.DataFrame({"entity": decided, "moved": -1}), pairs], ignore_index=True)
        query, entity = np.full(len(pairs), row), pairs["entity"].to_numpy()
        pairs = pairs.assign(
            query=query, relation=self.engine.exact.compare(scored.records, query, entity)["relation"].to_numpy()
        )
        found = self.attributor(scored.features, scored.query, scored.pair, scored.ditto, shown)
        tried = variants(record, reference.take(pairs["entity"].to_numpy()[:1]).iloc[0]) if len(pairs) else []
        again = self.match(changed(record, tried)) if tried else results.iloc[:0]
        return Explanation(
            source_system=record["source_system"],
            source_id=record["source_id"],
            record={c: str(v) for c, v in record.items() if v is not None and c in ATTRIBUTES and c != "aliases"},
            decision=result["decision"],
            method=result["method"],
            stage=result["stage"],
            entity_id=result["matched_entity_id"],
            name=result["matched_name"],
            confidence=None if np.isnan(result["confidence"]) else float(result["confidence"]),
            reason=result["reason"],
            evidence=json.loads(result["evidence"]),
            threshold=threshold_of(self.policy, result["stage"], result["method"], record["source_system"]),
            candidates=candidate_table(scored.records, self.engine.index.lookups.entities, reference, pairs, found),
            changes=changes(result, tried, again),
        )

    @classmethod
    def load(cls, folder: Path | str, now: bool = False) -> Matcher:
        """Open a matcher folder; Ditto when a pair first asks for it, or `now`, for whoever must answer quickly from the start.

        Raises `UserError` if the folder is half-written, changed or of another format.
        """
        folder = Path(folder)
        manifest = check_manifest(folder, _FORMAT)
        ditto = None
        if manifest["ditto"]:
            from em_core.ditto.late import LateDitto

            ditto = LateDitto(folder / "ditto")
            if now:
                ditto.open()
        engine = Engine(CandidateIndex.load(folder / "index"), ditto)
        scorer = Scorer.load(folder, ScorerSettings(**manifest["settings"]["scorer"]))
        return cls(engine, scorer, DecisionPolicy(**manifest["policy"]), manifest, folder)


def matcher_version(folder: Path) -> str | None:
    """Version of the matcher in a folder without opening it, None where there is none. See `Matcher.load` for one that can be trusted."""
    path = Path(folder) / MANIFEST
    return json.loads(path.read_text(encoding="utf-8")).get("matcher_version") if path.is_file() else None


def matcher_model(folder: Path) -> str | None:
    """`Matcher.model_version` of the matcher in a folder without opening it, None where there is none."""
    path = Path(folder) / MANIFEST
    return json.loads(path.read_text(encoding="utf-8")).get("model_version") if path.is_file() else None


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
    manifest["model_version"] = hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:12]
    manifest["matcher_version"] = _matcher_version(manifest)
    (folder / MANIFEST).write_text(json.dumps(manifest, indent=1, default=str), encoding="utf-8")
    return str(manifest["matcher_version"])


def _matcher_version(manifest: dict[str, Any]) -> str:
    """The model's version on the reference that it was fitted on, else a digest of model and reference."""
    model, reference = str(manifest["model_version"]), str(manifest["reference_version"])
    if reference == manifest["inputs"]["reference"]:
        return model
    return hashlib.sha256(f"{model} {reference}".encode()).hexdigest()[:12]


def with_index(matcher: Path, index: Path, output: Path) -> str:
    """Write the matcher of `matcher` with the candidate index of `index`, another state of the reference, to `output`; its version.

    Scorer, thresholds and Ditto stay as fitted. `output` may be `matcher` itself. Raises `UserError` if the index was built with
    settings of retrieval that the model was not fitted with, or either folder is damaged.
    """
    manifest = check_manifest(matcher, _FORMAT)
    found = CandidateIndex.load(index)
    fitted, built = manifest["settings"]["retrieval"], found.settings.model_dump(mode="json")
    other = sorted(name for name in {*fitted, *built} if fitted.get(name) != built.get(name))
    if other:
        raise UserError(
            f"{index}: built with another setting retrieval.{other[0]} than the model was fitted with; fit again"
        )
    with atomic_folder(output, marker=MANIFEST) as new:
        for part in sorted(Path(matcher).iterdir()):
            if part.is_dir() and part.name != "index":
                shutil.copytree(part, new / part.name)
            elif part.is_file() and part.name != MANIFEST:
                shutil.copy2(part, new / part.name)
        shutil.copytree(index, new / "index")
        manifest["files"][f"index/{MANIFEST}"] = digest(new / "index" / MANIFEST)
        manifest |= {"reference_version": found.version, "reference_rows": found.entities}
        manifest["matcher_version"] = _matcher_version(manifest)
        (new / MANIFEST).write_text(json.dumps(manifest, indent=1), encoding="utf-8")
    return str(manifest["matcher_version"])
