"""Incremental matching: only records whose own content, candidates or model changed are matched again.

A record's decision follows from three things, and each has a fingerprint that is stored beside the decision: the record itself
(`record_digest`), what the reference offers it (`candidates_digest`: the exact stage's findings and the ranked candidates, each by the
content of its entity), and the fitted model (`model_version`: scorer, Ditto, thresholds). Where all three are as before, the decision
stands. What is not in a fingerprint is the rarity of words in the whole reference, which moves a little with every row that comes or goes;
`full=True` matches every record again.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from tqdm import tqdm

from em_core.decision.exact import ExactHits
from em_core.files import fingerprint_rows
from em_core.matcher import Matcher, Timings
from em_core.retrieval.products import place_in_run
from em_core.schema import ATTRIBUTES, RESULT, SOURCE
from em_core.storage.digest import combine_hashes, hash_rows, hex_digits

DIGESTS = {
    "record_digest": "fingerprint of the source record that was matched",
    "candidates_digest": "fingerprint of what the reference offered it: exact findings and ranked candidates, with their content",
    "model_version": "the fitted model (scorer, Ditto, thresholds) that decided",
    "checked_version": "the matcher under which the decision was last found to stand",
    "decided_because": "why the record was matched when it was decided: new, record, candidates, model or asked",
}
REUSED, NEW, RECORD, CANDIDATES, MODEL, ASKED = "reused", "new", "record", "candidates", "model", "asked"
WHY = {
    REUSED: "nothing that the decision follows from has changed",
    NEW: "the record was not there before",
    RECORD: "the record itself changed",
    CANDIDATES: "the reference offers it something else",
    MODEL: "another model decides",
    ASKED: "a full rematch was asked for",
}
_CHUNK = 16_384
# Reference rows that are hashed at a time.
_ROWS = 100_000


@dataclass(frozen=True)
class Rematched:
    """Results of all records in the order of the source, and why each was matched again.

    `results`: result contract plus the columns of `DIGESTS`. `why` (n,): a key of `WHY`; `reused` = the earlier row stands.
    """

    results: pd.DataFrame
    why: np.ndarray

    def counts(self) -> dict[str, int]:
        """Records by `why`, those that occur."""
        codes, counts = np.unique(self.why.astype(str), return_counts=True)
        return dict(zip(codes.tolist(), counts.tolist(), strict=True))


def rematch(
    matcher: Matcher,
    source: pd.DataFrame,
    previous: pd.DataFrame | None = None,
    *,
    run_id: str | None = None,
    full: bool = False,
    progress: bool = False,
    timings: Timings | None = None,
) -> Rematched:
    """Match a prepared source table, reusing rows of `previous` (as an earlier call returned them) wherever they still stand.

    `previous` may hold other records too and lack any; `full` reuses none.
    """
    timings = timings or Timings()
    digests = fingerprint_rows(source, list(SOURCE.columns))
    place = _places(source, previous)
    before = _before(previous, place)
    why = np.full(len(source), REUSED, dtype=object)
    why[before["model_version"].to_numpy() != matcher.model_version] = MODEL
    why[before["record_digest"].to_numpy() != digests] = RECORD
    why[place < 0] = NEW
    if full:
        why[place >= 0] = ASKED
    # A row that this very matcher made or checked stands without a look at the reference.
    probed = (why == REUSED) & (before["checked_version"].to_numpy() != matcher.version)
    parts = []
    with tqdm(total=len(source), desc="matching", unit="record", disable=not progress) as bar:
        for start in range(0, len(source), _CHUNK):
            mine = slice(start, start + _CHUNK)
            chunk, reason = source.iloc[mine].reset_index(drop=True), why[mine]
            seen = before["candidates_digest"].to_numpy(dtype=object)[mine].copy()
            look = np.flatnonzero(probed[mine])
            if len(look):
                offered = offered_digests(matcher, chunk.iloc[look].reset_index(drop=True), timings)
                reason[look[offered != seen[look]]] = CANDIDATES
            again = np.flatnonzero(reason != REUSED)
            rows = before.iloc[mine].reset_index(drop=True).assign(checked_version=matcher.version)
            if len(again):
                about = {"record_digest": digests[mine][again], "decided_because": reason[again]}
                records = chunk.iloc[again].reset_index(drop=True)
                rows = _with(rows, again, _decided(matcher, records, run_id, timings).assign(**about))
            parts.append(rows)
            bar.update(len(chunk))
    columns = [*RESULT.columns, *DIGESTS]
    results = (pd.concat(parts, ignore_index=True) if parts else before).reindex(columns=columns)
    numbers = {name: pd.to_numeric(results[name]).astype(float) for name in ("confidence", "margin")}
    return Rematched(results.assign(**numbers, matched_at=pd.to_datetime(results["matched_at"], utc=True)), why)


def _decided(matcher: Matcher, records: pd.DataFrame, run_id: str | None, timings: Timings) -> pd.DataFrame:
    """Results of these records with what is known of them but the digest of the record."""
    offered: list[np.ndarray] = []
    content = entity_hashes(matcher)
    fresh = matcher.match(
        records,
        run_id=run_id,
        timings=timings,
        seen=lambda hits, found: offered.append(_offered(hits, found, content)),
    )
    return fresh.assign(
        candidates_digest=np.concatenate(offered),
        model_version=matcher.model_version,
        checked_version=matcher.version,
    )


def _with(rows: pd.DataFrame, places: np.ndarray, fresh: pd.DataFrame) -> pd.DataFrame:
    """`rows` with those at `places` replaced by `fresh`."""
    kept = np.setdiff1d(np.arange(len(rows)), places)
    if not len(kept):
        return fresh
    order = np.argsort(np.r_[kept, places], kind="stable")
    return pd.concat([rows.iloc[kept], fresh], ignore_index=True).iloc[order].reset_index(drop=True)


def offered_digests(matcher: Matcher, source: pd.DataFrame, timings: Timings | None = None) -> np.ndarray:
    """(n,) what the reference offers each record, as 16 hexadecimal digits: the search alone, without features and models."""
    content, parts = entity_hashes(matcher), []
    for hits, found in matcher.offers(source, timings or Timings()):
        parts.append(_offered(hits, found, content))
    return np.concatenate(parts) if parts else np.zeros(0, dtype="<U16")


def entity_hashes(matcher: Matcher) -> np.ndarray:
    """(entities + 1,) 64-bit hash of each reference row's content, 0 behind them for "none"."""
    rows, columns = matcher.engine.index.rows, ["entity_id", *ATTRIBUTES]
    parts = [
        hash_rows(rows.take(np.arange(start, min(start + _ROWS, len(rows))), columns), columns)
        for start in range(0, len(rows), _ROWS)
    ]
    return np.concatenate([*parts, np.zeros(1, dtype=np.uint64)])


