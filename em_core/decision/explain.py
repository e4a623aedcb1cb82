"""What a steward reads: one sentence and the evidence behind it, made of what was compared and nothing else."""

from __future__ import annotations

import json
from collections.abc import Mapping

import numpy as np
import pandas as pd
from rapidfuzz import fuzz
from rapidfuzz.process import cpdist

from em_core.decision.contributions import FAMILY_COLUMNS, PARTS
from em_core.decision.decide import Decisions
from em_core.decision.exact import RUNGS, ExactHits, ExactStage
from em_core.decision.policy import DecisionPolicy
from em_core.decision.wording import say, speaks
from em_core.retrieval.table import EntityTable
from em_core.schema import IDENTIFIERS
from em_core.text.identifiers import CHECKED_KINDS, State
from em_core.text.places import same_subdivision
from em_core.text.repair import one_edit_repair

_COMPARED = ("country", "subdivision", "city", "postal_code", "domain", "industry", "form", *IDENTIFIERS)
_WORDS = {
    "domain": "website",
    "form": "legal form",
    "postal_code": "postal code",
    "subdivision": "region",
    "registration_number": "registration number",
}
_RELATIONS = {
    "same": "the same name", "form": "the same name with a legal form that excludes this one",
    "group": "the name of another member of the group",
    "acronym": "one is the acronym of the other", "similar": "shared words", "different": "another name",
}  # fmt: skip
# Reasons on each side, and the least log odds worth a word: it moves no probability by more than .025.
_REASONS, _LEAST = 3, 0.1


def short_reasons(parts: np.ndarray, values: np.ndarray) -> list[dict[str, dict[str, float]]]:
    """(r,) the strongest reasons `for` and `against` a candidate: words and log odds, at most one of each family.

    `parts` (r, len(PARTS)) of the log odds, `values` (r, len(PARTS)) of the features. What is missing is no reason, nor is what does not
    plainly speak for that side (see `em_core.decision.wording`).
    """
    every = np.arange(len(parts))
    out: list[dict[str, dict[str, float]]] = [{} for _ in every]
    for side, sign, plain in zip(("for", "against"), (1.0, -1.0), speaks(PARTS, values), strict=True):
        signed = np.where(plain, sign * parts, 0.0)
        best = np.column_stack([columns[signed[:, columns].argmax(axis=1)] for columns in FAMILY_COLUMNS])
        size = signed[every[:, None], best]
        order = np.argsort(-size, axis=1, kind="stable")[:, :_REASONS]
        chosen = best[every[:, None], order]
        size, value = size[every[:, None], order], values[every[:, None], chosen]
        for row, features, sizes, seen in zip(out, chosen.tolist(), size.tolist(), value.tolist(), strict=True):
            said = {
                say(PARTS[feature], x): round(sign * moved, 2)
                for feature, moved, x in zip(features, sizes, seen, strict=True)
                if moved >= _LEAST
            }
            if said:
                row[side] = said
    return out


def compared_attributes(left: pd.DataFrame, right: pd.DataFrame) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Attribute -> ((n,) comparable, (n,) equal) for n rows of two tables of profiles."""
    out = {}
    for column in _COMPARED:
        a, b = left[column].to_numpy(dtype=object), right[column].to_numpy(dtype=object)
        both = (a != "") & (b != "")
        same = same_subdivision(a, b) if column == "subdivision" else a == b
        if column in IDENTIFIERS:
            several = both & ~same
            same[several] = [
                not set(x.split()).isdisjoint(y.split()) for x, y in zip(a[several], b[several], strict=True)
            ]
            # A firm has many securities and several registers: another number contradicts nothing.
            both &= same | (column in ("lei", "cik"))
        out[column] = (both, same)
    return out


def word_of(column: str) -> str:
    """What a steward calls an attribute."""
    return _WORDS.get(column, column)


def relation_words(relation: str) -> str:
    """What a steward calls a relation of two names (see `em_core.text.compare`)."""
    return _RELATIONS.get(relation, "not compared")


def evidence(
    records: pd.DataFrame,
    reference: EntityTable,
    stage: ExactStage,
    hits: ExactHits,
    decisions: Decisions,
    nearest: np.ndarray,
    ties: np.ndarray,
    moved: Mapping[int, Mapping[str, Mapping[str, float]]],
) -> np.ndarray:
    """(n,) JSON text: per attribute `agrees`, `differs` or `invalid`, for the nearest entity of each record (-1 = none).

    Attributes that are missing on either side are left out. `records`: profiles of the source records. An invalid identifier comes with
    the reference's identifier that is one edit away, if exactly one is. `group` says what ties the entity to the runner-up (`ties`, see
    `em_core.decision.groups`); `for` and `against` are the `short_reasons` of the records in `moved`.
    """
    out: list[dict[str, object]] = [{} for _ in range(len(records))]
    _identifier_quality(out, records, reference, stage)
    rows = np.flatnonzero(nearest >= 0)
    there = nearest[rows]
    left, right = records.iloc[rows], stage.lookups.entities.take(there, ("core", *_COMPARED))
    similarity = cpdist(
        left["core"].to_numpy(), right["core"].to_numpy(), scorer=fuzz.token_sort_ratio, dtype=np.float32
    )
    relation = stage.compare(records, rows, there)["relation"]
    told = reference.take(there, ("entity_id", "name"))
    ids, names = told["entity_id"], told["name"]
    given = records["written"].to_numpy()[rows]
    for row, name, entity, own, value, how in zip(rows, names, ids, given, similarity, relation, strict=True):
        compared: dict[str, object] = {"source": own or None, "reference": name, "similarity": round(float(value))}
        if how in _RELATIONS:
            compared["relation"] = _RELATIONS[how]
        out[row] = {"entity_id": entity, "name": compared} | out[row]
    for column, (both, same) in compared_attributes(left, right).items():
        for row, agrees in zip(rows[both], same[both], strict=True):
            out[row][word_of(column)] = "agrees" if agrees else "differs"
    tied = np.flatnonzero(ties != "")
    others = reference.take(decisions.runner_up[tied], ("entity_id", "name"))
    for row, other, name in zip(tied, others["entity_id"], others["name"], strict=True):
        out[row]["group"] = {"entity_id": other, "name": name, "relation": ties[row]}
    for code in ("ALIAS_COUNTRY", "ALIAS_UNIQUE"):
        said = hits.notes.get(code)
        if said is not None:
            for row in np.flatnonzero((hits.rung == code) & (hits.state == "hit")):
                out[row]["other name"] = said[row]
    for row, said_of in moved.items():
        out[row] |= said_of
    return np.array([json.dumps(item, ensure_ascii=False) for item in out], dtype=object)


def _identifier_quality(
    out: list[dict[str, object]], records: pd.DataFrame, reference: EntityTable, stage: ExactStage
) -> None:
    """What is wrong with a record's identifiers, and what may have been meant."""
    for kind in IDENTIFIERS:
        word = _WORDS.get(kind, kind)
        for row in np.flatnonzero((records[f"{kind}_state"] == State.PLACEHOLDER.value).to_numpy()):
            out[row][word] = "placeholder"
        bad = records[f"{kind}_bad"].to_numpy(dtype=object)
        known = stage.known(kind)
        for row in np.flatnonzero(bad != ""):
            text = "invalid: fails its check digits" if kind in CHECKED_KINDS else "invalid"
            meant = one_edit_repair(kind, bad[row], known.has) if " " not in bad[row] else None
            if meant is not None:
                entity = np.unique(stage.lookups.find(kind, np.array([meant], dtype=object))[1])
                if len(entity) == 1:
                    text += f"; one edit from {meant} of '{reference['name'][entity][0]}'"
            out[row][f"invalid {word}" if records[kind].iloc[row] else word] = text


