"""Sensors, tick by tick over a folder that changes, against a real instance."""

from __future__ import annotations

import itertools
import json
import os
from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import pytest
from hypothesis import given
from hypothesis import strategies as st

from em_assets.assets.training import champion_matcher
from em_assets.partitions import source_files
from em_assets.resources import Workspace
from em_assets.schedules import nightly_match
from em_assets.sensors import champion_changed, landed_files, landed_reference, stretches

START, END = "dagster/asset_partition_range_start", "dagster/asset_partition_range_end"


@pytest.fixture
def instance() -> Iterator[dg.DagsterInstance]:
    with dg.instance_for_test() as made:
        yield made


def tick(instance: dg.DagsterInstance, root: Path, cursor: str | None) -> tuple[list[dg.RunRequest], str]:
    """One look of `landed_files`; its partitions are added, as the daemon does."""
    context = dg.build_sensor_context(instance=instance, cursor=cursor)
    result = landed_files(context, workspace=Workspace(root=str(root)))
    assert isinstance(result, dg.SensorResult)
    for request in result.dynamic_partitions_requests or []:
        instance.add_dynamic_partitions(request.partitions_def_name, list(request.partition_keys))
    return list(result.run_requests or []), str(result.cursor)


def keys(requests: list[dg.RunRequest]) -> list[str]:
    return [str(request.partition_key) for request in requests]


def test_a_file_is_matched_once_it_stands_still(instance: dg.DagsterInstance, tmp_path: Path) -> None:
    assert tick(instance, tmp_path, None)[0] == []
    landing = tmp_path / "landing"
    landing.mkdir()
    feed = landing / "crm.csv"
    feed.write_text("id,name\n1,A\n")
    for name in (".half.tmp", "upload.csv.part", "crm.mapping.yaml", "~lock.csv"):
        (landing / name).write_text("")
    (landing / "quarantine").mkdir()
    first, cursor = tick(instance, tmp_path, None)
    assert first == []
    feed.write_text("id,name\n1,A\n2,B\n")  # still growing
    growing, cursor = tick(instance, tmp_path, cursor)
    assert growing == []
    still, cursor = tick(instance, tmp_path, cursor)
    assert keys(still) == ["crm.csv"] == instance.get_dynamic_partitions(str(source_files.name))
    again, cursor = tick(instance, tmp_path, cursor)
    assert again == []
    feed.write_text("id,name\n1,A\n2,B\n3,C\n")
    _, cursor = tick(instance, tmp_path, cursor)
    changed, cursor = tick(instance, tmp_path, cursor)
    assert keys(changed) == ["crm.csv"] and changed[0].run_key != still[0].run_key
    # A file that goes and comes back as it was is a new delivery.
    feed.unlink()
    _, cursor = tick(instance, tmp_path, cursor)
    assert json.loads(cursor) == {}


def test_a_restart_in_the_middle_loses_and_repeats_nothing(instance: dg.DagsterInstance, tmp_path: Path) -> None:
    landing = tmp_path / "landing"
    landing.mkdir()
    for number in range(3):
        (landing / f"f{number}.csv").write_text("id,name\n1,A\n")
    _, cursor = tick(instance, tmp_path, None)
    launched, later = tick(instance, tmp_path, cursor)
    # The daemon died before it stored the cursor: the same requests come again, under the same keys, which launch nothing twice.
    repeated, _ = tick(instance, tmp_path, cursor)
    assert [r.run_key for r in repeated] == [r.run_key for r in launched] and len(launched) == 3
    assert tick(instance, tmp_path, later)[0] == []


def test_three_thousand_files_are_no_thousands_of_runs(instance: dg.DagsterInstance, tmp_path: Path) -> None:
    landing = tmp_path / "landing"
    landing.mkdir()
    for number in range(3000):
        (landing / f"drop{number:04d}.csv").write_text("id,name\n1,A\n")
    _, cursor = tick(instance, tmp_path, None)
    requests, cursor = tick(instance, tmp_path, cursor)
    known = instance.get_dynamic_partitions(str(source_files.name))
    assert len(known) == 3000 and len(requests) == 1
    assert (requests[0].tags[START], requests[0].tags[END]) == (known[0], known[-1])
    for number in range(0, 3000, 100):
        path = landing / f"drop{number:04d}.csv"
        path.write_text("id,name\n1,B\n")
        os.utime(path, ns=(number, number))
    _, cursor = tick(instance, tmp_path, cursor)
    requests, _ = tick(instance, tmp_path, cursor)
    assert 1 <= len(requests) <= 5
    places = {key: place for place, key in enumerate(known)}
    covered = {p for r in requests for p in range(places[r.tags[START]], places[r.tags[END]] + 1)}
    assert {places[f"drop{n:04d}.csv"] for n in range(0, 3000, 100)} <= covered


