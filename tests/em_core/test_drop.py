"""The drop folder behaves alike on a disk and on a volume that is asked over the network."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import pytest

from em_assets.resources import Workspace
from em_assets.sensors import landed_files
from em_core.drop import DropFolder, LocalDrop, VolumeDrop, drop_folder
from em_core.errors import UserError
from em_core.feeds import read_feed
from tests.workspace.server import Workspace as StandIn
from tests.workspace.server import serve

PLACE = "/Volumes/main/matching/landing"


@pytest.fixture
def volume(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Where the files of a volume lie; the SDK finds the stand-in workspace by its variables."""
    for name in [n for n in os.environ if n.startswith("DATABRICKS_")]:
        monkeypatch.delenv(name)
    space = StandIn(Path(sys.executable), tmp_path / "space")
    folder = space.root / PLACE.lstrip("/")
    folder.mkdir(parents=True)
    server = serve(space)
    monkeypatch.setenv("DATABRICKS_HOST", f"http://127.0.0.1:{server.server_address[1]}")
    monkeypatch.setenv("DATABRICKS_TOKEN", space.token)
    monkeypatch.setenv("DATABRICKS_CONFIG_FILE", str(tmp_path / "none"))
    yield folder
    server.shutdown()


@pytest.fixture(params=["disk", "volume"])
def drop(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[DropFolder, Path]:
    """A drop folder and where its files lie."""
    if request.param == "volume":
        return drop_folder(PLACE), request.getfixturevalue("volume")
    (tmp_path / "landing").mkdir()
    return drop_folder(str(tmp_path / "landing")), tmp_path / "landing"


def fill(folder: Path) -> None:
    (folder / "crm.csv").write_text("Firma,Nummer\nAcme,1\n")
    (folder / "crm.mapping.yaml").write_text("name: Firma\nsource_id: Nummer\n")
    for name in (".half.tmp", "upload.csv.part", "~lock.csv"):
        (folder / name).write_text("")
    (folder / "quarantine").mkdir()
    (folder / "quarantine" / "old.csv").write_text("")


def test_feeds_and_nothing_else_are_listed_and_a_change_shows(drop: tuple[DropFolder, Path]) -> None:
    found, folder = drop
    fill(folder)
    ((name, state),) = found.files()
    assert name == "crm.csv" and list(found.files()) == [(name, state)]
    (folder / "crm.csv").write_text("Firma,Nummer\nAcme,1\nBeta,2\n")
    assert [seen for _, seen in found.files()] != [state]


def test_a_feed_is_read_with_its_mapping(drop: tuple[DropFolder, Path]) -> None:
    found, folder = drop
    fill(folder)
    with found.here(["crm.csv", "gone.csv"]) as here:
        assert read_feed(here / "crm.csv")["name"].tolist() == ["Acme"]
        assert not (here / "gone.csv").exists()


def test_a_broken_feed_goes_aside_with_its_reason(drop: tuple[DropFolder, Path]) -> None:
    found, folder = drop
    fill(folder)
    place = found.take_away("crm.csv", "no column for 'name'")
    assert place.endswith("quarantine/crm.csv") and not (folder / "crm.csv").exists()
    assert (folder / "quarantine" / "crm.csv").read_text().startswith("Firma")
    assert (folder / "quarantine" / "crm.csv.reason.txt").read_text() == "no column for 'name'\n"
    assert list(found.files()) == [] and found.take_away("crm.csv", "x") == "the file is not there"


def test_the_sensor_watches_a_volume(volume: Path, tmp_path: Path) -> None:
    fill(volume)
    workspace = Workspace(root=str(tmp_path), landing_folder=PLACE)
    with dg.instance_for_test() as instance:
        first = landed_files(dg.build_sensor_context(instance=instance), workspace=workspace)
        second = landed_files(dg.build_sensor_context(instance=instance, cursor=first.cursor), workspace=workspace)
    assert [request.partition_key for request in second.run_requests] == ["crm.csv"]


def test_a_mounted_volume_is_a_folder_and_access_is_asked_for_in_a_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Path, "is_dir", lambda _: True)
    assert isinstance(drop_folder(PLACE), LocalDrop)
    monkeypatch.undo()
    for name in [n for n in os.environ if n.startswith("DATABRICKS_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("DATABRICKS_CONFIG_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("HOME", str(tmp_path))
    with pytest.raises(UserError, match=r"/Volumes/main/matching/landing: no access to a Databricks workspace"):
        list(VolumeDrop(PLACE).files())
