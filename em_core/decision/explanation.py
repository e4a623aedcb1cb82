"""One record's whole explanation, made on demand: candidates, what moved them, the threshold, and what would change the decision."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from pydantic import BaseModel, Field
from scipy.special import logit

from em_core.decision.contributions import FAMILIES, FAMILY_OF, PARTS, Attribution
from em_core.decision.explain import compared_attributes, relation_words, word_of
from em_core.decision.policy import DecisionPolicy
from em_core.decision.wording import say
from em_core.retrieval.table import EntityTable

# Feature -> profile column that shows what was compared.
_SHOWN = {
    "core_ratio": "core", "core_sorted": "core", "core_partial": "core", "core_words": "core", "core_jaro": "core",
    "compact_ratio": "compact", "prefix": "compact", "full_ratio": "full", "lexical": "search", "vector": "search",
    "same_form": "form", "form_agreement": "form", "same_kind": "kind", "same_numbers": "numbers",
    "same_designators": "designators", "same_class": "designators", "same_country": "country", "same_region": "subdivision",
    "same_city": "city", "same_postal_code": "postal_code", "same_domain": "domain", "same_industry": "industry",
    "same_ticker": "symbol",
}  # fmt: skip
# Attributes that say something together only are tried together.
_TRIED = (
    ("country",), ("region",), ("city",), ("postal_code",), ("website",), ("industry",), ("ticker", "exchange"),
    ("lei",), ("isin",), ("cusip",), ("sedol",), ("figi",), ("cik",), ("vat",), ("registration_number",),
)  # fmt: skip


class Part(BaseModel):
    """What one feature moved. `record` and `reference`: what was compared, empty where it is missing or no attribute."""

    feature: str
    family: str
    words: str
    record: str
    reference: str
    log_odds: float


class Candidate(BaseModel):
    """One candidate of a record. `base`, the families and `calibration` add up to the log odds of `probability`.

    An entity that retrieval did not propose has none of them.
    """

    entity_id: str
    name: str
    probability: float | None = Field(description="that it is the record's entity")
    pair_probability: float | None = Field(description="from the pair alone, without its rivals")
    ditto_probability: float | None = Field(description="Ditto's, None if it was not asked")
    relation: str = Field(description="how the names compare")
    agrees: dict[str, str]
    differs: dict[str, str]
    not_compared: dict[str, str] = Field(description="attribute -> the side that lacks it")
    base: float | None = Field(description="log odds before anything was compared")
    calibration: float | None = Field(description="what calibration adds to the models' log odds; 0 without one")
    families: dict[str, float]
    parts: list[Part] = Field(description="every feature that moved anything, the strongest first")


class Threshold(BaseModel):
    """From where on a record is matched or reviewed, and what stands behind it."""

    automatic: float | None
    review: float
    labels: int
    sentence: str


class Change(BaseModel):
    """What became of the record when it was matched once more, changed."""

    words: str
    attributes: dict[str, str | None]
    decision: str
    method: str
    entity_id: str | None
    name: str | None
    confidence: float | None
    matters: bool = Field(description="another decision or another entity")


class Explanation(BaseModel):
    """Everything about one record's decision."""

    source_system: str
    source_id: str
    record: dict[str, str] = Field(description="what the record says")
    decision: str
    method: str
    stage: str
    entity_id: str | None
    name: str | None
    confidence: float | None
    reason: str
    evidence: dict[str, Any]
    threshold: Threshold
    candidates: list[Candidate]
    changes: list[Change]


def threshold_of(policy: DecisionPolicy, stage: str, method: str, system: str) -> Threshold:
    """The threshold that stands behind a decision: a rule's measured precision, or the scorer's for the source system."""
    own, rung = policy.of_source(system), policy.rungs.get(method) if stage == "exact" else None
    if rung is None or rung.precision is None or rung.lower_bound is None:
        return Threshold(
            automatic=own.auto_threshold,
            review=own.review_threshold,
            labels=own.auto_evidence.labels,
            sentence=policy.source_in_words(system),
        )
    asked = policy.settings
    return Threshold(
        automatic=own.auto_threshold,
        review=own.review_threshold,
        labels=rung.labels,
        sentence=(
            f"The rule {method} decides alone: right on {rung.labels - rung.errors:,} of {rung.labels:,} records of {policy.labels_from} "
            f"({rung.precision:.2%}; at least {rung.lower_bound:.2%} with {asked.certainty:.0%} certainty); a rule needs "
            f"{max(asked.precision, asked.rung_precision):.2%} on {asked.rung_labels:,} records."
        ),
    )


