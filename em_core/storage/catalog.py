"""The statements that make a Unity Catalog catalog ours: schemas, volumes, the published table, views and grants.

Written from the contracts and the decision names that the code uses, so that a view cannot say something else than the policy. Run
again, they change nothing.
"""

from __future__ import annotations

from collections.abc import Iterable

import pyarrow as pa

from em_core.decision.review import BAD_DATA, ReviewSettings
from em_core.policy_table import POLICY_KEY, POLICY_SCHEMA
from em_core.schema import DECISIONS, RESULT, RESULT_SCHEMA
from em_core.storage import sql
from em_core.storage.names import FILE, POLICY_TABLE, RESULT_TABLE
from em_core.storage.unity import FEED, GENERATED_PROPERTY, KEY_PROPERTY, checked_catalog

LAYERS = {
    "bronze": "what arrived: the reference and the feeds, checked and as they were delivered",
    "silver": "what was worked out: training pairs, decisions that are not published yet",
    "gold": "what others may rely on: published results, changes, costs and quality views",
    "matching": "files and models of entity matching",
}
#: Volumes of the schema `matching`.
VOLUMES = {
    "landing": "feeds land here, one file each",
    "reference": "the master, reference.parquet or reference.csv",
    "labels": "known answers: training, evaluation and truth",
    "models": "index, Ditto and matcher folders",
    "staging": "rows on their way through a SQL warehouse",
}
REVIEW_VIEW, STATS_VIEW, CONTRADICTION_VIEW = "gold.review_queue", "gold.daily_stats", "gold.policy_contradictions"
_AUTO, _REVIEW, _ = DECISIONS
#: Columns that the table fills by itself: name -> (expression, comment).
GENERATED = {
    "auto_matched": (f"decision = {sql.literal(_AUTO)}", "whether the match was made without a person"),
    "needs_review": (f"decision = {sql.literal(_REVIEW)}", "whether a person has to decide"),
}


def setup_statements(
    catalog: str, *, make_catalog: bool = False, readers: Iterable[str] = (), writers: Iterable[str] = ()
) -> list[str]:
    """All statements, in order. `readers` see `gold`, `writers` everything; both are names of groups or principals.

    Raises `UserError` for a catalog name that is not of letters, digits and underscores.
    """
    name = sql.quoted(checked_catalog(catalog))
    made = [f"CREATE CATALOG IF NOT EXISTS {name}"] if make_catalog else []
    made += [
        f"CREATE SCHEMA IF NOT EXISTS {sql.quoted(catalog, layer)} COMMENT {sql.literal(said)}"
        for layer, said in LAYERS.items()
    ]
    made += [
        f"CREATE VOLUME IF NOT EXISTS {sql.quoted(catalog, 'matching', volume)} COMMENT {sql.literal(said)}"
        for volume, said in VOLUMES.items()
    ]
    made += [_results(catalog), _policies(catalog), *_views(catalog)]
    return [
        *made,
        *_grants(catalog, readers, ("gold",), "SELECT"),
        *_grants(catalog, writers, tuple(LAYERS), "ALL PRIVILEGES"),
    ]


def _full(catalog: str, table: str) -> str:
    return sql.quoted(catalog, *table.split("."))


def _results(catalog: str) -> str:
    """The published results; the flags are generated, so that nobody can write another answer into them."""
    fields = [field.with_metadata({"comment": RESULT.columns[field.name]}) for field in RESULT_SCHEMA]
    fields.append(pa.field(FILE, pa.string(), metadata={"comment": "landed file that the record came with"}))
    columns = [sql.column(field) for field in fields]
    columns += [
        sql.column(pa.field(name, pa.bool_(), metadata={"comment": comment}), expression)
        for name, (expression, comment) in GENERATED.items()
    ]
    properties = {FEED: "true", KEY_PROPERTY: ",".join(RESULT.key), GENERATED_PROPERTY: ",".join(GENERATED)}
    return _table(_full(catalog, RESULT_TABLE), columns, "one decision for every source record, published", properties)


