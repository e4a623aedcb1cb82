"""Training: pairs, Ditto, and the matcher that holds everything."""

import dagster as dg

from em_assets.assets import MODEL, OWNERS, SILVER
from em_assets.assets.index import INDEX, vector_index
from em_assets.assets.reference import reference_entities
from em_assets.automation import ON_CHANGE
from em_assets.failures import RETRY, bad_input_fails
from em_assets.launchers import Launchers, Place
from em_assets.metadata import recall_metadata, table_metadata
from em_assets.resources import Gates, Settings, Workspace
from em_assets.verdicts import verdict
from em_core.storage.names import EVALUATION_TABLE, PAIR_TABLE, QUERY_TABLE

DITTO = "ditto"
MATCHER = "matcher"
CHAMPION = "champion"
_PAIR_COLUMNS = {
    "left_entity": "serialised source record",
    "right_entity": "serialised reference entity",
    "label": "1 same entity, 0 another one",
    "left_key": "entity that the left record is a copy of",
    "right_key": "entity of the right record",
    "split": "train or valid; no entity is in both",
}


@dg.asset(
    group_name="model",
    deps=[reference_entities, vector_index],
    kinds={"deltalake", "pandas"},
    owners=OWNERS,
    tags=SILVER,
)
def training_pairs(workspace: Workspace, settings: Settings) -> dg.MaterializeResult:
    """Records with known answers (noisy copies of reference rows, and labels if there are any) and Ditto's pairs out of them.

    Split by entity: Ditto, the scorer and the thresholds never learn from the same one.
    """
    from em_core.files import fingerprint
    from em_core.pairs.tables import training_tables

    with bad_input_fails():
        queries, pairs, labels = training_tables(
            workspace.tables, workspace.model(INDEX), settings.load().pairs, workspace.training_labels
        )
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
            "labels": labels,
        },
        data_version=dg.DataVersion(fingerprint(pairs)),
    )


@dg.asset(
    group_name="model",
    deps=[reference_entities],
    kinds={"deltalake", "pandas"},
    owners=OWNERS,
    tags=SILVER,
    retry_policy=RETRY,
)
def evaluation_records(workspace: Workspace, settings: Settings) -> dg.MaterializeResult:
    """The fixed records that champion and challenger are compared by; made once, then kept.

    `labels/evaluation.csv` if it is there, else noisy copies of entities that no training record is made of. New ones replace them only
    when that file changes or the table is dropped.
    """
    from em_core.files import fingerprint
    from em_core.pairs.tables import evaluation_table

    with bad_input_fails():
        path = workspace.evaluation_labels
        records = evaluation_table(workspace.tables, settings.load().pairs, path)
    return dg.MaterializeResult(
        metadata={
            **table_metadata(records, EVALUATION_TABLE, ("source_system", "source_id", "name", "country", "entity_id")),
            "from": "noisy copies" if path is None else dg.MetadataValue.path(str(path)),
            "records_truly_none": int(records["entity_id"].isna().sum()),
        },
        data_version=dg.DataVersion(fingerprint(records)),
    )