def _sure(probability: float) -> str:
    """Two digits, and near 1, where thresholds lie, four."""
    return f"{probability:.{4 if 0.99 <= probability < 1 else 2}f}"


def reasons(
    reference: EntityTable,
    decisions: Decisions,
    hits: ExactHits,
    policy: DecisionPolicy,
    nearest: np.ndarray,
    ties: np.ndarray,
) -> np.ndarray:
    """(n,) one readable sentence for each decision; never empty. `ties`: see `em_core.decision.groups`."""
    out = np.empty(len(decisions.decision), dtype=object)
    named = [reference["name"][at] for at in (decisions.entity, decisions.runner_up, nearest)]
    columns = (
        *named,
        decisions.method,
        decisions.decision,
        decisions.stage,
        decisions.entity,
        decisions.runner_up,
        decisions.confidence,
        decisions.auto_from,
        decisions.review_from,
    )
    for row, (
        match,
        second,
        near,
        method,
        decision,
        stage,
        entity,
        other,
        confidence,
        auto_from,
        review_from,
    ) in enumerate(zip(*columns, strict=True)):
        auto = f"automatic from {_sure(auto_from)}" if np.isfinite(auto_from) else "no score is automatic"
        against = f" against '{second}'" if other >= 0 else ""
        if method == "BAD_INPUT":
            out[row] = "The record has no usable name" + (
                f"; its {hits.rung[row]} belongs to '{match}'." if entity >= 0 else "."
            )
        elif method == "NO_CANDIDATE":
            out[row] = "No reference name shares any letters with this one."
        elif stage == "exact" and decision == "auto_match":
            rung = policy.rungs[method]
            note = hits.notes[method][row] if method in hits.notes else ""
            helped = (
                f" ('{note}')" if note and method.startswith("ALIAS") else f" (of several, by {note})" if note else ""
            )
            out[row] = (
                f"Same {RUNGS[method]} as '{match}'{helped}; "
                f"this rule was right on {rung.labels - rung.errors:,} of {rung.labels:,} labelled records."
            )
        elif stage == "exact":
            kin = f", {ties[row]}" if method == "SAME_GROUP" else ""
            out[row] = f"{hits.why[row][0].upper()}{hits.why[row][1:]}: '{match}'{against}{kin}."
        elif method == "SAME_GROUP":
            out[row] = (
                f"Right group, maybe the wrong entity: '{match}' ({_sure(confidence)}) or '{second}' "
                f"({_sure(confidence - decisions.margin[row])}), {ties[row]}; {auto}."
            )
        elif method == "AMBIGUOUS":
            out[row] = f"'{match}' and '{second}' fit about equally well ({_sure(confidence)})."
        elif method == "CONFLICT":
            out[row] = f"The name fits '{match}' ({_sure(confidence)}), but a valid identifier disagrees."
        elif decision == "auto_match":
            out[row] = f"'{match}' is the only good fit ({_sure(confidence)}, {auto})."
        elif decision == "review":
            out[row] = f"'{match}' may fit ({_sure(confidence)}); {auto}."
        else:
            out[row] = f"The nearest, '{near}', is unlikely ({_sure(confidence)}, review from {_sure(review_from)})."
    return out
