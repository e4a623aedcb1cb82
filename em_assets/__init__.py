"""The Dagster code location: thin assets over `em_core`."""

import warnings

import dagster as dg

# Beta in name for years, and the one way to let a single run take many partitions.
warnings.filterwarnings("ignore", message="Parameter `backfill_policy`", category=dg.BetaWarning)
