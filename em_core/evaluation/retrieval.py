"""What retrieval lost is lost for good: recall of the candidate lists, in all, by channel and by kind of record."""

from __future__ import annotations

import json
from collections.abc import Hashable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from em_core.errors import UserError
from em_core.evaluation.figures import Share
from em_core.evaluation.labels import same_entity
from em_core.files import read_table, write_table

RECALL_AT = (1, 5, 10, 20)
FUSED = "fused"
LOST_LISTED = 1000
RECALL_FILE, LOST_FILE = "candidate_recall.json", "lost_candidates.csv"
# Last length of each band of name lengths, in characters.
_BANDS = (8, 16, 24, 40)
_NO_CHANNEL = ("query", "entity", "rank")


class RetrievalRecall(BaseModel):
    """Share of known records whose right entity is among the first k candidates."""

    model_config = ConfigDict(frozen=True)

    known: int
    recall_at: dict[int, Share]
    """k -> share of known records"""
    lost: list[int]
    """query positions whose right entity is in no candidate at all"""


class RecallGroup(BaseModel):
    """Candidate recall of one kind of record. `value` None gathers the records where the attribute is missing."""

    model_config = ConfigDict(frozen=True)

    value: str | None
    known: int
    recall_at: dict[int, Share]


class LostRecord(BaseModel):
    """A known record whose right entity is among no candidates."""

    model_config = ConfigDict(frozen=True)

    source_system: str
    source_id: str
    name: str | None
    entity_id: str
    entity_name: str | None
    rule: str | None
    """rule of the exact stage that finds the entity all the same, before retrieval is asked"""


class CandidateRecall(BaseModel):
    """Recall of the candidate lists over records with known answers; retrieval learned from none of them."""

    model_config = ConfigDict(frozen=True)

    level: float
    """confidence level of every interval"""
    known: int
    lost: int
    """known records whose right entity is among no candidates"""
    lost_but_found_by_rule: int
    channels: dict[str, dict[int, Share]]
    """`fused`, and each channel alone -> k -> share of known records. A channel alone is the fused list in the order of that channel's
    cosine: what it proposed and fusion cut off is not counted for it."""
    groups: dict[str, list[RecallGroup]]
    """source_system, country, name length -> lines of the fused list, most records first; lengths from short to long"""
    lost_records: list[LostRecord]
    """the first `LOST_LISTED` at most, by system and id; `lost` counts them all"""

    def short(self) -> dict[str, Any]:
        """Counts and, by channel, k -> [share, low, high]: what a fit's report says."""
        return {
            **self.model_dump(include={"known", "lost", "lost_but_found_by_rule"}),
            "channels": {
                name: {f"@{k}": [s.value, s.low, s.high] for k, s in shares.items()}
                for name, shares in self.channels.items()
            },
        }

    def fused(self) -> dict[str, float | None]:
        """`@k` -> share of known records whose right entity is among the first k candidates; None without such records."""
        return {f"@{k}": share.value for k, share in self.channels[FUSED].items()}

    def save(self, folder: Path) -> None:
        """Write the figures as JSON and the lost records as CSV into a folder."""
        figures = self.model_dump(mode="json", exclude={"lost_records"})
        (folder / RECALL_FILE).write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")
        lost = pd.DataFrame(
            [record.model_dump() for record in self.lost_records], columns=list(LostRecord.model_fields)
        )
        write_table(lost, folder / LOST_FILE)

    @classmethod
    def load(cls, folder: Path) -> CandidateRecall:
        """What `save` wrote. Raises `UserError` where a folder holds none."""
        path = Path(folder) / RECALL_FILE
        if not path.is_file():
            raise UserError(f"{folder}: no {RECALL_FILE} in it; fit the matcher again")
        lost = read_table(Path(folder) / LOST_FILE)
        rows = lost.astype(object).where(lost.notna() & (lost != ""), None).to_dict("records")
        return cls(**json.loads(path.read_text(encoding="utf-8")), lost_records=rows)


def rank_of_truth(
    candidates: pd.DataFrame, truth_ids: Sequence[str | None], equivalent: Mapping[str, Hashable] | None = None
) -> NDArray[np.float64]:
    """Best rank of the right entity for each query: inf where it is not among the candidates, NaN where none is right.

    `candidates` has `query` (position in `truth_ids`, from 0), `rank` (from 1) and `entity_id`, in any row order.
    `truth_ids` has one entry for each query, None or NaN where the record is truly not in the reference.
    `ValueError` if a query position or rank is out of range.
    """
    truth = np.asarray(pd.Series(list(truth_ids), dtype=object))
    query = candidates["query"].to_numpy(dtype=np.int64)
    rank = candidates["rank"].to_numpy(dtype=float)
    if len(query) and (query.min() < 0 or query.max() >= len(truth)):
        raise ValueError(f"query positions must lie between 0 and {len(truth) - 1}")
    if len(rank) and not rank.min() >= 1:
        raise ValueError("ranks start at 1")
    best = np.where(pd.notna(truth), np.inf, np.nan)
    hit = same_entity(candidates["entity_id"].to_numpy(dtype=object), truth[query], equivalent)
    np.minimum.at(best, query[hit], rank[hit])
    return best


def retrieval_recall(
    candidates: pd.DataFrame,
    truth_ids: Sequence[str | None],
    ks: Sequence[int] = RECALL_AT,
    *,
    equivalent: Mapping[str, Hashable] | None = None,
    level: float = 0.95,
) -> RetrievalRecall:
    """Recall at each k over the known queries, with exact intervals. Arguments as in `rank_of_truth`."""
    best = rank_of_truth(candidates, truth_ids, equivalent)
    known = best[~np.isnan(best)]
    return RetrievalRecall(
        known=len(known), recall_at=_shares(known, ks, level), lost=np.flatnonzero(np.isinf(best)).tolist()
    )