@given(st.sets(st.integers(0, 60), min_size=1), st.integers(1, 6))
def test_ranges_hold_what_is_wanted_and_bridge_the_narrow_gaps(wanted: set[int], most: int) -> None:
    names = [str(number) for number in range(61)]
    ranges = [(int(a), int(b)) for a, b in stretches(names, {str(w) for w in wanted}, most)]
    assert 1 <= len(ranges) <= most and all(a in wanted and b in wanted and a <= b for a, b in ranges)
    assert wanted <= {number for a, b in ranges for number in range(a, b + 1)}
    assert all(b < c for (_, b), (c, _) in itertools.pairwise(ranges))


def in_use(instance: dg.DagsterInstance, version: str) -> None:
    """A champion materialized with this data version."""
    instance.report_runless_asset_event(
        dg.AssetMaterialization(champion_matcher.key, tags={"dagster/data_version": version})
    )


def champion_tick(instance: dg.DagsterInstance, cursor: str | None) -> tuple[list[dg.RunRequest], str | None]:
    result = champion_changed(dg.build_sensor_context(instance=instance, cursor=cursor))
    if isinstance(result, dg.SkipReason):
        return [], cursor
    assert isinstance(result, dg.SensorResult)
    return list(result.run_requests or []), result.cursor


def test_another_matcher_brings_all_feeds_up_to_date_in_one_run(instance: dg.DagsterInstance) -> None:
    assert champion_tick(instance, None) == ([], None)
    instance.add_dynamic_partitions(str(source_files.name), ["a.csv", "b.csv", "c.csv"])
    in_use(instance, "v1")
    (request,), cursor = champion_tick(instance, None)
    assert (request.tags[START], request.tags[END]) == ("a.csv", "c.csv") and request.tags["matcher_version"] == "v1"
    assert champion_tick(instance, cursor)[0] == []

    # While that run is under way two more come: the newest wins, after it.
    run = dg.DagsterRun(job_name="rematch", status=dg.DagsterRunStatus.STARTED)
    instance.add_run(run)
    in_use(instance, "v2")
    assert champion_tick(instance, cursor) == ([], cursor)
    in_use(instance, "v3")
    assert champion_tick(instance, cursor) == ([], cursor)
    instance.report_run_canceled(instance.get_run_by_id(run.run_id))
    (request,), cursor = champion_tick(instance, cursor)
    assert request.tags["matcher_version"] == "v3"
    # Back to an earlier version: launched again, under a key of its own.
    first_key = request.run_key
    in_use(instance, "v1")
    _, cursor = champion_tick(instance, cursor)
    in_use(instance, "v3")
    (request,), _ = champion_tick(instance, cursor)
    assert request.run_key != first_key


def test_a_new_master_refreshes_the_matcher_in_use(instance: dg.DagsterInstance, tmp_path: Path) -> None:
    workspace = Workspace(root=str(tmp_path))

    def look(cursor: str | None) -> tuple[int, str | None]:
        result = landed_reference(dg.build_sensor_context(instance=instance, cursor=cursor), workspace=workspace)
        if isinstance(result, dg.SkipReason):
            return 0, cursor
        assert isinstance(result, dg.SensorResult)
        return len(result.run_requests or []), result.cursor

    assert look(None) == (0, None)
    path = tmp_path / "reference" / "reference.csv"
    path.parent.mkdir()
    path.write_text("id,name\n1,A\n")
    launched, cursor = look(None)
    assert launched == 0  # nothing was fitted yet
    in_use(instance, "v1")
    launched, cursor = look(cursor)
    assert launched == 0
    path.write_text("id,name\n1,A\n2,B\n")
    launched, cursor = look(cursor)
    assert launched == 0  # may still be growing
    launched, cursor = look(cursor)
    assert launched == 1
    assert look(cursor)[0] == 0


def test_the_night_brings_everything_up_to_date(instance: dg.DagsterInstance) -> None:
    context = dg.build_schedule_context(instance=instance, scheduled_execution_time=None)
    assert isinstance(nightly_match(context), dg.SkipReason)
    instance.add_dynamic_partitions(str(source_files.name), ["a.csv", "b.csv"])
    from datetime import UTC, datetime

    context = dg.build_schedule_context(instance=instance, scheduled_execution_time=datetime(2026, 1, 2, tzinfo=UTC))
    request = nightly_match(context)
    assert isinstance(request, dg.RunRequest) and (request.tags[START], request.tags[END]) == ("a.csv", "b.csv")
