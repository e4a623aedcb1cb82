"""The Dagster code location: thin assets over `em_core`."""
