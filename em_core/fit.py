"""Fitting a matcher: from a reference (and labels, if there are any) to a matcher folder."""

from __future__ import annotations

import logging
import subprocess
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

import em_core
from em_core.decision.calibration import calibration_records, choose_calibration
from em_core.decision.decide import may_match, rank
from em_core.decision.exact import IDENTIFIER_RUNGS, RUNGS, ExactHits
from em_core.decision.labelled import Labelled
from em_core.decision.policy import Evidence, automatic_rungs
from em_core.decision.scorer import Scorer, fit_list_model, fit_pair_model, open_pairs
from em_core.decision.thresholds import fit_policy, report_policy_costs
from em_core.errors import UserError
from em_core.evaluation.curves import recall_at_precision
from em_core.evaluation.leaks import TrainingDigests
from em_core.evaluation.retrieval import CandidateRecall, candidate_recall
from em_core.files import atomic_folder, fingerprint, write_table
from em_core.matcher import Engine, Timings, write_matcher
from em_core.pairs.training import ditto_pairs, hidden_positions, identifier_copies, training_queries
from em_core.retrieval.folder import MANIFEST
from em_core.retrieval.index import CandidateIndex
from em_core.settings import DittoSettings, FitSettings
from em_core.text.profile import profile

if TYPE_CHECKING:
    from em_core.ditto.predict import DittoModel

log = logging.getLogger(__name__)
_SMALLEST_REFERENCE = 200


@dataclass(frozen=True)
class Fitted:
    """What a fit gave: the matcher's version and its report (counts, recall, metrics, seconds)."""

    version: str
    report: dict[str, Any]


def train_ditto_locally(settings: DittoSettings, training_data: Path, output_path: Path) -> None:
    """Run the entry point `train_ditto` as a process of its own. Raises `UserError` with its last line if it fails."""
    command = [sys.executable, "-m", "em_core.ditto.entry_point", *settings.arguments(training_data, output_path)]
    done = subprocess.run(command, check=False, stdout=subprocess.DEVNULL, stderr=None)
    if done.returncode != 0:
        raise UserError(f"train_ditto ended with code {done.returncode}; its messages stand above")


def fit(
    reference: pd.DataFrame,
    output: Path,
    settings: FitSettings,
    labels: pd.DataFrame | None = None,
    progress: bool = False,
) -> Fitted:
    """Fit on a prepared reference and write the matcher folder `output`. `labels`: see `em_core.pairs.training.prepare_labels`."""
    check_size(reference)
    with atomic_folder(output, marker=MANIFEST) as new:
        start = time.perf_counter()
        index = CandidateIndex.build(reference, settings.retrieval, progress)
        log.info("indexed %s entities in %.0f s", f"{len(reference):,}", time.perf_counter() - start)
        queries = training_queries(reference, settings.pairs, labels)
        if not settings.ditto.enabled:
            return _fit_into(new, index, queries, None, settings)
        with tempfile.TemporaryDirectory(prefix="ditto-") as scratch:
            data, model = Path(scratch) / "training_pairs.parquet", Path(scratch) / "ditto"
            write_table(ditto_pairs(queries, index, settings.pairs), data)
            train_ditto_locally(settings.ditto, data, model)
            return _fit_into(new, index, queries, model, settings)


def check_size(reference: pd.DataFrame) -> None:
    """Raise `UserError` for a reference that is too small to learn from."""
    if len(reference) < _SMALLEST_REFERENCE:
        raise UserError(
            f"the reference has {len(reference)} row(s); learning what a match looks like needs at least {_SMALLEST_REFERENCE}"
        )


def fit_matcher(
    index: CandidateIndex, queries: pd.DataFrame, ditto_folder: Path | None, output: Path, settings: FitSettings
) -> Fitted:
    """Scorer, rungs and thresholds from records with known answers; writes the matcher folder `output`.

    `queries`: see `em_core.pairs.training.training_queries`. Ditto never scores a record whose entity it was trained on.
    """
    with atomic_folder(output, marker=MANIFEST) as new:
        return _fit_into(new, index, queries, ditto_folder, settings)


