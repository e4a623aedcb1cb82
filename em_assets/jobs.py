"""Jobs: what people, sensors and schedules launch."""

from typing import Any

import dagster as dg

from em_assets.assets.index import vector_index
from em_assets.assets.matching import match_report, match_results, matched_entities
from em_assets.assets.reference import reference_entities
from em_assets.assets.sources import source_entities
from em_assets.assets.training import (
    champion_matcher,
    ditto_model,
    evaluation_records,
    matcher,
    training_pairs,
)
from em_assets.failures import bad_input_fails
from em_assets.resources import Workspace

# Steps that follow each other gain nothing from a process each, which takes seconds to start; what is heavy has its own anyway.
_ONE_PROCESS = dg.in_process_executor
_REPORT = dg.AssetSelection.assets(match_report)

fit = dg.define_asset_job(
    "fit",
    selection=dg.AssetSelection.assets(
        reference_entities, vector_index, training_pairs, evaluation_records, ditto_model, matcher, champion_matcher
    ),
    description="From the landed master to a fitted matcher, and to the one in use if it beats that.",
)
refresh = dg.define_asset_job(
    "refresh",
    executor_def=_ONE_PROCESS,
    selection=dg.AssetSelection.assets(reference_entities, vector_index, champion_matcher),
    description="A new state of the master for the matcher in use: no training.",
)
match = dg.define_asset_job(
    "match",
    executor_def=_ONE_PROCESS,
    selection=dg.AssetSelection.assets(source_entities, match_results, matched_entities),
    description="Read landed files, match their records, publish the results.",
)
rematch = dg.define_asset_job(
    "rematch",
    executor_def=_ONE_PROCESS,
    selection=dg.AssetSelection.assets(match_results, matched_entities),
    description="Bring the results of feeds that were read before up to date: only what is affected is matched again.",
)
publish = dg.define_asset_job(
    "publish",
    executor_def=_ONE_PROCESS,
    selection=dg.AssetSelection.assets(matched_entities),
    description="Publish decisions that were held back and then accepted.",
)
report = dg.define_asset_job(
    "report", executor_def=_ONE_PROCESS, selection=_REPORT, description="Hold all results against known answers."
)


class RollbackConfig(dg.Config):
    """Where to go back to."""

    version: int = 0
    """registered version of an earlier champion; 0 = the one before this"""


@dg.op(description="Make an earlier champion the matcher in use again, on the newest reference.")
def restore_champion(context: dg.OpExecutionContext, config: RollbackConfig, workspace: Workspace) -> None:
    """Roll back; the sensor `champion_changed` then rematches, and results say which version made them."""
    from em_assets.assets.index import INDEX
    from em_assets.assets.training import CHAMPION
    from em_core.deploy import MATCHER_MODEL, deploy

    with bad_input_fails():
        found = workspace.registry.rollback(MATCHER_MODEL, config.version or None)
        deployed = deploy(workspace.registry, workspace.model(INDEX), workspace.model(CHAMPION))
    context.log_event(
        dg.AssetMaterialization(
            champion_matcher.key,
            description=f"rolled back to version {found.version}",
            metadata={
                "verdict": f"rolled back to version {found.version}",
                "registered_version": deployed.registered,
                "matcher_version": deployed.version,
                "model_version": deployed.model_version,
            },
            tags={"dagster/data_version": deployed.version},
        )
    )


@dg.job(executor_def=_ONE_PROCESS, description="Go back to an earlier champion.")
def rollback() -> None:
    """See `restore_champion`."""
    restore_champion()


class AcceptConfig(dg.Config):
    """Which run."""

    run_id: str
    """Dagster run whose decisions were held back"""


@dg.op(description="Accept the shift of a run that the check `decisions_are_stable` held back.")
def accept_shift(context: dg.OpExecutionContext, config: AcceptConfig, workspace: Workspace) -> None:
    """The run's distributions become the baseline of the next; publish its feeds with the job `publish`."""
    from em_core.evaluation.drift import accept

    accepted = accept(workspace.tables, config.run_id)
    if not accepted:
        raise dg.Failure(f"no run {config.run_id!r} was held back", allow_retries=False)
    context.log.info(f"accepted: {accepted} source system(s)")


@dg.job(executor_def=_ONE_PROCESS, description="Accept the decisions of a run that was held back by drift.")
def accept_run() -> None:
    """See `accept_shift`."""
    accept_shift()


JOBS: list[Any] = [fit, refresh, match, rematch, publish, report, rollback, accept_run]
