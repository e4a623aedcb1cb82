"""Training: pairs, Ditto, and the matcher that holds everything."""

import dagster as dg

from em_assets.assets import OWNERS
from em_assets.assets.index import INDEX, vector_index
from em_assets.assets.reference import REFERENCE_TABLE, reference_entities
from em_assets.launchers import Launcher
from em_assets.metadata import recall_metadata, table_metadata
from em_assets.resources import Settings, Workspace

PAIR_TABLE = "silver.training_pairs"
QUERY_TABLE = "silver.training_queries"
DITTO = "ditto"
MATCHER = "matcher"
_PAIR_COLUMNS = {
    "left_entity": "serialised source record",
    "right_entity": "serialised reference entity",
    "label": "1 same entity, 0 another one",
    "left_key": "entity that the left record is a copy of",
    "right_key": "entity of the right record",
    "split": "train or valid; no entity is in both",
}


@dg.asset(group_name="model", deps=[reference_entities, vector_index], kinds={"deltalake", "pandas"}, owners=OWNERS)
def training_pairs(workspace: Workspace, settings: Settings) -> dg.MaterializeResult:
    """Records with known answers (noisy copies of reference rows, and labels if there are any) and Ditto's pairs out of them.

    Split by entity: Ditto, the scorer and the thresholds never learn from the same one.
    """
    from em_core.files import fingerprint, read_table
    from em_core.pairs.training import ditto_pairs, prepare_labels, training_queries
    from em_core.retrieval.index import CandidateIndex

    chosen = settings.load()
    reference = workspace.tables.read(REFERENCE_TABLE)
    labels = None
    if (path := workspace.training_labels) is not None:
        labels = prepare_labels(read_table(path), reference, path.name)
    queries = training_queries(reference, chosen.pairs, labels)
    pairs = ditto_pairs(queries, CandidateIndex.load(workspace.model(INDEX)), chosen.pairs)
    workspace.tables.replace(QUERY_TABLE, queries)
    workspace.tables.replace(PAIR_TABLE, pairs)
    return dg.MaterializeResult(
        metadata={
            **table_metadata(pairs, PAIR_TABLE, ("left_entity", "right_entity", "label", "split"), _PAIR_COLUMNS),
            "right_pairs": int(pairs["label"].sum()),
            "wrong_pairs": int((pairs["label"] == 0).sum()),
            "records": len(queries),
            "records_truly_none": int(queries["entity_id"].isna().sum()),
            "records_by_split": dg.MetadataValue.json(
                {str(k): int(v) for k, v in queries["split"].value_counts().items()}
            ),
            "labels": 0 if labels is None else len(labels),
        },
        data_version=dg.DataVersion(fingerprint(pairs)),
    )


@dg.asset(group_name="model", deps=[training_pairs], kinds={"pytorch", "mlflow"}, owners=OWNERS, pool="training")
def ditto_model(
    context: dg.AssetExecutionContext, workspace: Workspace, settings: Settings, launcher: dg.ResourceParam[Launcher]
) -> dg.MaterializeResult:
    """The transformer pair classifier, trained by the entry point `train_ditto` where the launcher says."""
    from em_core.files import write_table

    ditto = settings.load().ditto
    folder = workspace.model(DITTO)
    if not ditto.enabled:
        return dg.MaterializeResult(metadata={"trained": False, "why": "settings: ditto.enabled is false"})
    data = workspace.path / "models" / "training_pairs.parquet"
    write_table(workspace.tables.read(PAIR_TABLE), data)
    env = {"MLFLOW_TRACKING_URI": workspace.tracking_uri, "MLFLOW_DISABLE_TELEMETRY": "true"}
    return launcher.run(context, "train_ditto", ditto.arguments(data, folder), env)


@dg.asset(
    group_name="model", deps=[vector_index, training_pairs, ditto_model], kinds={"scikitlearn", "mlflow"}, owners=OWNERS
)
def matcher(context: dg.AssetExecutionContext, workspace: Workspace, settings: Settings) -> dg.MaterializeResult:
    """The fitted matcher: index, Ditto, scorer with "none of these", and thresholds for the precision that is asked for."""
    from em_core.evaluation import CandidateRecall
    from em_core.fit import fit_matcher
    from em_core.retrieval.index import CandidateIndex

    chosen = settings.load()
    queries = workspace.tables.read(QUERY_TABLE)
    folder = workspace.model(MATCHER)
    ditto = workspace.model(DITTO) if chosen.ditto.enabled else None
    fitted = fit_matcher(CandidateIndex.load(workspace.model(INDEX)), queries, ditto, folder, chosen)
    report = fitted.report
    figures = {f"candidate_recall_{k}": v for k, v in report["candidate_recall"].items() if v is not None}
    figures |= {name: report[name] for name in ("top_1", "recall_at_p99", "ditto_share") if report[name] is not None}
    with workspace.registry.start_run("matcher", {"dagster_run_id": context.run.run_id}) as run:
        run.log_params(chosen.model_dump(mode="json"))
        run.log_metrics(figures)
        version = workspace.registry.register("entity_matcher", folder, run=run, fingerprint=fitted.version)
    return dg.MaterializeResult(
        metadata={
            **figures,
            **recall_metadata(CandidateRecall.load(folder)),
            "promise": report["thresholds"],
            "records": dg.MetadataValue.json(report["records"]),
            "seconds": dg.MetadataValue.json(report["seconds"]),
            "matcher_version": fitted.version,
            "mlflow_model": version.uri,
            "folder": dg.MetadataValue.path(str(folder)),
        },
        data_version=dg.DataVersion(fitted.version),
    )
