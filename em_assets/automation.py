"""When assets materialize by themselves: as soon as something they are made of says something else."""

import dagster as dg

_IDLE = ~dg.AutomationCondition.in_progress() & ~dg.AutomationCondition.any_deps_in_progress()


def on_change(of: dg.AssetSelection | None = None) -> dg.AutomationCondition:
    """True once the content of a dependency has changed, and nothing that it comes from is being made; `of`: of these alone.

    By content, not by event: a dependency that was made again and came out the same moves nothing.
    """
    changed = dg.AutomationCondition.any_deps_match(dg.AutomationCondition.data_version_changed())
    if of is not None:
        changed = changed.allow(of)
    handled = dg.AutomationCondition.newly_requested() | dg.AutomationCondition.newly_updated()
    return (changed.since(handled) & _IDLE).with_label("the content of a dependency changed")


ON_CHANGE = on_change()
