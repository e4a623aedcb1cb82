"""What a steward reads: one sentence and the evidence behind it, made of what was compared and nothing else."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
from rapidfuzz import fuzz
from rapidfuzz.process import cpdist

from em_core.decision.decide import Decisions
from em_core.decision.exact import ExactHits
from em_core.decision.policy import DecisionPolicy
from em_core.schema import IDENTIFIERS

_COMPARED = ("country", "region", "city", "postal_code", "host", "industry", "form", *IDENTIFIERS)
_WORDS = {"host": "website", "form": "legal form", "postal_code": "postal code"}


def evidence(
    source: pd.DataFrame, records: pd.DataFrame, reference: pd.DataFrame, entities: pd.DataFrame, nearest: np.ndarray
) -> np.ndarray:
    """(n,) JSON text: per attribute `agrees`, `differs` or `invalid`, for the nearest entity of each record (-1 = none).

    Attributes that are missing on either side are left out. `records` and `entities` are profiles of `source` and `reference`.
    """
    out: list[dict[str, object]] = [{} for _ in range(len(source))]
    for kind in IDENTIFIERS:
        for row in np.flatnonzero(records[f"{kind}_bad"].to_numpy()):
            out[row][kind] = "invalid: fails its check digits"
    rows = np.flatnonzero(nearest >= 0)
    there = nearest[rows]
    left, right = records.iloc[rows], entities.iloc[there]
    similarity = cpdist(
        left["core"].to_numpy(), right["core"].to_numpy(), scorer=fuzz.token_sort_ratio, dtype=np.float32
    )
    names, ids = reference["name"].to_numpy()[there], reference["entity_id"].to_numpy()[there]
    given = source["name"].to_numpy()[rows]
    for row, name, entity, own, value in zip(rows, names, ids, given, similarity, strict=True):
        out[row] = {
            "entity_id": entity,
            "name": {"source": own, "reference": name, "similarity": round(float(value))},
        } | out[row]
    for column in _COMPARED:
        a, b = left[column].to_numpy(), right[column].to_numpy()
        both = (a != "") & (b != "")
        for row, same in zip(rows[both], (a == b)[both], strict=True):
            out[row][_WORDS.get(column, column)] = "agrees" if same else "differs"
    return np.array([json.dumps(item, ensure_ascii=False) for item in out], dtype=object)


def reasons(
    reference: pd.DataFrame, decisions: Decisions, hits: ExactHits, policy: DecisionPolicy, nearest: np.ndarray
) -> np.ndarray:
    """(n,) one readable sentence for each decision; never empty."""
    names = np.append(reference["name"].to_numpy(dtype=object), "")
    auto = "none" if policy.auto_threshold is None else f"{policy.auto_threshold:.2f}"
    out = np.empty(len(decisions.decision), dtype=object)
    columns = (
        decisions.method,
        decisions.decision,
        decisions.stage,
        decisions.entity,
        decisions.runner_up,
        decisions.confidence,
    )
    for row, (method, decision, stage, entity, other, confidence) in enumerate(zip(*columns, strict=True)):
        match, second = names[entity], names[other]
        against = f" against '{second}'" if other >= 0 else ""
        if method == "BAD_INPUT":
            out[row] = "The record has no usable name" + (
                f"; its {hits.rung[row]} belongs to '{match}'." if entity >= 0 else "."
            )
        elif method == "NO_CANDIDATE":
            out[row] = "No reference name shares any letters with this one."
        elif stage == "exact" and decision == "auto_match":
            rung = policy.rungs[method]
            what = "whole name, unique in the reference," if method == "NAME_UNIQUE" else method
            out[row] = (
                f"Same {what} as '{match}'; this rule was right on {rung.labels - rung.errors:,} of {rung.labels:,} labelled records."
            )
        elif stage == "exact":
            out[row] = f"{hits.why[row][0].upper()}{hits.why[row][1:]}: '{match}'{against}."
        elif method == "AMBIGUOUS":
            out[row] = f"'{match}' and '{second}' fit about equally well ({confidence:.2f})."
        elif method == "CONFLICT":
            out[row] = f"The name fits '{match}' ({confidence:.2f}), but a valid identifier disagrees."
        elif decision == "auto_match":
            out[row] = f"'{match}' is the only good fit ({confidence:.2f}, automatic from {auto})."
        elif decision == "review":
            out[row] = f"'{match}' may fit ({confidence:.2f}); automatic from {auto}."
        else:
            out[row] = (
                f"The nearest, '{names[nearest[row]]}', is unlikely ({confidence:.2f}, review from {policy.review_threshold:.2f})."
            )
    return out
