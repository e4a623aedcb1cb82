"""Runs and model versions on a real MLflow store (one sqlite file for the module: a new one costs seconds)."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from em_core.errors import UserError
from em_core.storage.registry import CHALLENGER, CHAMPION, ModelRegistry, redact

pytest.importorskip("mlflow.store.tracking.sqlalchemy_store", reason="needs the whole of mlflow, not mlflow-skinny")


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("ml flow")  # a blank in the path, as people have


@pytest.fixture(scope="module")
def registry(home: Path) -> Iterator[ModelRegistry]:
    logging.getLogger("mlflow").setLevel(logging.WARNING)
    # The database is named relative to a working folder that changes later.
    before = Path.cwd()
    os.chdir(home)
    try:
        made = ModelRegistry("sqlite:///store/mlflow.db", "matching")
    finally:
        os.chdir(before)
    with made.start_run("first"):
        pass
    yield made


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "matcher"
    (made / "ditto").mkdir(parents=True)
    (made / "manifest.json").write_text('{"version": 1}')
    (made / "ditto" / "weights.bin").write_bytes(bytes(range(256)))
    return made


def client(registry: ModelRegistry):  # type: ignore[no-untyped-def]
    from mlflow import MlflowClient

    return MlflowClient(registry.tracking_uri)


def test_the_database_and_the_artifacts_stand_side_by_side(registry: ModelRegistry, home: Path) -> None:
    assert (home / "store" / "mlflow.db").is_file()
    experiment = client(registry).get_experiment_by_name("matching")
    assert experiment.artifact_location == (home / "store" / "mlartifacts").as_uri()


def test_a_run_keeps_parameters_metrics_and_artifacts(registry: ModelRegistry, folder: Path) -> None:
    with registry.start_run("fit", {"dagster_run_id": "abc"}) as run:
        run.log_params({"seed": 7, "ditto": {"epochs": 20, "lr": 3e-5}, "unset": None, "long": "x" * 9000})
        run.log_metrics({"recall@10": 0.5, "R@P99 (all)": 1, "unmeasured": None})
        run.log_metrics({"recall@10": 0.75}, step=2)
        run.log_artifacts(folder, "report")
        run.log_artifact(folder / "manifest.json")
        run.set_tags({"stage": "done"})
    found = client(registry).get_run(run.run_id)
    assert found.info.status == "FINISHED"
    assert found.info.run_name == "fit"
    assert found.data.params["ditto.epochs"] == "20"
    assert found.data.params["seed"] == "7"
    assert "unset" not in found.data.params
    assert found.data.metrics == {"recall_at_10": 0.75, "R_at_P99 _all_": 1.0}
    assert found.data.tags["dagster_run_id"] == "abc"
    assert found.data.tags["stage"] == "done"
    listed = {item.path for item in client(registry).list_artifacts(run.run_id)}
    assert listed == {"report", "manifest.json"}
    with registry.start_run("again") as run, pytest.raises(UserError, match="is not a folder"):
        run.log_artifacts(folder / "absent")


@pytest.mark.parametrize("error", [RuntimeError, ModuleNotFoundError, KeyboardInterrupt])
def test_a_broken_run_is_marked_failed_and_its_error_goes_on(
    registry: ModelRegistry, error: type[BaseException]
) -> None:
    with pytest.raises(error, match="boom"), registry.start_run("breaks") as run:
        raise error("boom")
    assert client(registry).get_run(run.run_id).info.status == "FAILED"


def test_register_is_idempotent_and_aliases_move(registry: ModelRegistry, folder: Path) -> None:
    with registry.start_run("fit") as run:
        first = registry.register("companies", folder, run=run, tags={"matcher_version": "m1"})
    assert first.created
    assert first.version == 1
    assert first.uri == "models:/companies/1"
    assert first.run_id == run.run_id
    assert first.tags["matcher_version"] == "m1"
    with registry.start_run("fit again") as second_run:
        again = registry.register("companies", folder, run=second_run)
    assert (again.version, again.created, again.run_id) == (1, False, run.run_id)
    assert client(registry).list_artifacts(second_run.run_id) == [], "equal content is not uploaded again"

    registry.set_alias("companies", CHAMPION, 1)
    (folder / "manifest.json").write_text('{"version": 2}')
    with registry.start_run("fit other") as run:
        other = registry.register("companies", folder, run=run)
    assert (other.version, other.created) == (2, True)
    champion, challenger = registry.get("companies", CHAMPION), registry.get("companies", CHALLENGER)
    assert champion is not None
    assert challenger is not None
    assert (champion.version, challenger.version) == (1, 2)
    assert champion.fingerprint == first.fingerprint != other.fingerprint

    # Going back to content that was registered before moves the alias back.
    (folder / "manifest.json").write_text('{"version": 1}')
    with registry.start_run("fit back") as run:
        assert registry.register("companies", folder, run=run).version == 1
    assert len(client(registry).search_model_versions("name = 'companies'")) == 2


def test_a_namespace_stands_before_the_name_of_the_model(registry: ModelRegistry, folder: Path) -> None:
    named = ModelRegistry(registry.tracking_uri, "matching", namespace="main.matching")
    versions = []
    for content in ("1", "2"):
        (folder / "manifest.json").write_text(content)
        with named.start_run("fit") as run:
            versions.append(named.register("scoped", folder, run=run).version)
        named.promote("scoped", versions[-1])
    assert named.champions("scoped") == versions == [1, 2] and registry.champions("scoped") == []
    assert named.rollback("scoped").uri == "models:/main.matching.scoped/1"


def test_looking_at_a_registry_does_not_make_it(registry: ModelRegistry, tmp_path: Path) -> None:
    assert registry.existing() is registry
    absent = tmp_path / "absent.db"
    with pytest.raises(UserError, match="there is no registry at sqlite"):
        ModelRegistry(f"sqlite:///{absent}", "matching").existing()
    assert not absent.exists()


def test_a_given_fingerprint_decides_what_is_equal(registry: ModelRegistry, folder: Path) -> None:
    with registry.start_run("fit") as run:
        first = registry.register("by mark", folder, run=run, fingerprint="f1", alias=None)
        (folder / "manifest.json").write_text("written at another time")
        assert registry.register("by mark", folder, run=run, fingerprint="f1", alias=None).version == first.version
    assert first.fingerprint == "f1"
    assert registry.get("by mark", CHALLENGER) is None


def test_download_gives_the_same_files(registry: ModelRegistry, folder: Path, tmp_path: Path) -> None:
    with registry.start_run("fit") as run:
        made = registry.register("to fetch", folder, run=run, alias=CHAMPION)
    target = tmp_path / "there" / "model"
    for _ in range(2):
        found = registry.download("to fetch", CHAMPION, target)
        assert found.version == made.version
        files = {p.relative_to(target).as_posix(): p.read_bytes() for p in target.rglob("*") if p.is_file()}
        assert files == {p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*") if p.is_file()}
    assert [entry.name for entry in target.parent.iterdir()] == ["model"]


def test_a_download_that_breaks_leaves_the_old_folder(
    registry: ModelRegistry, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import mlflow.artifacts

    with registry.start_run("fit") as run:
        registry.register("breaks", folder, run=run)
    registry.download("breaks", CHALLENGER, tmp_path / "model")

    def half(*_: object, dst_path: str, **__: object) -> str:
        (Path(dst_path) / "half").write_text("half")
        raise mlflow.exceptions.MlflowException("connection lost")

    monkeypatch.setattr(mlflow.artifacts, "download_artifacts", half)
    with pytest.raises(UserError, match="connection lost"):
        registry.download("breaks", CHALLENGER, tmp_path / "model")
    assert (tmp_path / "model" / "ditto" / "weights.bin").is_file()
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["matcher", "model"]


def test_what_is_not_there(registry: ModelRegistry, folder: Path, tmp_path: Path) -> None:
    assert registry.get("nobody", CHAMPION) is None
    with pytest.raises(UserError, match="no model 'nobody' with alias 'champion'"):
        registry.download("nobody", CHAMPION, tmp_path / "x")
    assert not (tmp_path / "x").exists()
    with registry.start_run("fit") as run:
        for missing in (tmp_path / "absent", folder / "manifest.json"):
            with pytest.raises(UserError, match="cannot register"):
                registry.register("x", missing, run=run)
        for name in ("a/b", "a:b", "", "it's"):
            with pytest.raises(UserError, match="no model name"):
                registry.register(name, folder, run=run)
        registry.register("one", folder, run=run)
        with pytest.raises(UserError, match="MLflow at sqlite"):
            registry.set_alias("one", CHAMPION, 99)


def test_a_deleted_experiment_is_named(registry: ModelRegistry) -> None:
    other = ModelRegistry(registry.tracking_uri, "gone")
    with other.start_run("x"):
        pass
    experiments = client(registry)
    experiments.delete_experiment(experiments.get_experiment_by_name("gone").experiment_id)
    with (
        pytest.raises(UserError, match="'gone' is deleted"),
        ModelRegistry(registry.tracking_uri, "gone").start_run("x"),
    ):
        pytest.fail("the block must not run")


def test_an_experiment_that_another_process_made_first_is_used(
    registry: ModelRegistry, monkeypatch: pytest.MonkeyPatch
) -> None:
    from mlflow import MlflowClient

    look, seen = MlflowClient.get_experiment_by_name, []

    def late(self: MlflowClient, name: str) -> object:
        seen.append(name)
        return None if len(seen) == 1 else look(self, name)

    monkeypatch.setattr(MlflowClient, "get_experiment_by_name", late)
    with ModelRegistry(registry.tracking_uri, "matching").start_run("x") as run:
        assert run.run_id
    assert len(seen) == 2


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("postgresql+psycopg2://me:s3cret@db/x", "postgresql+psycopg2://***@db/x"),
        ("http://me:p@ss/w@host:1/a", "http://***@host:1/a"),
        ("https://token@host", "https://***@host"),
        ("mysql://db/x?password=s3cret&ssl=1 failed", "mysql://db/x?*** failed"),
        ("failed at 'http://u:s3cret@h/a?k=s3cret': down", "failed at 'http://***@h/a?***': down"),
        ("sqlite:////data/mlflow.db", "sqlite:////data/mlflow.db"),
        ("write to me@example.com", "write to me@example.com"),
    ],
)
def test_redact(text: str, shown: str) -> None:
    assert redact(text) == shown


def test_no_password_comes_out_of_a_store_that_does_not_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    registry = ModelRegistry("http://me:s3cret@127.0.0.1:1", "x")
    assert "s3cret" not in repr(registry)
    with pytest.raises(UserError) as caught, registry.start_run("x"):
        pytest.fail("the block must not run")
    assert "***@127.0.0.1:1" in str(caught.value)
    assert "s3cret" not in str(caught.value)
    assert caught.value.__suppress_context__


def test_bad_stores_are_user_errors(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(UserError, match="cannot make"):
        ModelRegistry(f"sqlite:///{tmp_path}/file/mlflow.db", "x").get("a", "b")
    (tmp_path / "bad.db").write_text("this is no database" * 100)
    with pytest.raises(UserError, match="file is not a database"):
        ModelRegistry(f"sqlite:///{tmp_path}/bad.db", "x").get("a", "b")
    for uri in ("sqlite:///", "sqlite:///:memory:"):
        with pytest.raises(UserError, match="names no database file"):
            ModelRegistry(uri, "x")


def test_a_missing_driver_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    import mlflow

    def needs_driver(*_: object) -> None:
        raise ModuleNotFoundError("No module named 'psycopg2'", name="psycopg2")

    monkeypatch.setattr(mlflow, "MlflowClient", needs_driver)
    with pytest.raises(UserError, match=r"postgresql://\*\*\*@db/x needs the Python package 'psycopg2'"):
        ModelRegistry("postgresql://me:s3cret@db/x", "x").get("a", "b")


def test_the_storage_package_imports_neither_mlflow_nor_torch() -> None:
    code = "import sys, em_core.files, em_core.storage; print([m for m in ('mlflow', 'torch', 'dagster') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True, timeout=60)
    assert done.stdout.strip() == "[]"


def test_telemetry_is_off_unless_the_user_says_otherwise(registry: ModelRegistry) -> None:
    assert os.environ["MLFLOW_DISABLE_TELEMETRY"] == "true"