def _shares(best: NDArray[np.float64], ks: Sequence[int], level: float) -> dict[int, Share]:
    hits = [int(np.count_nonzero(best <= k)) for k in ks]
    return dict(zip(ks, Share.each(hits, [len(best)] * len(ks), level), strict=True))


def candidate_recall(
    candidates: pd.DataFrame,
    records: pd.DataFrame,
    reference: pd.DataFrame,
    *,
    rule: NDArray[np.object_] | None = None,
    ks: Sequence[int] = RECALL_AT,
    level: float = 0.95,
    listed: int = LOST_LISTED,
) -> CandidateRecall:
    """Recall of the candidate lists of n records with known answers.

    `candidates`: what `CandidateIndex.search` gives; `query` is a position in `records`. Every column beside `query`, `entity` and
    `rank` is a channel: numbers are its cosine (NaN or 0 = not proposed), text names what the channel found ("" = nothing). A channel
    that proposed nothing at all is left out. `records`: source contract and `entity_id` (None = truly not in the reference);
    countries best as codes.
    `rule` (n,): rule of the exact stage that finds the right entity without retrieval, "" where none does.
    """
    ids = reference["entity_id"].to_numpy(dtype=object)
    lists = candidates.assign(entity_id=ids[candidates["entity"].to_numpy()], rank=candidates["rank"].to_numpy() + 1)
    truth = records["entity_id"].tolist()
    best = rank_of_truth(lists, truth)
    known = np.flatnonzero(~np.isnan(best))
    channels = {FUSED: _shares(best[known], ks, level)}
    for channel in map(str, candidates.columns):
        if channel in _NO_CHANNEL:
            continue
        alone = _alone(lists, channel)
        if len(alone):
            channels[channel] = _shares(rank_of_truth(alone, truth)[known], ks, level)
    lost = np.flatnonzero(np.isinf(best))
    rules = np.full(len(records), "", dtype=object) if rule is None else rule
    mine = records.iloc[known]
    length, bands = _bands(mine["name"])
    return CandidateRecall(
        level=level,
        known=len(known),
        lost=len(lost),
        lost_but_found_by_rule=int((rules[lost] != "").sum()),
        channels=channels,
        groups={
            "source_system": _by(mine["source_system"].to_numpy(dtype=object), best[known], ks, level),
            "country": _by(mine["country"].replace("", None).to_numpy(dtype=object), best[known], ks, level),
            "name_length": sorted(_by(length, best[known], ks, level), key=lambda group: bands.index(group.value)),
        },
        lost_records=list(_lost(records.iloc[lost].assign(rule=rules[lost]), reference, listed)),
    )


def _alone(lists: pd.DataFrame, channel: str) -> pd.DataFrame:
    """The lists as one channel alone orders them: by its cosine, or by the fused rank where it gives no number."""
    values = lists[channel]
    if pd.api.types.is_numeric_dtype(values):
        mine = lists[(values > 0).to_numpy()]
        order = np.lexsort((mine["rank"], -mine[channel].to_numpy(dtype=float), mine["query"]))
    else:
        mine = lists[(values.notna() & (values != "")).to_numpy()]
        order = np.lexsort((mine["rank"], mine["query"]))
    mine = mine.iloc[order]
    return mine.assign(rank=mine.groupby("query").cumcount() + 1)


def _bands(names: pd.Series) -> tuple[NDArray[np.object_], list[str | None]]:
    """Band of each name's length, and the bands from short to long."""
    starts = [1, *(end + 1 for end in _BANDS)]
    words = [f"{a} to {b} characters" for a, b in zip(starts, _BANDS, strict=False)] + [f"{starts[-1]} and more"]
    length = names.str.len().fillna(1).to_numpy(dtype=float)
    return np.array(words, dtype=object)[np.searchsorted(_BANDS, length, side="left")], list(words)


def _by(values: NDArray[np.object_], best: NDArray[np.float64], ks: Sequence[int], level: float) -> list[RecallGroup]:
    """One line for each value, most records first."""
    hits = pd.DataFrame({k: best <= k for k in ks}, dtype=int).assign(known=1)
    grouped = hits.groupby(values, dropna=False).sum()
    grouped["value"] = grouped.index
    grouped = grouped.sort_values(["known", "value"], ascending=[False, True])
    shares = [list(Share.each(grouped[k], grouped["known"], level)) for k in ks]
    return [
        RecallGroup(
            value=None if pd.isna(value) else str(value), known=int(known), recall_at=dict(zip(ks, line, strict=True))
        )
        for value, known, *line in zip(grouped["value"], grouped["known"], *shares, strict=True)
    ]


def _lost(records: pd.DataFrame, reference: pd.DataFrame, listed: int) -> Iterator[LostRecord]:
    shown = records.sort_values(["source_system", "source_id"], kind="stable").head(listed)
    names = reference["name"].to_numpy(dtype=object)[
        pd.Index(reference["entity_id"]).get_indexer(pd.Index(shown["entity_id"]))
    ]
    for row, name in zip(shown.to_dict("records"), names, strict=True):
        yield LostRecord(
            **{field: row[field] for field in ("source_system", "source_id", "name", "entity_id")},
            entity_name=name,
            rule=row["rule"] or None,
        )
