"""Validates the Databricks bundle without a workspace."""