def candidate_table(
    records: pd.DataFrame, entities: EntityTable, reference: EntityTable, pairs: pd.DataFrame, found: Attribution
) -> list[Candidate]:
    """Candidates of m pairs: columns `query`, `entity`, `relation` (of the names), `probability`, `pair`, `ditto` (NaN = unknown) and
    `moved`, the row of the pair in `found`, -1 for an entity that was not proposed.

    `records`, `entities`: profiles; `reference`: the rows behind `entities`.
    """
    left = records.iloc[pairs["query"].to_numpy()].reset_index(drop=True)
    right = entities.take(pairs["entity"].to_numpy())
    told = reference.take(pairs["entity"].to_numpy(), ("entity_id", "name"))
    compared = compared_attributes(left, right)
    families, log_odds = found.families(), found.log_odds()
    out = []
    for row, pair in enumerate(pairs.to_dict("records")):
        mine, there = left.iloc[row], right.iloc[row]
        agrees, differs, absent = _attributes(row, mine, there, compared)
        at = int(pair["moved"])
        out.append(
            Candidate(
                entity_id=told["entity_id"].iloc[row],
                name=told["name"].iloc[row],
                probability=_known(pair["probability"]),
                pair_probability=_known(pair["pair"]),
                ditto_probability=_known(pair["ditto"]),
                relation=relation_words(str(pair["relation"])),
                agrees=agrees,
                differs=differs,
                not_compared=absent,
                base=found.base if at >= 0 else None,
                calibration=float(logit(pair["probability"]) - log_odds[at]) if at >= 0 else None,
                families=dict(zip(FAMILIES, families[at].tolist(), strict=True)) if at >= 0 else {},
                parts=_parts(found, at, mine, there) if at >= 0 else [],
            )
        )
    return out


def _known(value: float) -> float | None:
    return None if np.isnan(value) else float(value)


def _attributes(
    row: int, mine: pd.Series, there: pd.Series, compared: dict[str, tuple[np.ndarray, np.ndarray]]
) -> tuple[dict[str, str], dict[str, str], dict[str, str]]:
    """(what agrees, what differs, what was not compared and why) for one pair of profiles."""
    agrees: dict[str, str] = {}
    differs: dict[str, str] = {}
    absent: dict[str, str] = {}
    for column, (both, same) in compared.items():
        word, here, other = word_of(column), mine[column], there[column]
        if both[row]:
            (agrees if same[row] else differs)[word] = here if here == other else f"{here} / {other}"
        elif here and other:
            absent[word] = "another one says nothing"
        else:
            sides = [side for side, value in (("the record", here), ("the reference", other)) if not value]
            absent[word] = f"missing in {' and '.join(sides)}"
    return agrees, differs, absent


def _parts(found: Attribution, at: int, mine: pd.Series, there: pd.Series) -> list[Part]:
    moved, values = found.parts[at], found.seen[at]
    out = []
    for column in np.argsort(-np.abs(moved), kind="stable"):
        if moved[column] == 0:
            break
        feature = PARTS[column]
        shown = _SHOWN.get(feature)
        out.append(
            Part(
                feature=feature,
                family=FAMILY_OF[feature],
                words=say(feature, float(values[column])),
                record=mine[shown] if shown else "",
                reference=there[shown] if shown else "",
                log_odds=float(moved[column]),
            )
        )
    return out


def variants(record: pd.Series, candidate: pd.Series) -> list[tuple[str, dict[str, str | None]]]:
    """(words, changed attributes) worth trying on a record (a row of the source contract) whose best candidate is a reference row.

    Each attribute as the candidate has it, and without it; the name as the candidate writes it.
    """
    out: list[tuple[str, dict[str, str | None]]] = []
    if record["name"] != candidate["name"]:
        out.append((f"named '{candidate['name']}'", {"name": candidate["name"]}))
    for columns in _TRIED:
        own, others = ({c: frame[c] for c in columns if frame[c] is not None} for frame in (record, candidate))
        theirs = {c: others.get(c) for c in columns}
        if others and any(own.get(c) != value for c, value in others.items()):
            instead = f" instead of {_values(own)}" if own else ""
            out.append((f"with {_named(others)}{instead}", theirs))
        if own:
            out.append((f"without {_named(own)}", dict.fromkeys(columns)))
    return out


def _named(values: dict[str, str]) -> str:
    return " and ".join(f"{word_of(column).replace('_', ' ')} {value}" for column, value in values.items())


def _values(values: dict[str, str]) -> str:
    return " and ".join(values.values())


def changed(record: pd.Series, tried: list[tuple[str, dict[str, str | None]]]) -> pd.DataFrame:
    """The record once for each variant, keyed by its number: a source table."""
    rows = [{**record.to_dict(), **values, "source_id": str(i)} for i, (_, values) in enumerate(tried)]
    return pd.DataFrame(rows, columns=list(record.index)).astype(object)


def changes(result: pd.Series, tried: list[tuple[str, dict[str, str | None]]], results: pd.DataFrame) -> list[Change]:
    """What the variants' `results` say beside the record's own `result`; those that matter first, then by confidence."""
    out = []
    for (words, values), now in zip(tried, results.to_dict("records"), strict=True):
        entity = now["matched_entity_id"]
        out.append(
            Change(
                words=words,
                attributes=values,
                decision=now["decision"],
                method=now["method"],
                entity_id=entity,
                name=now["matched_name"],
                confidence=_known(now["confidence"]),
                matters=now["decision"] != result["decision"] or entity != result["matched_entity_id"],
            )
        )
    return sorted(out, key=lambda change: (not change.matters, -(change.confidence or 0.0)))
