"""Sensors: what starts by itself."""

import json

import dagster as dg

from em_assets.jobs import match
from em_assets.partitions import source_files
from em_assets.resources import Workspace

_NOT_FEEDS = (".mapping.yaml",)


@dg.sensor(job=match, minimum_interval_seconds=30)
def landed_files(context: dg.SensorEvaluationContext, workspace: Workspace) -> dg.SensorResult:
    """Each new or changed file of the drop folder becomes a partition and is matched.

    A file counts as landed once its size and time stood still between two looks.
    """
    seen: dict[str, list[str]] = json.loads(context.cursor or "{}")
    now: dict[str, list[str]] = {}
    requests = []
    for path in sorted(workspace.landing.glob("*")) if workspace.landing.is_dir() else []:
        if path.name.startswith(".") or path.name.endswith(_NOT_FEEDS) or not path.is_file():
            continue
        stat = path.stat()
        state, (last, launched) = f"{stat.st_size}-{stat.st_mtime_ns}", seen.get(path.name, ["", ""])
        if state == last and state != launched:
            requests.append(dg.RunRequest(partition_key=path.name, run_key=f"{path.name}-{state}"))
            launched = state
        now[path.name] = [state, launched]
    return dg.SensorResult(
        run_requests=requests,
        dynamic_partitions_requests=[source_files.build_add_request([str(r.partition_key) for r in requests])],
        cursor=json.dumps(now),
    )
