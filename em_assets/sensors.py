"""Sensors: what starts by itself. All are off until someone switches them on, or `EM_AUTOMATION=on` is set.

`EM_LOOK_SECONDS` (30) is the least time between two looks.
"""

from __future__ import annotations

import json
import os
from collections.abc import Sequence

import dagster as dg
from dagster import DagsterRunStatus, RunsFilter

from em_assets.assets.training import champion_matcher
from em_assets.jobs import match, refresh, rematch
from em_assets.notify import Notifier
from em_assets.partitions import RANGE_END, RANGE_START, source_files
from em_assets.resources import Workspace
from em_core.errors import UserError
from em_core.files import fingerprint_texts

_UNFINISHED = [
    DagsterRunStatus.QUEUED, DagsterRunStatus.NOT_STARTED, DagsterRunStatus.STARTING, DagsterRunStatus.STARTED,
    DagsterRunStatus.CANCELING,
]  # fmt: skip
# More files than this in one look share runs: thousands of files are no thousands of runs.
_ONE_BY_ONE = 10
_RUNS = 5
_STATUS = (
    dg.DefaultSensorStatus.RUNNING
    if os.environ.get("EM_AUTOMATION", "").lower() == "on"
    else dg.DefaultSensorStatus.STOPPED
)


def _look_seconds() -> int:
    text = os.environ.get("EM_LOOK_SECONDS") or "30"
    if not (text.isascii() and text.isdigit() and int(text)):
        raise UserError(f"EM_LOOK_SECONDS is {text!r}: a whole number of seconds is needed")
    return int(text)


_SECONDS = _look_seconds()


def stretches(keys: Sequence[str], wanted: set[str], most: int) -> list[tuple[str, str]]:
    """At most `most` ranges (first, last) of `keys` that hold all `wanted` ones; the narrowest gaps between them are bridged."""
    places = [place for place, key in enumerate(keys) if key in wanted]
    if not places:
        return []
    gaps = sorted(range(1, len(places)), key=lambda i: places[i] - places[i - 1], reverse=True)
    cuts = sorted(i for i in gaps[: most - 1] if places[i] - places[i - 1] > 1)
    starts, ends = [0, *cuts], [*(i - 1 for i in cuts), len(places) - 1]
    return [(keys[places[a]], keys[places[b]]) for a, b in zip(starts, ends, strict=True)]


@dg.sensor(job=match, minimum_interval_seconds=_SECONDS, default_status=_STATUS)
def landed_files(context: dg.SensorEvaluationContext, workspace: Workspace) -> dg.SensorResult:
    """Each new or changed file of the drop folder becomes a partition and is matched.

    A file counts as landed once its size and time stood still between two looks. Up to ten files get a run each; more of them share a
    few runs over ranges of partitions.
    """
    seen: dict[str, list[str]] = json.loads(context.cursor or "{}")
    now, ready = {}, {}
    for name, state in workspace.drop.files():
        last, launched = seen.get(name, ["", ""])
        if state == last and state != launched:
            ready[name] = launched = state
        now[name] = [state, launched]
    known = context.instance.get_dynamic_partitions(str(source_files.name))
    new = sorted(set(ready) - set(known))
    if len(ready) <= _ONE_BY_ONE:
        requests = [dg.RunRequest(partition_key=name, run_key=f"{name}-{state}") for name, state in ready.items()]
    else:
        ranges = stretches([*known, *new], set(ready), _RUNS)
        mark = fingerprint_texts([f"{name}={state}" for name, state in sorted(ready.items())])
        requests = [dg.RunRequest(run_key=f"{mark}-{a}", tags={RANGE_START: a, RANGE_END: b}) for a, b in ranges]
    return dg.SensorResult(
        run_requests=requests,
        dynamic_partitions_requests=[source_files.build_add_request(new)] if new else [],
        cursor=json.dumps(now),
    )