def _policies(catalog: str) -> str:
    properties = {FEED: "true", KEY_PROPERTY: ",".join(POLICY_KEY)}
    columns = [sql.column(field) for field in POLICY_SCHEMA]
    return _table(_full(catalog, POLICY_TABLE), columns, "thresholds of every matcher that made decisions", properties)


def _table(name: str, columns: list[str], comment: str, properties: dict[str, str]) -> str:
    described = f"({', '.join(columns)}) COMMENT {sql.literal(comment)}"
    return f"CREATE TABLE IF NOT EXISTS {name} {described} {sql.properties(properties)}"


def _views(catalog: str) -> list[str]:
    results, policies = _full(catalog, RESULT_TABLE), _full(catalog, POLICY_TABLE)
    worth = ReviewSettings()
    bad = ", ".join(sql.literal(code) for code in BAD_DATA)
    value = f"confidence + (1 - confidence) * {worth.none!r} - (1 - confidence) * {worth.slip!r} * {worth.wrong!r}"
    queue = (
        f"SELECT CASE WHEN method IN ({bad}) THEN 'mend data' ELSE 'decide' END AS task, round({value}, 4) AS value, "
        "source_system, source_id, matched_entity_id, matched_name, runner_up_id, confidence, margin, method, reason, evidence, "
        f"matched_at FROM {results} WHERE decision = {sql.literal(_REVIEW)} ORDER BY task, value DESC NULLS LAST, source_system, source_id"
    )
    counts = ", ".join(f"count(CASE WHEN decision = {sql.literal(d)} THEN 1 END) AS {d}" for d in DECISIONS)
    stats = (
        f"SELECT CAST(matched_at AS DATE) AS day, source_system, stage, method, count(*) AS records, {counts}, "
        f"avg(confidence) AS mean_confidence FROM {results} GROUP BY CAST(matched_at AS DATE), source_system, stage, method"
    )
    # A feed's own thresholds where it has some, also where those never decide alone; else the common ones.
    threshold = "CASE WHEN o.matcher_version IS NOT NULL THEN o.auto_threshold ELSE c.auto_threshold END"
    contradictions = (
        f"SELECT r.source_system, r.source_id, r.decision, r.confidence, r.method, {threshold} AS auto_threshold, r.matcher_version "
        f"FROM {results} AS r JOIN {policies} AS c ON c.matcher_version = r.matcher_version AND c.source_system = '' "
        f"LEFT JOIN {policies} AS o ON o.matcher_version = r.matcher_version AND o.source_system = r.source_system "
        f"WHERE r.stage IN ('scorer', 'ditto') AND r.decision = {sql.literal(_AUTO)} AND r.confidence < coalesce({threshold}, 2)"
    )
    told = {
        REVIEW_VIEW: (queue, "records that a person has to decide, the answer that is worth most first"),
        STATS_VIEW: (stats, "decisions by day, feed, stage and method"),
        CONTRADICTION_VIEW: (
            contradictions,
            "automatic matches below the threshold of their model: there must be none",
        ),
    }
    return [
        f"CREATE OR REPLACE VIEW {_full(catalog, view)} COMMENT {sql.literal(said)} AS {query}"
        for view, (query, said) in told.items()
    ]


def _grants(catalog: str, principals: Iterable[str], layers: tuple[str, ...], privilege: str) -> list[str]:
    made = []
    for principal in principals:
        who = sql.quoted(principal)
        made.append(f"GRANT USE CATALOG ON CATALOG {sql.quoted(catalog)} TO {who}")
        for layer in layers:
            schema = sql.quoted(catalog, layer)
            made += [f"GRANT USE SCHEMA ON SCHEMA {schema} TO {who}", f"GRANT {privilege} ON SCHEMA {schema} TO {who}"]
    return made
