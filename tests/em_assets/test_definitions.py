"""The code location: it loads anywhere, and nothing in it dangles."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import dagster as dg
import pytest
import yaml

from em_assets.definitions import defs

ASSETS = {
    "reference_entities", "source_entities", "vector_index", "training_pairs", "evaluation_records", "ditto_model", "matcher",
    "champion_matcher", "match_results", "matched_entities", "match_report",
}  # fmt: skip
ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def location() -> dg.Definitions:
    return defs()


def test_it_is_loadable_and_holds_what_it_should(location: dg.Definitions) -> None:
    dg.Definitions.validate_loadable(location)
    graph = location.resolve_asset_graph()
    assert {key.to_user_string() for key in graph.materializable_asset_keys} == ASSETS
    # A mistyped dependency or check target would show as an external asset.
    assert not graph.external_asset_keys
    checked = {key.asset_key.to_user_string() for key in graph.asset_check_keys}
    assert checked == {
        "reference_entities", "source_entities", "training_pairs", "matcher", "champion_matcher", "match_results", "match_report",
    }  # fmt: skip


def test_every_asset_tells_its_story(location: dg.Definitions) -> None:
    for spec in location.resolve_all_asset_specs():
        assert (
            spec.description
            and spec.owners
            and spec.tags["layer"] in {"bronze", "silver", "gold", "model"}
            and spec.kinds
            and spec.group_name in {"reference", "sources", "model", "matching"}
        )
    for key in ("reference_entities", "source_entities", "matched_entities"):
        schema = location.resolve_assets_def(key).metadata_by_key[dg.AssetKey(key)]["dagster/column_schema"]
        assert all(column.description for column in schema.columns)


def test_jobs_sensors_and_schedules(location: dg.Definitions) -> None:
    jobs = {"fit", "refresh", "match", "rematch", "publish", "report", "rollback", "accept_run"}
    assert {job.name for job in location.jobs} == jobs
    for name in ("match", "rematch", "publish"):
        assert location.resolve_job_def(name).partitions_def is not None
    repository = location.get_repository_def()
    targets = {sensor.name: [t.job_name for t in sensor.targets] for sensor in repository.sensor_defs}
    assert targets["landed_files"] == ["match"] and targets["champion_changed"] == ["rematch"]
    assert {"landed_reference", "failed_runs", "automation"} <= set(targets)
    for sensor in repository.sensor_defs:
        assert sensor.default_status == dg.DefaultSensorStatus.STOPPED
    assert {schedule.name for schedule in repository.schedule_defs} == {"nightly_match", "monthly_retrain"}
    for schedule in repository.schedule_defs:
        assert schedule.default_status == dg.DefaultScheduleStatus.STOPPED


def test_loading_imports_nothing_heavy_and_writes_nothing(tmp_path: Path) -> None:
    code = (
        "import sys, em_assets.definitions as d; d.defs(); "
        "heavy = {'torch', 'transformers', 'faiss', 'mlflow', 'sklearn'} & set(sys.modules); assert not heavy, heavy"
    )
    env = {"PATH": "/usr/bin:/bin", "HOME": str(tmp_path)}
    subprocess.run([sys.executable, "-c", code], check=True, cwd=tmp_path, env=env, timeout=120)
    assert not list(tmp_path.iterdir())


def test_validate_is_clean_without_credentials(tmp_path: Path) -> None:
    env = {"PATH": "/usr/bin:/bin", "HOME": str(tmp_path), "DAGSTER_HOME": str(tmp_path)}
    (tmp_path / "dagster.yaml").write_text((ROOT / "dagster.yaml").read_text())
    command = [sys.executable, "-m", "dagster", "definitions", "validate", "-m", "em_assets.definitions"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=tmp_path, env=env, timeout=200)
    assert done.returncode == 0, done.stdout + done.stderr


def test_configuration_files() -> None:
    from dagster_cloud_cli.config.models import load_dagster_cloud_yaml

    (cloud,) = load_dagster_cloud_yaml((ROOT / "dagster_cloud.yaml").read_text()).locations
    (local,) = yaml.safe_load((ROOT / "workspace.yaml").read_text())["load_from"]
    assert cloud.code_source.module_name == local["python_module"]["module_name"] == "em_assets.definitions"
    import tomllib

    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["dg"]["project"]
    assert project["code_location_name"] == cloud.location_name == local["python_module"]["location_name"]
    assert yaml.safe_load((ROOT / "dagster.yaml").read_text())["telemetry"]["enabled"] is False
