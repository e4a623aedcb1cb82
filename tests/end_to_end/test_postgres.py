"""Dagster's history in Postgres, as docs/dagster-postgres.yaml describes it. Needs the programs of a Postgres server."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import pytest

from em_assets.partitions import source_files
from em_assets.resources import Workspace
from em_assets.sensors import landed_files

CONFIG = Path(__file__).parents[2] / "docs" / "dagster-postgres.yaml"


def _programs() -> Path | None:
    """Folder of `initdb` and `pg_ctl`."""
    known = [Path(found).parent for found in [shutil.which("initdb")] if found]
    known += sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
    return next((folder for folder in known if (folder / "initdb").exists() and (folder / "pg_ctl").exists()), None)


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A Dagster home on a Postgres server of its own."""
    programs = _programs()
    pytest.importorskip("dagster_postgres", reason="the extra `postgres` is not installed")
    if programs is None:
        pytest.skip("there is no Postgres server on this machine")
    # Postgres refuses to run as root.
    user = "postgres" if os.geteuid() == 0 else None
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    folder = Path(tempfile.mkdtemp(prefix="pg-"))
    if user:
        shutil.chown(folder, user)
    data = folder / "data"

    def call(name: str, *arguments: str) -> None:
        command = [str(programs / name), "-D", str(data), *arguments]
        subprocess.run(command, check=True, user=user, cwd=folder, timeout=120, stdout=subprocess.DEVNULL)

    call("initdb", "--auth=trust", "--username=dagster")
    options = f"-p {port} -k {folder} -c listen_addresses=127.0.0.1"
    call("pg_ctl", "-w", "-l", str(folder / "log"), "-o", options, "start")
    home = tmp_path_factory.mktemp("home")
    shutil.copy(CONFIG, home / "dagster.yaml")
    try:
        with pytest.MonkeyPatch.context() as patch:
            for name, value in {
                "HOST": "127.0.0.1", "USERNAME": "dagster", "PASSWORD": "not-asked-for", "DB": "postgres", "PORT": port,
            }.items():  # fmt: skip
                patch.setenv(f"DAGSTER_PG_{name}", value)
            yield home
    finally:
        call("pg_ctl", "-m", "immediate", "stop")
        shutil.rmtree(folder, ignore_errors=True)


def test_history_partitions_and_limits_survive_a_restart(home: Path, tmp_path: Path) -> None:
    @dg.asset(partitions_def=source_files, pool="matching")
    def read() -> dg.MaterializeResult:
        return dg.MaterializeResult(metadata={"rows": 3}, data_version=dg.DataVersion("7"))

    landing = tmp_path / "landing"
    landing.mkdir()
    (landing / "crm.csv").write_text("id,name\n1,A\n")
    workspace = Workspace(root=str(tmp_path))
    with dg.DagsterInstance.from_config(str(home)) as instance:
        assert "Postgres" in type(instance.event_log_storage).__name__
        first = landed_files(dg.build_sensor_context(instance=instance), workspace=workspace)
        second = landed_files(dg.build_sensor_context(instance=instance, cursor=first.cursor), workspace=workspace)
        for request in second.dynamic_partitions_requests:
            instance.add_dynamic_partitions(request.partitions_def_name, list(request.partition_keys))
        assert dg.materialize([read], instance=instance, partition_key="crm.csv").success
    with dg.DagsterInstance.from_config(str(home)) as again:
        assert again.get_dynamic_partitions(str(source_files.name)) == ["crm.csv"]
        event = again.get_latest_materialization_event(dg.AssetKey("read"))
        assert event is not None and event.asset_materialization is not None
        assert event.asset_materialization.metadata["rows"].value == 3
        assert again.get_concurrency_config().pool_config.default_pool_limit == 1