@dg.asset(
    group_name="model", deps=[training_pairs], kinds={"pytorch", "mlflow"}, owners=OWNERS, tags=MODEL, pool="training"
)
def ditto_model(
    context: dg.AssetExecutionContext, workspace: Workspace, settings: Settings, launchers: Launchers
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
    places = {str(data): Place(data, "read"), str(folder): Place(folder, "write")}
    arguments = [places.get(text, text) for text in ditto.arguments(data, folder)]
    return launchers.of("ditto_model").run(context, "train_ditto", arguments, env)


@dg.asset(
    group_name="model",
    deps=[vector_index, training_pairs, ditto_model],
    kinds={"scikitlearn", "mlflow"},
    owners=OWNERS,
    tags=MODEL,
    pool="training",
    check_specs=[
        dg.AssetCheckSpec(
            "candidate_recall_floor",
            asset="matcher",
            blocking=True,
            description="Retrieval finds the entity of enough known records: what it loses is lost for good.",
        )
    ],
)
def matcher(
    context: dg.AssetExecutionContext, workspace: Workspace, settings: Settings, gates: Gates
) -> dg.MaterializeResult:
    """The newest fitted matcher, the challenger: index, Ditto, scorer with "none of these", and thresholds for the precision asked for."""
    from em_core.deploy import register_matcher
    from em_core.evaluation import CandidateRecall
    from em_core.fit import fit_matcher
    from em_core.retrieval.index import CandidateIndex

    with bad_input_fails():
        chosen = settings.load()
        queries = workspace.tables.read(QUERY_TABLE)
        folder = workspace.model(MATCHER)
        ditto = workspace.model(DITTO) if chosen.ditto.enabled else None
        fitted = fit_matcher(CandidateIndex.load(workspace.model(INDEX), whole=True), queries, ditto, folder, chosen)
    report = fitted.report
    found = report["candidate_recall"].get(f"@{chosen.retrieval.candidates}") or max(
        (v for v in report["candidate_recall"].values() if v is not None), default=None
    )
    low = (
        f"{found:.4f} is below {gates.candidate_recall}"
        if found is not None and found < gates.candidate_recall
        else None
    )
    figures = {f"candidate_recall_{k}": v for k, v in report["candidate_recall"].items() if v is not None}
    figures |= {name: report[name] for name in ("top_1", "recall_at_p99", "ditto_share") if report[name] is not None}
    version = register_matcher(workspace.registry, folder, fitted, chosen, {"dagster_run_id": context.run.run_id})
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
        check_results=[verdict(low, "candidate_recall_floor", recall=found or 0.0, floor=gates.candidate_recall)],
        data_version=dg.DataVersion(fitted.version),
    )


@dg.asset(
    group_name="model",
    deps=[matcher, vector_index, evaluation_records],
    kinds={"mlflow"},
    owners=OWNERS,
    tags=MODEL,
    automation_condition=ON_CHANGE,
    retry_policy=RETRY,
    check_specs=[
        dg.AssetCheckSpec(
            "challenger_beats_champion",
            asset="champion_matcher",
            description="The newest fitted matcher is cheaper than the one in use beyond chance, and worse on no source system. "
            "Where it is not, the one in use stays.",
        )
    ],
)
def champion_matcher(context: dg.AssetExecutionContext, workspace: Workspace, gates: Gates) -> dg.MaterializeResult:
    """The matcher in use: the registry's champion on the newest reference. A new one must beat it on the fixed evaluation records."""
    from em_core.deploy import consider, deploy

    index, tags = workspace.model(INDEX), {"dagster_run_id": context.run.run_id}
    with bad_input_fails():
        evaluation = workspace.tables.read(EVALUATION_TABLE)
        found = consider(workspace.registry, evaluation, index, gates.of_matchers(), tags)
        deployed = deploy(workspace.registry, index, workspace.model(CHAMPION))
    stands = found.promote or found.overall is None
    return dg.MaterializeResult(
        metadata={
            "verdict": found.reason,
            "promoted": found.promote,
            **{name: round(value, 4) for name, value in found.metrics().items() if name != "promoted"},
            "by_source_system": dg.MetadataValue.json({k: v.model_dump() for k, v in found.systems.items()}),
            "registered_version": deployed.registered,
            "matcher_version": deployed.version,
            "model_version": deployed.model_version,
            "reference_version": deployed.reference_version,
            "deployed": deployed.note,
            "folder": dg.MetadataValue.path(str(workspace.model(CHAMPION))),
        },
        check_results=[
            dg.AssetCheckResult(
                passed=stands,
                check_name="challenger_beats_champion",
                severity=dg.AssetCheckSeverity.WARN,
                description=found.reason,
                metadata=found.metrics(),
            )
        ],
        data_version=dg.DataVersion(deployed.version),
    )
