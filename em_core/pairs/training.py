"""Training queries and pairs: noisy copies of reference rows, the user's labels, hard negatives from retrieval."""

from __future__ import annotations

import numpy as np
import pandas as pd
from pydantic import BaseModel, Field

from em_core.ditto.serialise import serialise
from em_core.errors import UserError
from em_core.pairs.noise import NoiseSettings, perturb
from em_core.pairs.splits import check_disjoint, split_of, unit_interval
from em_core.retrieval.index import CandidateIndex
from em_core.schema import IDENTIFIERS, SOURCE, TRUTH, map_columns, missing_to_none, prepare_source
from em_core.text.profile import profile

_NOISE, _LABELS = "noise", "label"
_FEW_LABELS = 1_000


class PairSettings(BaseModel):
    """How many training records are made and what they look like."""

    queries: int = Field(16_000, ge=1, description="training records made by the noise model")
    hidden_share: float = Field(
        0.25, ge=0, lt=1, description="share of them whose entity is hidden: true none-of-these"
    )
    negatives: int = Field(2, ge=1, description="hard negatives for each Ditto training record")
    ditto_pairs: int = Field(5_000, ge=0, description="most Ditto training pairs")
    few_labels: int = Field(
        _FEW_LABELS, ge=0, description="below so many labels, noisy copies join the scorer's training"
    )
    noise: NoiseSettings = Field(default_factory=NoiseSettings)
    seed: int = Field(11, description="of noise, hiding and splits")


def prepare_labels(
    frame: pd.DataFrame, reference: pd.DataFrame, origin: str = "labels", system: str = "labels"
) -> pd.DataFrame:
    """Labelled source records as the source contract plus `entity_id` (None = truly not in the reference).

    Raises `UserError` if there is no `entity_id` column or a label names an entity that the reference does not have.
    """
    found = map_columns([str(c) for c in frame.columns], TRUTH)
    if "entity_id" not in found:
        raise UserError(f"{origin}: no column for 'entity_id'; it has: {', '.join(map(str, frame.columns))}")
    labels = prepare_source(frame.drop(columns=[found["entity_id"]]), origin=origin, system=system)
    labels["entity_id"] = missing_to_none(frame[found["entity_id"]]).to_numpy()
    strangers = labels["entity_id"].notna() & ~labels["entity_id"].isin(reference["entity_id"])
    if strangers.any():
        row = int(np.flatnonzero(strangers)[0])
        raise UserError(
            f"{origin}, row {row + 1}, column 'entity_id': {labels['entity_id'].iloc[row]!r} is not in the reference "
            f"({int(strangers.sum())} such rows; leave entity_id empty for a true none)"
        )
    return labels


def training_queries(
    reference: pd.DataFrame, settings: PairSettings, labels: pd.DataFrame | None = None
) -> pd.DataFrame:
    """Records with known answers: the source contract plus `entity_id`, `hidden_id`, `split`, `origin`.

    `entity_id` None = none of these. `hidden_id` names the entity that must be hidden from retrieval so that this is true.
    `split` is decided by the entity (for a labelled none: by the record), so no entity stands in two splits.
    With `few_labels` labels or more, thresholds and scorer learn from labels alone; Ditto learns from both.
    """
    picked = np.argsort(unit_interval(reference["entity_id"], settings.seed, "pick"), kind="stable")[: settings.queries]
    rows = reference.iloc[np.sort(picked)].reset_index(drop=True)
    noisy = perturb(rows, settings.seed, settings.noise, reference).reindex(columns=list(SOURCE.columns))
    noisy["source_system"], noisy["source_id"] = _NOISE, rows["entity_id"]
    hidden = unit_interval(rows["entity_id"], settings.seed, "hide") < settings.hidden_share
    noisy["entity_id"] = rows["entity_id"].where(~hidden, None)
    noisy["hidden_id"] = rows["entity_id"].where(hidden, None)
    noisy["origin"] = _NOISE
    parts = [noisy.assign(split=split_of(rows["entity_id"], settings.seed))]
    if labels is not None:
        known = labels["entity_id"].notna()
        key = labels["entity_id"].where(known, "none\x1f" + labels["source_system"] + "\x1f" + labels["source_id"])
        parts.append(labels.assign(hidden_id=None, origin=_LABELS, split=split_of(key, settings.seed)))
        if len(labels) >= settings.few_labels:
            parts[0] = parts[0][parts[0]["split"].isin(["ditto", "ditto_valid"])]
    queries = pd.concat(parts, ignore_index=True)
    queries = queries[queries["name"].notna()].reset_index(drop=True)
    check_disjoint(queries.assign(target=queries["entity_id"].fillna(queries["hidden_id"])), "target", "split")
    return queries


