"""Partitions: every file that lands is one."""

import dagster as dg

source_files = dg.DynamicPartitionsDefinition(name="source_files")
