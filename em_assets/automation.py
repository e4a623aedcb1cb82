"""When assets materialize by themselves: as soon as something they are made of says something else."""

import dagster as dg

# By content, not by event: a dependency that was made again and came out the same moves nothing.
_CONTENT = dg.AutomationCondition.any_deps_match(dg.AutomationCondition.data_version_changed())
_IDLE = ~dg.AutomationCondition.in_progress() & ~dg.AutomationCondition.any_deps_in_progress()
ON_CHANGE = (
    _CONTENT.since(dg.AutomationCondition.newly_requested() | dg.AutomationCondition.newly_updated()) & _IDLE
).with_label("the content of a dependency changed")
