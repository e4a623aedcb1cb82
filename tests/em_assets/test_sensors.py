"""The landing sensor: whole files only, each state of a file once."""

from __future__ import annotations

import json
from pathlib import Path

import dagster as dg
import pytest

from em_assets.resources import Workspace
from em_assets.sensors import landed_files


def look(instance: dg.DagsterInstance, root: Path, cursor: str | None) -> tuple[list[str], str]:
    context = dg.build_sensor_context(instance=instance, cursor=cursor)
    result = landed_files(context, workspace=Workspace(root=str(root)))
    assert isinstance(result, dg.SensorResult)
    return [str(request.partition_key) for request in result.run_requests or []], str(result.cursor)


@pytest.fixture
def instance() -> dg.DagsterInstance:
    with dg.instance_for_test() as made:
        yield made


def test_a_file_is_matched_once_it_stands_still(instance: dg.DagsterInstance, tmp_path: Path) -> None:
    assert look(instance, tmp_path, None)[0] == []
    landing = tmp_path / "landing"
    landing.mkdir()
    feed = landing / "crm.csv"
    feed.write_text("id,name\n1,A\n")
    (landing / ".half.tmp").write_text("")
    (landing / "crm.mapping.yaml").write_text("name: Firma\n")
    first, cursor = look(instance, tmp_path, None)
    assert first == []
    feed.write_text("id,name\n1,A\n2,B\n")  # still growing
    growing, cursor = look(instance, tmp_path, cursor)
    assert growing == []
    still, cursor = look(instance, tmp_path, cursor)
    assert still == ["crm.csv"]
    again, cursor = look(instance, tmp_path, cursor)
    assert again == []
    feed.write_text("id,name\n1,A\n2,B\n3,C\n")
    _, cursor = look(instance, tmp_path, cursor)
    assert look(instance, tmp_path, cursor)[0] == ["crm.csv"]
    assert list(json.loads(cursor)) == ["crm.csv"]
