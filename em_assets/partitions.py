"""Partitions: every file that lands is one."""

import dagster as dg

source_files = dg.DynamicPartitionsDefinition(name="source_files")
# Tags of a run over all partitions from one to another, in the order in which they were added.
RANGE_START, RANGE_END = "dagster/asset_partition_range_start", "dagster/asset_partition_range_end"
