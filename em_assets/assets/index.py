"""The candidate index over the reference."""

from pathlib import Path

import dagster as dg

from em_assets.assets import MODEL, OWNERS
from em_assets.assets.reference import reference_entities
from em_assets.automation import ON_CHANGE
from em_assets.launchers import Argument, Launchers, Place
from em_assets.resources import Settings, Workspace

INDEX = "vector_index"


@dg.asset(
    group_name="model",
    deps=[reference_entities],
    kinds={"faiss", "scikitlearn"},
    owners=OWNERS,
    tags=MODEL,
    pool="index",
    automation_condition=ON_CHANGE,
)
def vector_index(
    context: dg.AssetExecutionContext, workspace: Workspace, settings: Settings, launchers: Launchers
) -> dg.MaterializeResult:
    """Candidate index: character n-grams and FAISS over name embeddings, with the reference it was built from.

    Of an index that is there already, only what changed in the reference is worked anew.
    """
    arguments: list[Argument] = [
        "--tables",
        workspace.table_argument,
        "--output-path",
        Place(workspace.model(INDEX), "write"),
    ]
    if settings.file:
        arguments += ["--config", Place(Path(settings.file).resolve(), "read")]
    return launchers.of("vector_index").run(context, "em_build_index", arguments, settings.environment())
