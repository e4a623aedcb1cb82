"""Matching: decisions for every record, published once they are accepted, and the report over all feeds."""

import tempfile
from pathlib import Path

import dagster as dg

from em_assets.assets import GOLD, OWNERS, SILVER
from em_assets.assets.reference import reference_entities
from em_assets.assets.sources import FILE_COLUMN, source_entities
from em_assets.assets.training import CHAMPION, champion_matcher
from em_assets.automation import on_change
from em_assets.failures import RETRY, bad_input_fails
from em_assets.launchers import Argument, Launchers, Place
from em_assets.metadata import column_schema, preview, report_metadata, table_metadata, table_of
from em_assets.partitions import source_files
from em_assets.resources import Workspace
from em_assets.verdicts import drift_verdict, one_result_fault, verdict
from em_core.schema import RESULT
from em_core.storage.names import (
    CHANGE_TABLE,
    DECISION_TABLE,
    REFERENCE_TABLE,
    RESULT_TABLE,
    SOURCE_TABLE,
)

_SHOWN = ("source_id", "matched_name", "decision", "confidence", "method", "reason")
# So many feeds are named on the command line; more of them in a file.
_ON_COMMAND_LINE = 20


class MatchConfig(dg.Config):
    """How to match."""

    full: bool = False
    """match every record again, also those that nothing concerns"""


@dg.asset(
    group_name="matching",
    partitions_def=source_files,
    backfill_policy=dg.BackfillPolicy.single_run(),
    deps=[source_entities, champion_matcher],
    kinds={"deltalake", "pytorch"},
    owners=OWNERS,
    tags=SILVER,
    pool="matching",
    check_specs=[
        dg.AssetCheckSpec(
            "every_record_has_one_result",
            asset="match_results",
            blocking=True,
            description="One decision for every source row of these feeds, as stored: no more and no fewer.",
        ),
        dg.AssetCheckSpec(
            "decisions_are_stable",
            asset="match_results",
            blocking=True,
            description="Decisions and confidences are distributed as in the last accepted run of each source system (population "
            "stability index; small feeds must exceed chance too). The job `accept_run` lets a run that was held back pass.",
        ),
    ],
    metadata={"dagster/table_name": DECISION_TABLE},
)
def match_results(
    context: dg.AssetExecutionContext, workspace: Workspace, launchers: Launchers, config: MatchConfig
) -> dg.MaterializeResult:
    """Exactly one decision for every record of the feeds, with confidence and evidence. Not published before its checks have passed.

    Only records whose own content, candidates or model changed are matched again; the others keep their decision.
    """
    from em_core.evaluation.drift import measure_drift
    from em_core.feeds import FILE

    keys, run_id = list(context.partition_keys), context.run.run_id
    arguments: list[Argument] = [
        "--tables",
        workspace.table_argument,
        "--matcher",
        Place(workspace.model(CHAMPION), "read"),
        "--run-id",
        run_id,
    ]
    with tempfile.TemporaryDirectory(prefix="feeds-") as scratch:
        if len(keys) <= _ON_COMMAND_LINE:
            arguments += [text for key in keys for text in ("--feed", key)]
        else:
            names = Path(scratch) / "feeds.txt"
            names.write_text("".join(f"{key}\n" for key in keys), encoding="utf-8")
            arguments += ["--feeds-file", Place(names, "read")]
        arguments += ["--full"] if config.full else []
        done = launchers.of("match_results").run(context, "em_match_feeds", arguments, {})
    with bad_input_fails():
        where = {FILE: keys}
        source = workspace.tables.read(SOURCE_TABLE, columns=list(RESULT.key), filter=where)
        results = workspace.tables.read(DECISION_TABLE, filter=where)
        drifts = measure_drift(workspace.tables, results, run_id)
    fault = one_result_fault(source, results, list(RESULT.key))
    return dg.MaterializeResult(
        metadata={
            **(done.metadata or {}),
            "dagster/row_count": len(results),
            "preview": preview(results, _SHOWN),
            "files": len(keys),
        },
        check_results=[
            verdict(fault, "every_record_has_one_result", records=len(source), results=len(results)),
            drift_verdict(drifts, "decisions_are_stable"),
        ],
        data_version=done.data_version,
    )