@dg.sensor(job=refresh, minimum_interval_seconds=_SECONDS, default_status=_STATUS)
def landed_reference(context: dg.SensorEvaluationContext, workspace: Workspace) -> dg.SensorResult | dg.SkipReason:
    """A new state of the master's file is read, indexed and given to the matcher in use. Nothing before the first fit."""
    try:
        path = workspace.reference
    except UserError as error:
        return dg.SkipReason(str(error))
    newest = max((p for p in [path, *path.rglob("*")] if p.is_file()), key=lambda p: p.stat().st_mtime_ns)
    size = sum(p.stat().st_size for p in ([path] if path.is_file() else path.rglob("*")) if p.is_file())
    state = f"{newest.stat().st_mtime_ns}-{size}"
    last, launched = json.loads(context.cursor or '["", ""]')
    if context.instance.get_latest_materialization_event(champion_matcher.key) is None:
        return dg.SensorResult(cursor=json.dumps([state, state]), skip_reason="no matcher was fitted yet")
    if not launched:
        launched = state  # what the first fit read
    requests = [dg.RunRequest(run_key=f"reference-{state}")] if state == last and state != launched else []
    return dg.SensorResult(run_requests=requests, cursor=json.dumps([state, state if requests else launched]))


@dg.sensor(job=rematch, minimum_interval_seconds=_SECONDS, default_status=_STATUS)
def champion_changed(context: dg.SensorEvaluationContext) -> dg.SensorResult | dg.SkipReason:
    """Another matcher in use, or the same on another reference: the feeds are brought up to date, in one run.

    While such a run is under way nothing is launched; then the newest version is, whatever came in between.
    """
    event = context.instance.get_latest_materialization_event(champion_matcher.key)
    materialization = event.asset_materialization if event else None
    if materialization is None:
        return dg.SkipReason("there is no matcher in use yet")
    version = str((materialization.tags or {}).get("dagster/data_version"))
    if version == context.cursor:
        return dg.SkipReason(f"matcher {version} has been given to all feeds")
    keys = context.instance.get_dynamic_partitions(str(source_files.name))
    if not keys:
        return dg.SensorResult(cursor=version, skip_reason="no feed has landed yet")
    if context.instance.get_run_records(RunsFilter(job_name=rematch.name, statuses=_UNFINISHED), limit=1):
        return dg.SkipReason("a rematch is under way; the newest matcher comes after it")
    # The event, not the version, is the key: after a rollback the same version comes again.
    tags = {RANGE_START: keys[0], RANGE_END: keys[-1], "matcher_version": version}
    return dg.SensorResult(
        run_requests=[dg.RunRequest(run_key=f"rematch-{version}-{event.timestamp if event else 0}", tags=tags)],
        cursor=version,
    )


def _cause(event: dg.DagsterEvent) -> str:
    """First line of the error that began it, without Dagster's wrapping."""
    error = event.step_failure_data.error
    while error and error.cause:
        error = error.cause
    return error.message.strip().splitlines()[0] if error and error.message.strip() else "no error was told"


@dg.run_failure_sensor(default_status=_STATUS)
def failed_runs(context: dg.RunFailureSensorContext, notifier: dg.ResourceParam[Notifier]) -> None:
    """Tell people of a failed run: in the log, or by the webhook `EM_WEBHOOK_URL`."""
    steps = [(event.step_key or "", _cause(event)) for event in context.get_step_failure_events()]
    notifier.notify(
        f"{context.dagster_run.job_name} failed", context.failure_event.message or "", context.dagster_run.run_id, steps
    )


automation = dg.AutomationConditionSensorDefinition(
    "automation",
    target=dg.AssetSelection.assets("vector_index", "champion_matcher", "match_report"),
    default_status=_STATUS,
    minimum_interval_seconds=_SECONDS,
    description="Materializes assets whose conditions hold: see `em_assets/automation.py`.",
)
SENSORS = [landed_files, landed_reference, champion_changed, failed_runs, automation]
