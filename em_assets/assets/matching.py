"""Matching: one result for every record, and the report over all feeds."""

import dagster as dg

from em_assets.assets import OWNERS
from em_assets.assets.reference import REFERENCE_TABLE, reference_entities
from em_assets.assets.sources import FILE_COLUMN, SOURCE_TABLE, source_entities
from em_assets.assets.training import MATCHER, matcher
from em_assets.metadata import column_schema, preview, report_metadata, table_metadata
from em_assets.partitions import source_files
from em_assets.resources import Workspace
from em_assets.verdicts import one_result_fault, verdict
from em_core.schema import RESULT, RESULT_SCHEMA

RESULT_TABLE = "gold.matched_entities"
# Columns that say which run wrote a row, not what it says: alone they are no change.
_WHO_AND_WHEN = ("run_id", "matched_at")


@dg.asset(
    group_name="matching",
    partitions_def=source_files,
    deps=[source_entities, matcher],
    kinds={"deltalake", "pytorch"},
    owners=OWNERS,
    check_specs=[
        dg.AssetCheckSpec(
            "every_record_has_one_result",
            asset="match_results",
            blocking=True,
            description="One result row for every source row of this feed, as stored: no more and no fewer.",
        )
    ],
    metadata={
        "dagster/column_schema": column_schema({**RESULT.columns, **FILE_COLUMN}),
        "dagster/table_name": RESULT_TABLE,
    },
)
def match_results(context: dg.AssetExecutionContext, workspace: Workspace) -> dg.MaterializeResult:
    """Exactly one decision for every record of the feed: auto_match, review or no_match, with confidence and evidence."""
    import pyarrow as pa

    from em_core.files import fingerprint
    from em_core.matcher import Matcher, Timings

    key, timings = context.partition_key, Timings()
    source = workspace.tables.read(SOURCE_TABLE, filter={"source_file": key}).drop(columns="source_file")
    engine = Matcher.load(workspace.model(MATCHER))
    results = engine.match(source, run_id=context.run.run_id, progress=True, timings=timings)
    counts = workspace.tables.upsert(
        RESULT_TABLE,
        results.assign(source_file=key),
        key=RESULT.key,
        scope={"source_file": key},
        ignore=_WHO_AND_WHEN,
        schema=RESULT_SCHEMA.append(pa.field("source_file", pa.string())),
    )
    stored = workspace.tables.read(RESULT_TABLE, columns=list(RESULT.key), filter={"source_file": key})
    fault = one_result_fault(source, stored, list(RESULT.key))
    decided = results["decision"].value_counts()
    shown = ("source_id", "matched_name", "decision", "confidence", "method", "reason")
    return dg.MaterializeResult(
        metadata={
            **table_metadata(results, RESULT_TABLE, shown),
            **{decision: int(decided.get(decision, 0)) for decision in ("auto_match", "review", "no_match")},
            "methods": dg.MetadataValue.json({str(k): int(v) for k, v in results["method"].value_counts().items()}),
            "rows_changed": counts.changed,
            "seconds": dg.MetadataValue.json({k: round(v, 2) for k, v in timings.seconds.items()}),
            "ditto_pairs": timings.ditto_pairs,
            "matcher_version": engine.version,
        },
        check_results=[verdict(fault, "every_record_has_one_result", records=len(source), results=len(stored))],
        data_version=dg.DataVersion(fingerprint(results.drop(columns=list(_WHO_AND_WHEN)))),
    )


@dg.asset(group_name="matching", deps=[match_results, reference_entities], kinds={"html"}, owners=OWNERS)
def match_report(context: dg.AssetExecutionContext, workspace: Workspace) -> dg.MaterializeResult:
    """All feeds against known answers, where there are any: one page that opens without a network."""
    from em_core.decision.review import review_queue
    from em_core.evaluation import CandidateRecall, Costs, TrainingDigests, evaluate, write_report
    from em_core.files import read_table
    from em_core.matcher import matcher_version
    from em_core.schema import prepare_truth

    results = workspace.tables.read(RESULT_TABLE).drop(columns="source_file")
    truth = None
    if (path := workspace.truth) is not None:
        truth = prepare_truth(read_table(path), origin=path.name)
    source = workspace.tables.read(SOURCE_TABLE).drop(columns="source_file")
    training, recall, costs = None, None, None
    # What a matcher learned from and finds says nothing about results of another one.
    if set(results["matcher_version"]) == {matcher_version(folder := workspace.model(MATCHER))}:
        training, recall, costs = TrainingDigests.load(folder), CandidateRecall.load(folder), Costs.of_matcher(folder)
    reference = workspace.tables.read(REFERENCE_TABLE)
    evaluation = evaluate(results, truth, source=source, reference=reference, training=training, costs=costs)
    versions = {name: ", ".join(sorted(set(results[name]))) for name in ("matcher_version", "reference_version")}
    context_lines = {"Dagster run": context.run.run_id, **{k.replace("_", " "): v for k, v in versions.items()}}
    if training is None:
        context_lines["seen in training"] = "not checked: these results are not all of the matcher that is fitted now"
    write_report(workspace.report, evaluation, title="Match report", context=context_lines, recall=recall)
    return dg.MaterializeResult(
        metadata={
            **report_metadata(evaluation, recall),
            "report": dg.MetadataValue.path(str(workspace.report)),
            "review_first": preview(
                review_queue(results, source),
                ("place", "value", "records", "name", "matched_name", "method", "reason"),
            ),
        }
    )