@dg.asset(
    group_name="matching",
    partitions_def=source_files,
    backfill_policy=dg.BackfillPolicy.single_run(),
    deps=[match_results],
    kinds={"deltalake", "pandas"},
    owners=OWNERS,
    tags=GOLD,
    retry_policy=RETRY,
    metadata={
        "dagster/column_schema": column_schema({**RESULT.columns, **FILE_COLUMN}),
        "dagster/table_name": RESULT_TABLE,
    },
)
def matched_entities(context: dg.AssetExecutionContext, workspace: Workspace) -> dg.MaterializeResult:
    """The published results, and in `gold.match_changes` what flipped: for whom, from what to what, and why."""
    from em_core.feeds import FILE, publish

    keys = list(context.partition_keys)
    with bad_input_fails():
        done = publish(workspace.tables, keys, run_id=context.run.run_id)
        stored = workspace.tables.read(RESULT_TABLE, filter={FILE: keys})
    told = ("source_id", "change", "why", "old_matched_name", "new_matched_name", "old_decision", "new_decision")
    return dg.MaterializeResult(
        metadata={
            **table_metadata(stored, RESULT_TABLE, _SHOWN),
            "rows_changed": done.changed,
            "flips": len(done.flips),
            "flips_by_kind": table_of(
                {str(k): int(v) for k, v in done.flips["change"].value_counts().items()}, "change", "records"
            ),
            "flips_by_reason": table_of(
                {str(k): int(v) for k, v in done.flips["why"].value_counts().items()}, "why", "records"
            ),
            "first_flips": preview(done.flips, told, rows=20),
            "changes_table": CHANGE_TABLE,
            "made_by": table_of(
                {str(k): int(v) for k, v in stored["matcher_version"].value_counts().items()},
                "matcher_version",
                "records",
            ),
        },
        data_version=dg.DataVersion(done.digest),
    )


@dg.asset(
    group_name="matching",
    deps=[matched_entities, reference_entities],
    kinds={"html"},
    owners=OWNERS,
    tags=GOLD,
    automation_condition=on_change(dg.AssetSelection.assets(matched_entities)),
    check_specs=[
        dg.AssetCheckSpec(
            "certified_precision_holds",
            asset="match_report",
            description="Known answers do not contradict the precision that the thresholds promise.",
        )
    ],
)
def match_report(context: dg.AssetExecutionContext, workspace: Workspace) -> dg.MaterializeResult:
    """All feeds against known answers, where there are any: one page that opens without a network."""
    from em_core.decision.review import review_queue
    from em_core.evaluation import CandidateRecall, Costs, TrainingDigests, evaluate, write_report
    from em_core.files import read_table
    from em_core.matcher import matcher_model
    from em_core.schema import prepare_truth

    with bad_input_fails():
        decided = workspace.tables.read(DECISION_TABLE, columns=[*RESULT.key, "model_version"])
        results = workspace.tables.read(RESULT_TABLE).drop(columns="source_file")
        truth = None
        if (path := workspace.truth) is not None:
            truth = prepare_truth(read_table(path), origin=path.name)
        source = workspace.tables.read(SOURCE_TABLE).drop(columns="source_file")
        training, recall, costs = None, None, None
        # What a model learned from and finds says nothing about results of another one.
        if set(decided["model_version"]) == {matcher_model(folder := workspace.model(CHAMPION))}:
            training, recall, costs = (
                TrainingDigests.load(folder),
                CandidateRecall.load(folder),
                Costs.of_matcher(folder),
            )
        reference = workspace.tables.read(REFERENCE_TABLE)
        evaluation = evaluate(results, truth, source=source, reference=reference, training=training, costs=costs)
    versions = {name: ", ".join(sorted(set(results[name]))) for name in ("matcher_version", "reference_version")}
    context_lines = {"Dagster run": context.run.run_id, **{k.replace("_", " "): v for k, v in versions.items()}}
    if training is None:
        context_lines["seen in training"] = "not checked: these results are not all of the model that is in use now"
    write_report(workspace.report, evaluation, title="Match report", context=context_lines, recall=recall)
    promise = evaluation.promise
    said = {"labels": promise.labels, "errors": promise.errors, "promised": promise.target}
    words = f"{promise.errors} of {promise.labels} labelled automatic matches are wrong"
    return dg.MaterializeResult(
        metadata={
            **report_metadata(evaluation, recall),
            "report": dg.MetadataValue.path(str(workspace.report)),
            "review_first": preview(
                review_queue(results, source),
                ("place", "value", "records", "name", "matched_name", "method", "reason"),
            ),
        },
        check_results=[
            verdict(
                f"{words}: {promise.target:.0%} is not kept" if promise.status == "broken" else None,
                "certified_precision_holds",
                **said,
            )
        ],
    )
