"""The candidate index over the reference."""

from pathlib import Path

import dagster as dg

from em_assets.assets import OWNERS
from em_assets.assets.reference import reference_entities
from em_assets.automation import ON_CHANGE
from em_assets.launchers import Launcher
from em_assets.resources import Settings, Workspace

INDEX = "vector_index"


@dg.asset(
    group_name="model",
    deps=[reference_entities],
    kinds={"faiss", "scikitlearn"},
    owners=OWNERS,
    pool="index",
    automation_condition=ON_CHANGE,
)
def vector_index(
    context: dg.AssetExecutionContext, workspace: Workspace, settings: Settings, launcher: dg.ResourceParam[Launcher]
) -> dg.MaterializeResult:
    """Candidate index: character n-grams and FAISS over name embeddings, with the reference it was built from.

    Of an index that is there already, only what changed in the reference is worked anew.
    """
    arguments = ["--tables", str(workspace.table_folder), "--output-path", str(workspace.model(INDEX))]
    if settings.file:
        arguments += ["--config", str(Path(settings.file).resolve())]
    return launcher.run(context, "em_build_index", arguments, settings.environment())
