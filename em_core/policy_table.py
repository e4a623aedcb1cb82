"""The decision policy as a table: the thresholds of every matcher that made decisions, one row for each feed that has its own."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pandas as pd
import pyarrow as pa

from em_core.storage.names import POLICY_TABLE

if TYPE_CHECKING:
    from em_core.matcher import Matcher
    from em_core.storage import TableStore

POLICY_KEY = ("matcher_version", "source_system")
_COLUMNS = {
    "matcher_version": (pa.string(), "matcher that decides so, as in the results"),
    "source_system": (pa.string(), "feed that has its own thresholds; empty: all others"),
    "model_version": (pa.string(), "fitted model, whatever the reference"),
    "auto_threshold": (pa.float64(), "the scorer decides alone from this confidence; null: never"),
    "review_threshold": (pa.float64(), "a suggestion from this confidence"),
    "promise": (pa.string(), "what the automatic threshold promises, in words"),
    "labels": (pa.int64(), "labelled records behind the promise"),
    "errors": (pa.int64(), "of them wrong"),
}
POLICY_SCHEMA = pa.schema([pa.field(name, kind, metadata={"comment": said}) for name, (kind, said) in _COLUMNS.items()])


def policy_rows(matcher: Matcher) -> pd.DataFrame:
    """Rows of `gold.decision_policies`: the common thresholds (`source_system` empty) and those of single feeds."""
    policy = matcher.policy
    rows = [
        {
            "matcher_version": matcher.version,
            "source_system": system,
            "model_version": matcher.model_version,
            "auto_threshold": own.auto_threshold,
            "review_threshold": own.review_threshold,
            "promise": policy.source_in_words(system) if system else policy.in_words(),
            "labels": own.auto_evidence.labels,
            "errors": own.auto_evidence.errors,
        }
        for system, own in {"": policy, **policy.sources}.items()
    ]
    return pd.DataFrame(rows, columns=list(_COLUMNS)).astype({"auto_threshold": float, "review_threshold": float})


def record_policy(store: TableStore, matcher: Matcher) -> None:
    """Keep the matcher's thresholds beside the decisions that it makes; nothing is written where they are known."""
    store.upsert(POLICY_TABLE, policy_rows(matcher), key=POLICY_KEY, schema=POLICY_SCHEMA)


def contradictions(policies: pd.DataFrame, results: pd.DataFrame) -> pd.DataFrame:
    """Rows of `results` that the scorer matched automatically below its matcher's threshold for their feed: there must be none.

    policies: see `policy_rows`; results of a matcher that it does not know are not judged. The view `gold.policy_contradictions` says the
    same in SQL.
    """
    known = policies.set_index(list(POLICY_KEY))["auto_threshold"].fillna(2.0)
    own = pd.MultiIndex.from_frame(results[list(POLICY_KEY)])
    common = pd.MultiIndex.from_arrays([results["matcher_version"], [""] * len(results)])
    threshold = pd.Series(known.reindex(own).to_numpy()).fillna(pd.Series(known.reindex(common).to_numpy()))
    judged = (results["decision"] == "auto_match") & results["stage"].isin(["scorer", "ditto"])
    return results[judged.to_numpy() & (results["confidence"].to_numpy(float) < threshold.to_numpy())]
