"""`em registry` over a real registry whose models have a catalog and schema before their name."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import Result
from typer.testing import CliRunner

from em_core.cli import app
from em_core.deploy import MATCHER_MODEL
from em_core.errors import UserError
from em_core.storage.registry import CHAMPION, ModelRegistry

pytest.importorskip("mlflow.store.tracking.sqlalchemy_store", reason="needs the whole of mlflow, not mlflow-skinny")
NAMESPACE = "main.matching"


def ask(*arguments: object) -> Result:
    return CliRunner().invoke(app, ["registry", *map(str, arguments)])


def test_versions_are_shown_promoted_and_taken_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    uri = f"sqlite:///{tmp_path / 'mlflow.db'}"
    registry = ModelRegistry(uri, "fit", namespace=NAMESPACE)
    where = ("--tracking-uri", uri, "--registry-uri", uri, "--namespace", NAMESPACE)
    folder = tmp_path / "matcher"
    folder.mkdir()
    for content in ("one", "two"):
        (folder / "matcher.json").write_text(content)
        with registry.start_run("fit") as run:
            registry.register(MATCHER_MODEL, folder, run=run, fingerprint=content)
    for version in (1, 2):
        done = ask("promote", version, "--reason", "trial [old]", *where)
        assert done.exit_code == 0 and f"Version {version} is champion" in done.stdout, done.output
    told = ask("list", *where).stdout
    assert "by hand: trial [old]" in told and "two" in told and "champion, challenger" in told
    assert "matcher one" in ask("rollback", *where).stdout
    held = registry.get(MATCHER_MODEL, CHAMPION)
    assert held is not None and held.version == 1

    unknown = ask("promote", 7, "--reason", "trial", *where)
    assert isinstance(unknown.exception, UserError) and "there are: 1, 2" in str(unknown.exception)
    # Without the namespace it is another model.
    bare = ask("list", "--tracking-uri", uri)
    assert isinstance(bare.exception, UserError) and "no matcher is registered" in str(bare.exception)


def test_a_registry_that_is_not_there(tmp_path: Path) -> None:
    absent = tmp_path / "absent.db"
    found = ask("list", "--tracking-uri", f"sqlite:///{absent}")
    assert isinstance(found.exception, UserError) and "there is no registry" in str(found.exception)
    assert not absent.exists()