def evaluation_copies(reference: pd.DataFrame, settings: PairSettings, most: int = 4_000) -> pd.DataFrame:
    """Noisy copies to compare fitted matchers by, columns as `training_queries` gives: of entities that no training record is made of.

    Where the reference has fewer than `most` of those, entities whose training records only set thresholds join them, in other copies.
    """
    pick = unit_interval(reference["entity_id"], settings.seed, "pick")
    taken = np.zeros(len(reference), dtype=bool)
    taken[np.argsort(pick, kind="stable")[: settings.queries]] = True
    only_judged = split_of(reference["entity_id"], settings.seed) == "valid"
    free = np.flatnonzero(~taken | only_judged)
    order = np.lexsort((unit_interval(reference["entity_id"], settings.seed, "evaluate")[free], taken[free]))
    rows = reference.iloc[np.sort(free[order[:most]])].reset_index(drop=True)
    noisy = perturb(rows, settings.seed + 2, settings.noise, reference).reindex(columns=list(SOURCE.columns))
    noisy["source_system"], noisy["source_id"] = _NOISE, rows["entity_id"]
    hidden = unit_interval(rows["entity_id"], settings.seed, "hide in evaluation") < settings.hidden_share
    noisy["entity_id"] = rows["entity_id"].where(~hidden, None)
    noisy["hidden_id"] = rows["entity_id"].where(hidden, None)
    noisy = noisy.assign(origin=_NOISE)
    return noisy[noisy["name"].notna()].reset_index(drop=True)


def identifier_copies(reference: pd.DataFrame, settings: PairSettings, most: int = 2_000) -> pd.DataFrame:
    """Other noisy copies of up to `most` entities that have an identifier, with columns as `training_queries` gives.

    They carry every identifier that their entity has, so that rules on identifiers meet enough of them to be measured; wrong and
    foreign ones turn up as often as in the other copies.
    """
    carrying = reference[reference[list(IDENTIFIERS)].notna().any(axis=1)]
    picked = np.argsort(unit_interval(carrying["entity_id"], settings.seed, "identifiers"), kind="stable")[:most]
    rows = carrying.iloc[np.sort(picked)].reset_index(drop=True)
    noise = settings.noise.model_copy(update={"keep": settings.noise.keep | dict.fromkeys(IDENTIFIERS, 1.0)})
    noisy = perturb(rows, settings.seed + 1, noise, reference).reindex(columns=list(SOURCE.columns))
    noisy["source_system"], noisy["source_id"] = _NOISE, rows["entity_id"]
    return noisy.assign(entity_id=rows["entity_id"], hidden_id=None, origin=_NOISE)[rows["name"].notna()]


def hidden_positions(queries: pd.DataFrame, reference: pd.DataFrame) -> np.ndarray:
    """(n,) position in the reference of each query's hidden entity, -1 where nothing is hidden."""
    return pd.Index(reference["entity_id"]).get_indexer(queries["hidden_id"]).astype(np.int64)


def ditto_pairs(queries: pd.DataFrame, index: CandidateIndex, settings: PairSettings) -> pd.DataFrame:
    """Labelled text pairs for `train_ditto`: `left_entity`, `right_entity`, `label`, `left_key`, `right_key`, `split`.

    Each known record gives its right pair; each record gives its hardest wrong candidates. A wrong candidate is used only if
    its entity belongs to the same split: no entity is on both sides of the fence, left or right.
    """
    mine = queries[queries["split"].isin(["ditto", "ditto_valid"])].reset_index(drop=True)
    if mine.empty:
        raise UserError("the reference is too small to train on: no record fell into Ditto's share")
    reference = index.reference
    found = index.search(profile(mine), hidden_positions(mine, reference))
    split = split_of(reference["entity_id"], settings.seed)
    target = pd.Index(reference["entity_id"]).get_indexer(mine["entity_id"])
    query, entity = found["query"].to_numpy(), found["entity"].to_numpy()
    wrong = found[(entity != target[query]) & (split[entity] == mine["split"].to_numpy()[query])]
    wrong = wrong[wrong.groupby("query").cumcount() < settings.negatives]
    right = np.flatnonzero(target >= 0)
    pairs = pd.DataFrame(
        {
            "query": np.concatenate([right, wrong["query"].to_numpy()]),
            "entity": np.concatenate([target[right], wrong["entity"].to_numpy()]),
            "label": np.repeat([1, 0], [len(right), len(wrong)]),
        }
    )
    # Whole records are kept or left, chosen by digest, so that the share of right pairs stays what it is.
    order = np.argsort(
        unit_interval(mine["source_system"] + "\x1f" + mine["source_id"], settings.seed, "ditto"), kind="stable"
    )
    place = np.empty(len(mine), dtype=np.int64)
    place[order] = np.arange(len(mine))
    pairs = pairs.iloc[np.argsort(place[pairs["query"]], kind="stable")[: settings.ditto_pairs]].reset_index(drop=True)
    left = np.array(serialise(mine), dtype=object)
    right_text = np.array(serialise(reference.iloc[pairs["entity"]]), dtype=object)
    key = mine["entity_id"].fillna(mine["hidden_id"]).fillna(mine["source_system"] + "\x1f" + mine["source_id"])
    out = pd.DataFrame(
        {
            "left_entity": left[pairs["query"]],
            "right_entity": right_text,
            "label": pairs["label"].to_numpy(),
            "left_key": key.to_numpy()[pairs["query"]],
            "right_key": reference["entity_id"].to_numpy()[pairs["entity"]],
            "split": np.where(mine["split"].to_numpy()[pairs["query"]] == "ditto", "train", "valid"),
        }
    )
    both = pd.concat(
        [
            out[["left_key", "split"]].rename(columns={"left_key": "key"}),
            out[["right_key", "split"]].rename(columns={"right_key": "key"}),
        ]
    )
    check_disjoint(both, "key", "split")
    return out
