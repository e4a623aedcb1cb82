"""Schedules, all off until someone switches them on."""

import dagster as dg

from em_assets.jobs import fit, rematch
from em_assets.partitions import RANGE_END, RANGE_START, source_files


@dg.schedule(job=rematch, cron_schedule="0 2 * * *", execution_timezone="UTC")
def nightly_match(context: dg.ScheduleEvaluationContext) -> dg.RunRequest | dg.SkipReason:
    """Every night: all feeds are brought up to date. What nothing concerns is not matched again."""
    keys = context.instance.get_dynamic_partitions(str(source_files.name))
    if not keys:
        return dg.SkipReason("no feed has landed yet")
    return dg.RunRequest(
        run_key=context.scheduled_execution_time.strftime("%Y-%m-%d"), tags={RANGE_START: keys[0], RANGE_END: keys[-1]}
    )


monthly_retrain = dg.ScheduleDefinition(
    name="monthly_retrain",
    job=fit,
    cron_schedule="0 3 1 * *",
    execution_timezone="UTC",
    description="Every month: a new matcher is fitted; it comes into use only if it beats the one that is.",
)
SCHEDULES = [nightly_match, monthly_retrain]