def _fit_into(
    folder: Path, index: CandidateIndex, queries: pd.DataFrame, ditto_folder: Path | None, settings: FitSettings
) -> Fitted:
    start, timings = time.perf_counter(), Timings()
    engine = Engine(index, _load_ditto(ditto_folder))
    ids = pd.Index(index.reference["entity_id"])
    rungs = _measure_rungs(engine, queries, ids, settings)

    mine = _judged_records(queries)
    training = (mine["split"] != "valid").to_numpy()
    if training.all() or not training.any():
        raise UserError(
            "the reference is too small to train on: no record fell into the scorer's or the thresholds' share"
        )
    records, hidden = profile(mine), hidden_positions(mine, index.reference)
    usable = (records["full"] != "").to_numpy()
    candidates, features = engine.candidates(records, hidden, usable, timings)
    query, target = candidates["query"].to_numpy(), ids.get_indexer(mine["entity_id"])
    right = candidates["entity"].to_numpy() == target[query]
    group = pd.factorize(
        mine["entity_id"].fillna(mine["hidden_id"]).fillna(mine["source_system"] + "\x1f" + mine["source_id"])
    )[0]

    train = training[query]
    # Ditto's answers about entities that it was trained on would teach the list model to trust it too far.
    listed = train & ((mine["split"] == "scorer").to_numpy()[query] | (engine.ditto is None))
    pair = np.zeros(len(candidates))
    pair_model, pair[train] = fit_pair_model(features[train], right[train], group[query[train]], settings.scorer)
    scorer = Scorer(settings.scorer, pair_model, None)
    pair[~train] = scorer.pair_probability(features[~train])
    asked = open_pairs(query, pair, settings.scorer) & (listed | ~train)
    ditto = engine.ask_ditto(mine, candidates, asked, timings)
    scorer.list_model = fit_list_model(
        features[listed], query[listed], pair[listed], ditto[listed], right[listed], settings.scorer
    )

    probability = scorer.probability(features, query, pair, ditto)
    ranked = rank(candidates, probability, len(mine))
    known, is_right = target >= 0, np.r_[right, False][ranked.best]
    hits = engine.exact(records, hidden)
    by_rule = hits.first(automatic_rungs(rungs, settings.policy))[0] != ""
    judged = usable & ~by_rule & ~np.isin(hits.state, ["conflict", "ambiguous"])
    own = (mine["origin"] == "label").to_numpy()
    calibrating = calibration_records(~training & judged & (ranked.best >= 0), own, is_right)
    calibration = choose_calibration(
        ranked.confidence[calibrating], is_right[calibrating], group[calibrating], settings.policy.certainty
    )
    labelled = Labelled(
        confidence=ranked.calibrated(calibration.chosen).confidence,
        right=is_right,
        known=known,
        judged=judged,
        # Ties are told before calibration: what the labels certify must not depend on their own answers.
        stands=judged & may_match(ranked, features["same_identifier"].to_numpy(), settings.policy.tie),
        own=own,
        system=mine["source_system"].to_numpy(dtype=object),
        group=group,
    ).only(~training)
    given = Counter(queries.loc[queries["origin"] == "label", "source_system"])
    labels_from = _labels_from(mine[~training])
    policy = fit_policy(labelled, settings.policy, rungs, calibration.chosen, labels_from, len(queries), given)
    costs = report_policy_costs(labelled, policy)

    held_out = ~training & usable
    recall = _recall(
        candidates, mine.assign(country=records["country"]), target, engine, policy.automatic_rungs(), hits
    )
    report = {
        "records": {
            "scorer": int(training.sum()),
            "thresholds": int((~training).sum()),
            "none_of_these": int((~known).sum()),
        },
        "candidate_recall": recall.fused(),
        "candidates": recall.short(),
        "top_1": float(is_right[held_out & known].mean()) if (held_out & known).any() else None,
        "recall_at_p99": recall_at_precision(
            ranked.confidence[held_out], is_right[held_out], int((held_out & known).sum()), 0.99
        ).recall,
        "ditto_share": timings.ditto_pairs / max(1, int((listed | ~train).sum())),
        "ditto_runtime": None if engine.ditto is None else engine.ditto.runtime,
        "thresholds": policy.in_words(),
        "sources": policy.sources_in_words(),
        "promises": [
            text for text in (policy.multiplicity(), calibration.in_words(), costs and costs.in_words()) if text
        ],
        "calibration": calibration.model_dump(mode="json"),
        "costs": None if costs is None else costs.model_dump(mode="json"),
        "rungs": {
            code: {"labels": e.labels, "errors": e.errors, "automatic": code in policy.automatic_rungs()}
            for code, e in rungs.items()
            if e.labels
        },
        "seconds": {name: round(value, 1) for name, value in timings.seconds.items()}
        | {"fit": round(time.perf_counter() - start, 1)},
    }
    about = {
        # A fit is deterministic: what goes in says what comes out.
        "inputs": {
            "code": em_core.__version__,
            "reference": index.version,
            "training_records": fingerprint(queries),
            "ditto": None if engine.ditto is None else engine.ditto.manifest.digest,
        },
        "reference_version": index.version,
        "reference_rows": len(ids),
        "settings": settings.model_dump(mode="json"),
        "report": report,
    }
    recall.save(folder)
    TrainingDigests.of(queries).save(folder)
    version = write_matcher(folder, engine, scorer, policy, about, ditto_folder)
    log.info("matcher %s: %s", version, policy.in_words())
    return Fitted(version, report)


