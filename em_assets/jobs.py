"""Jobs: what people and sensors launch."""

import dagster as dg

from em_assets.assets.matching import match_report, match_results
from em_assets.assets.sources import source_entities

fit = dg.define_asset_job(
    "fit",
    selection=dg.AssetSelection.assets(
        "reference_entities", "vector_index", "training_pairs", "ditto_model", "matcher"
    ),
    description="From the landed master to a fitted matcher.",
)
match = dg.define_asset_job(
    "match",
    selection=dg.AssetSelection.assets(source_entities, match_results),
    description="Read one landed file and match its records.",
)
report = dg.define_asset_job(
    "report", selection=dg.AssetSelection.assets(match_report), description="Hold all results against known answers."
)
