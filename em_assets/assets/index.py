"""The candidate index over the reference."""

import dagster as dg

from em_assets.assets import OWNERS
from em_assets.assets.reference import REFERENCE_TABLE, reference_entities
from em_assets.resources import Settings, Workspace

INDEX = "vector_index"


@dg.asset(group_name="model", deps=[reference_entities], kinds={"faiss", "scikitlearn"}, owners=OWNERS)
def vector_index(workspace: Workspace, settings: Settings) -> dg.MaterializeResult:
    """Candidate index: character n-grams and FAISS over name embeddings, with the reference it was built from."""
    from em_core.retrieval.index import CandidateIndex

    reference = workspace.tables.read(REFERENCE_TABLE)
    index = CandidateIndex.build(reference, settings.load().retrieval, progress=True)
    folder = workspace.model(INDEX)
    index.save(folder)
    size = sum(p.stat().st_size for p in folder.rglob("*") if p.is_file())
    return dg.MaterializeResult(
        metadata={
            "entities": len(reference),
            "names": len(index.owner),
            "n_grams": int(index.lexical.matrix.shape[1]),
            "encoder": index.settings.encoder or "none: no vector channel",
            "megabytes": round(size / 1e6, 1),
            "folder": dg.MetadataValue.path(str(folder)),
        },
        data_version=dg.DataVersion(index.version),
    )