def _judged_records(queries: pd.DataFrame) -> pd.DataFrame:
    """Records that scorer and thresholds learn from: Ditto's own too where they are of the kind that the scorer's are.

    The pair model never sees Ditto, so records that trained Ditto may train it as well.
    """
    own = queries["split"].isin(["scorer", "valid"])
    kinds = queries.loc[queries["split"] == "scorer", "origin"].unique()
    return queries[own | queries["origin"].isin(kinds)].reset_index(drop=True)


def _load_ditto(folder: Path | None) -> DittoModel | None:
    if folder is None:
        return None
    from em_core.ditto.predict import DittoModel

    return DittoModel.load(folder)


def _labels_from(queries: pd.DataFrame) -> str:
    origins = set(queries["origin"])
    if origins == {"label"}:
        return "the user's labels"
    return "records of the noise model" if origins == {"noise"} else "the user's labels and records of the noise model"


def _measure_rungs(engine: Engine, queries: pd.DataFrame, ids: pd.Index, settings: FitSettings) -> dict[str, Evidence]:
    """How often each rung's hits are right, on the user's labels where they hit often enough, else on all records."""
    # Few records carry identifiers; more of those do, for the rungs on identifiers alone.
    copies = identifier_copies(engine.index.reference, settings.pairs)
    queries = pd.concat([queries, copies], ignore_index=True)
    extra = np.arange(len(queries)) >= len(queries) - len(copies)
    hidden = hidden_positions(queries, engine.index.reference)
    hits = engine.exact(profile(queries), hidden)
    # A rule for records without a country is tried on every record, its country taken away.
    nowhere = engine.exact(profile(queries.assign(country=None)), hidden)
    target = ids.get_indexer(pd.Index(queries["entity_id"]))
    labelled = (queries["origin"] == "label").to_numpy()
    out = {}
    for code in RUNGS:
        entity = (nowhere if code.endswith("_UNIQUE") else hits).of(code)
        mine = (entity >= 0) & (~extra | (code in IDENTIFIER_RUNGS))
        if (mine & labelled).sum() >= settings.policy.rung_labels:
            mine &= labelled
        out[code] = Evidence.of((entity == target)[mine], settings.policy.certainty)
    return out


def _recall(
    candidates: pd.DataFrame,
    records: pd.DataFrame,
    target: np.ndarray,
    engine: Engine,
    rungs: set[str],
    hits: ExactHits,
) -> CandidateRecall:
    """Candidate recall of all records with known answers: retrieval learned from none of them, so none is held out."""
    rung, entity = hits.first(rungs)
    rule = np.where((entity == target) & (target >= 0), rung, "").astype(object)
    return candidate_recall(candidates, records, engine.index.reference, rule=rule)
