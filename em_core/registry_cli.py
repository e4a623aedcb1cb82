"""`em registry list | promote | rollback`: which matcher is in use, and going back."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from em_core.errors import UserError

if TYPE_CHECKING:
    from em_core.storage.registry import ModelRegistry

app = typer.Typer(help="Which matcher is in use, and going back to an earlier one.", no_args_is_help=True)
DEFAULT = "sqlite:///var/mlflow/mlflow.db"
Uri = Annotated[
    str, typer.Option(help="MLflow: a server or a sqlite file; else MLFLOW_TRACKING_URI.", show_default=DEFAULT)
]
RegistryUri = Annotated[
    str, typer.Option(help="Where models are registered if that is elsewhere: databricks-uc.", show_default=False)
]
Namespace = Annotated[
    str, typer.Option(help="catalog.schema in front of the model's name in Unity Catalog.", show_default=False)
]
Index = Annotated[
    Path | None, typer.Option(help="Index folder to put the champion on, such as var/models/vector_index.")
]
Into = Annotated[
    Path | None, typer.Option(help="Folder that matching opens, such as var/models/champion; with --index.")
]


def _registry(uri: str, registry_uri: str, namespace: str) -> ModelRegistry:
    """The registry; one in a file must be there."""
    from em_core.storage.registry import ModelRegistry

    uri = uri or os.environ.get("MLFLOW_TRACKING_URI") or DEFAULT
    return ModelRegistry(uri, "entity_matching", registry_uri=registry_uri or None, namespace=namespace).existing()


def _deploy(registry: ModelRegistry, index: Path | None, into: Path | None) -> None:
    if index is None or into is None:
        typer.echo("Not deployed yet: materialize champion_matcher, or name --index and --into.")
        return
    from em_core.deploy import deploy

    done = deploy(registry, index, into)
    typer.echo(f"{into} now holds version {done.registered} (matcher {done.version}): {done.note}")


def _together(index: Path | None, into: Path | None) -> None:
    if (index is None) != (into is None):
        raise UserError("--index and --into go together")


@app.command("list")
def list_versions(tracking_uri: Uri = "", registry_uri: RegistryUri = "", namespace: Namespace = "") -> None:
    """All registered matchers, the newest first."""
    from em_core.deploy import MATCHER_MODEL
    from em_core.storage.registry import CHALLENGER, CHAMPION

    registry = _registry(tracking_uri, registry_uri, namespace)
    found = registry.versions(MATCHER_MODEL)
    if not found:
        raise UserError(f"no matcher is registered under {MATCHER_MODEL!r}")
    holders = {CHAMPION: registry.get(MATCHER_MODEL, CHAMPION), CHALLENGER: registry.get(MATCHER_MODEL, CHALLENGER)}
    shown = Table()
    for column in ("version", "matcher", "is", "champion since", "verdict"):
        shown.add_column(column, overflow="fold")
    for one in found:
        names = [alias for alias, holder in holders.items() if holder and holder.version == one.version]
        since, verdict = one.tags.get("promoted_at", ""), one.tags.get("verdict", "")
        shown.add_row(str(one.version), one.fingerprint, ", ".join(names), since, escape(verdict))
    Console().print(shown)


@app.command()
def promote(
    version: Annotated[int, typer.Argument(help="Registered version, see `em registry list`.")],
    reason: Annotated[str, typer.Option(help="Why, for the record.")],
    tracking_uri: Uri = "",
    registry_uri: RegistryUri = "",
    namespace: Namespace = "",
    index: Index = None,
    into: Into = None,
) -> None:
    """Make a version the champion by hand, past the gate."""
    from em_core.deploy import MATCHER_MODEL

    _together(index, into)
    registry = _registry(tracking_uri, registry_uri, namespace)
    known = {one.version for one in registry.versions(MATCHER_MODEL)}
    if version not in known:
        raise UserError(f"there is no version {version}; there are: {', '.join(map(str, sorted(known))) or 'none'}")
    registry.promote(MATCHER_MODEL, version, {"verdict": f"by hand: {reason}"})
    typer.echo(f"Version {version} is champion.")
    _deploy(registry, index, into)


@app.command()
def rollback(
    to: Annotated[int | None, typer.Option(help="An earlier champion; else the one before this.", min=1)] = None,
    tracking_uri: Uri = "",
    registry_uri: RegistryUri = "",
    namespace: Namespace = "",
    index: Index = None,
    into: Into = None,
) -> None:
    """Make an earlier champion the champion again."""
    from em_core.deploy import MATCHER_MODEL

    _together(index, into)
    registry = _registry(tracking_uri, registry_uri, namespace)
    found = registry.rollback(MATCHER_MODEL, to)
    typer.echo(f"Version {found.version} (matcher {found.fingerprint}) is champion again.")
    _deploy(registry, index, into)
