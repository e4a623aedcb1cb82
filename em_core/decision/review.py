"""The review queue: which question a steward should answer first, and why."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pandas as pd
from pydantic import BaseModel, Field

from em_core.errors import UserError
from em_core.text.fold import fold, over_distinct
from em_core.text.places import country_codes

#: Codes whose record or reference needs mending before an answer means anything.
BAD_DATA = ("CONFLICT", "BAD_INPUT")
#: Codes whose runner-up may be the right answer as well.
_EITHER = ("AMBIGUOUS", "SAME_GROUP")
_KEY = ["source_system", "source_id"]
#: Column of the queue -> meaning.
QUEUE: dict[str, str] = {
    "place": "order in which to answer, from 1",
    "task": "decide, or mend data: the record or the reference is wrong, so that no answer settles it",
    "value": "expected worth of the answer in right matches; empty where no probability is known",
    "why": "what the value is made of",
    "records": "records that the answer settles",
    "source_system": "feed of the first of them",
    "source_id": "its key",
    "name": "the name that they share",
    "matched_entity_id": "the suggestion",
    "matched_name": "its name in the reference",
    "runner_up_id": "second-best reference entity",
    "confidence": "probability that the suggestion is right, mean of the records",
    "method": "code, see the results",
    "reason": "the first record's sentence",
    "keys": "JSON: [source_system, source_id] of all its records",
}


class ReviewSettings(BaseModel):
    """What answers are worth. The unit is one right match."""

    none: float = Field(
        0.25, ge=0, description="worth of knowing that neither the suggestion nor a tied runner-up is right"
    )
    wrong: float = Field(10.0, ge=0, description="cost of a wrong match")
    slip: float = Field(
        0.02, ge=0, le=1, description="share of the wrong suggestions that a steward confirms by mistake"
    )


def review_queue(
    results: pd.DataFrame, source: pd.DataFrame | None = None, settings: ReviewSettings | None = None
) -> pd.DataFrame:
    """Questions for stewards, columns `QUEUE`, the most valuable first; one for all records of the same name and suggestion.

    `results` and `source` as `em_core.schema.prepare_results` and `prepare_source` make them. Without `source`, names and what is known of
    countries are taken from the evidence. A record's answer is worth p + (1 - p) none - (1 - p) slip wrong, where p is the probability that
    the suggestion, or a runner-up that ties with it, is right (the slip counts for the suggestion alone); a question's value is the sum
    over its records. Questions of unknown value come last; bad data apart. The order does not depend on the order of the rows.
    """
    settings = settings or ReviewSettings()
    rows = results[results["decision"] == "review"].sort_values(_KEY, kind="stable", ignore_index=True)
    said = [_evidence(text, *key) for text, *key in rows[["evidence", *_KEY]].itertuples(index=False)]
    if source is None:
        rows["name"] = [item["name"]["source"] if isinstance(item.get("name"), dict) else None for item in said]
        rows["country"] = [str(item.get("country", "")) for item in said]
    else:
        rows = rows.merge(_described(rows, source), on=_KEY, how="left", validate="1:1")
    rows["question"] = _question(rows, said)
    sure, second = _probabilities(rows)
    likely = sure + second
    rows["value"] = likely + (1 - likely) * settings.none - (1 - sure) * settings.slip * settings.wrong
    rows["second"] = rows["confidence"] - rows["margin"]
    keys: dict[int, list[list[str]]] = {}
    for question, *key in rows[["question", *_KEY]].itertuples(index=False):
        keys.setdefault(question, []).append(key)
    grouped = rows.groupby("question")
    means = grouped[["value", "confidence", "second"]].mean()
    # What is unknown for one record is unknown for the question.
    means = means.mask(rows[["value", "confidence", "second"]].isna().groupby(rows["question"]).any())
    first = rows.drop_duplicates("question").set_index("question").sort_index()
    queue = first.assign(
        task=np.where(first["method"].isin(BAD_DATA), "mend data", "decide"),
        records=grouped.size(),
        confidence=means["confidence"],
        second=means["second"],
        value=(means["value"] * grouped.size()).round(4),
        keys=[json.dumps(keys[question], ensure_ascii=False) for question in first.index],
    )
    queue = queue.sort_values(
        ["task", "value", "records", *_KEY], ascending=[True, False, False, True, True], na_position="last"
    )
    queue["place"] = np.arange(1, len(queue) + 1)
    queue["why"] = [_why(row) for row in queue.to_dict("records")]
    return queue[list(QUEUE)].reset_index(drop=True)


def _evidence(text: Any, system: Any, key: Any) -> dict[str, Any]:
    if not isinstance(text, str):
        return {}
    try:
        found = json.loads(text)
    except json.JSONDecodeError:
        found = None
    if not isinstance(found, dict):
        raise UserError(f"results: the evidence of record {key!r} of {system!r} is not a JSON object")
    return found


def _question(rows: pd.DataFrame, said: list[dict[str, Any]]) -> np.ndarray:
    """(n,) number of the question that each record asks: equal name, country, suggestion, code, and what agreed and differed."""
    folded = over_distinct(rows["name"], fold, "")
    facts = [
        json.dumps({k: v for k, v in item.items() if isinstance(v, str) and k != "entity_id"}, sort_keys=True)
        for item in said
    ]
    parts = pd.DataFrame(
        {
            "name": folded,
            "country": rows["country"],
            "entity": rows["matched_entity_id"].fillna(""),
            # The runner-up where it is part of the question.
            "other": rows["runner_up_id"].where(rows["method"].isin((*_EITHER, *BAD_DATA))).fillna(""),
            "method": rows["method"],
            "facts": facts,
            # A nameless record is a question of its own.
            "alone": np.where(folded == "", np.arange(len(rows)), -1),
        }
    )
    return parts.groupby(list(parts.columns), sort=False).ngroup().to_numpy()


def _described(rows: pd.DataFrame, source: pd.DataFrame) -> pd.DataFrame:
    """Key, name and country of the source records under review. Raises `UserError` if one is not in the source."""
    wanted, there = (pd.MultiIndex.from_frame(frame[_KEY]) for frame in (rows, source))
    absent = ~wanted.isin(there)
    if absent.any():
        system, key = wanted[int(absent.argmax())]
        raise UserError(f"the source has no record {key!r} of {system!r}, which the results send to review")
    out = source.loc[there.isin(wanted), [*_KEY, "name", "country"]]
    return out.assign(country=pd.Series(country_codes(out["country"]), index=out.index).fillna(""))


def _probabilities(rows: pd.DataFrame) -> tuple[np.ndarray, np.ndarray]:
    """(n,) of the suggestion, and of a runner-up that is part of the question (0 elsewhere); NaN where unknown.

    Each comes from the scorer alone; as one excludes the other, both are scaled where they add up to more than 1.
    """
    sure = rows["confidence"].to_numpy(dtype=np.float64)
    second = np.nan_to_num(np.maximum(sure - rows["margin"].to_numpy(dtype=np.float64), 0.0))
    second = np.where(rows["method"].isin(_EITHER) & ~np.isnan(sure), second, 0.0)
    total = np.fmax(sure + second, 1.0)
    return sure / total, second / total


def _why(row: dict[Any, Any]) -> str:
    many = "1 record" if row["records"] == 1 else f"{row['records']:,} records"
    if row["task"] == "mend data":
        what = "an identifier, but no name" if row["method"] == "BAD_INPUT" else "identifiers and name disagree"
        return f"{many}: {what}; mend the record or the reference"
    if np.isnan(row["value"]):
        return f"settles {many}; no probability is known"
    if row["method"] in _EITHER:
        return (
            f"settles {many}: the suggestion ({row['confidence']:.2f}), the runner-up ({row['second']:.2f}) or neither"
        )
    return f"settles {many}: the suggestion ({row['confidence']:.2f}) or none"