def _offered(hits: ExactHits, found: pd.DataFrame, content: np.ndarray) -> np.ndarray:
    """(n,) digests of the exact stage's findings and the ranked candidates of n records."""
    n = len(hits.state)
    state = hash_rows(pd.DataFrame({"state": hits.state, "why": hits.why}), ["state", "why"])
    exact = [content[column] for column in (*hits.ladder.T, hits.entity, hits.other)]
    query, entity = found["query"].to_numpy(), found["entity"].to_numpy()
    lists = combine_hashes(content[entity], query, place_in_run(query), n)
    return hex_digits(combine_columns([state, *exact, lists]))


def combine_columns(columns: list[np.ndarray]) -> np.ndarray:
    """One 64-bit hash for each row of several (n,) columns of 64-bit hashes; the order of the columns counts."""
    n, width = len(columns[0]), len(columns)
    rows, places = np.repeat(np.arange(n), width), np.tile(np.arange(width), n)
    return combine_hashes(np.stack(columns, axis=1).ravel(), rows, places, n)


def _places(source: pd.DataFrame, previous: pd.DataFrame | None) -> np.ndarray:
    """(n,) position of each record's earlier row, -1 where there is none."""
    if previous is None or previous.empty:
        return np.full(len(source), -1, dtype=np.int64)
    key = list(RESULT.key)
    return pd.MultiIndex.from_frame(previous[key]).get_indexer(pd.MultiIndex.from_frame(source[key]))


def _before(previous: pd.DataFrame | None, place: np.ndarray) -> pd.DataFrame:
    """The earlier rows in the order of the source; rows of None where there is none."""
    columns = [*RESULT.columns, *DIGESTS]
    if previous is None or previous.empty:
        return pd.DataFrame(None, index=range(len(place)), columns=columns, dtype=object)
    rows = previous.reindex(columns=columns).iloc[np.where(place < 0, 0, place)].reset_index(drop=True)
    absent = place < 0
    if absent.any():
        for name in DIGESTS:
            rows[name] = rows[name].astype(object)
            rows.loc[absent, name] = None
    return rows


def flips(before: pd.DataFrame, after: pd.DataFrame) -> pd.DataFrame:
    """What changed for whom: one row for each record whose identifier or decision is not what it was, or that came or went.

    before: result contract; after: the same with `decided_because`. Columns: the key, `change` (`new`, `gone`, `identifier`,
    `decision`), `why`, and identifier, name, decision, method, confidence and matcher version, each `old_` and `new_`.
    """
    told = ("matched_entity_id", "matched_name", "decision", "method", "confidence", "matcher_version")
    key = list(RESULT.key)
    old = before[[*key, *told]].rename(columns={c: f"old_{c}" for c in told})
    new = after[[*key, *told]].rename(columns={c: f"new_{c}" for c in told})
    new = new.assign(why=after["decided_because"].map(WHY))
    both = old.merge(new, on=key, how="outer", indicator=True)
    came, went = (both["_merge"] == "right_only").to_numpy(), (both["_merge"] == "left_only").to_numpy()
    other_id = _differs(both["old_matched_entity_id"], both["new_matched_entity_id"])
    other = _differs(both["old_decision"], both["new_decision"])
    both["change"] = np.select([came, went, other_id, other], ["new", "gone", "identifier", "decision"], default="")
    both["why"] = both["why"].astype(object)
    both.loc[went, "why"] = "the record is not delivered any more"
    columns = [*key, "change", "why", *(f"{side}_{c}" for c in told for side in ("old", "new"))]
    return both.loc[both["change"] != "", columns].reset_index(drop=True)


def _differs(left: pd.Series, right: pd.Series) -> np.ndarray:
    return np.asarray((left != right) & ~(left.isna() & right.isna()))
