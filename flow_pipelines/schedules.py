"""The schedule of a prompt batch: one run a night, for the last complete partition."""

from datetime import datetime

import dagster as dg

PRIORITY_TAG = "dagster/priority"
NIGHT_PRIORITY = "10"
"""In Dagster's run queue, of what a schedule asks for, and of what completes it. The runs that a
backfill starts have Dagster's own, 0."""


def last_complete_partition(
    partitions_def: dg.TimeWindowPartitionsDefinition, at: datetime
) -> str | None:
    """Return the key of the newest partition whose window has ended at `at`.

    None before the first window has ended, and for good once the partitions have an end and `at`
    is past it: the schedule must not buy the last night again and again.
    """
    window = partitions_def.get_prev_partition_window(at)
    if window is None:
        return None
    end = partitions_def.end
    if end is not None and window.end > end:
        return None
    return partitions_def.get_partition_key_for_timestamp(window.start.timestamp())


def generation_schedule(
    *,
    batch: str,
    job_name: str,
    cron: str,
    partitions_def: dg.TimeWindowPartitionsDefinition,
    tags: dict[str, str],
) -> dg.ScheduleDefinition:
    """Make `<batch>_schedule`: on by default, in the time zone of the partitions.

    Who writes `schedule:` into a `defs.yaml` wants it to run, so it starts without a click; the
    UI can turn it off. The run key is the partition key: a partition is asked for once, however
    often the cron expression fires within it. Its runs go before a backfill's in the queue; the
    job's own tags do not say so, for a backfill of that job has them too.
    """

    @dg.schedule(
        name=f"{batch}_schedule",
        cron_schedule=cron,
        job_name=job_name,
        execution_timezone=partitions_def.timezone,
        default_status=dg.DefaultScheduleStatus.RUNNING,
        description=f"Buys the last complete partition of {batch}, at {cron!r}.",
        tags=tags,
    )
    def nightly(context: dg.ScheduleEvaluationContext) -> dg.RunRequest | dg.SkipReason:
        key = last_complete_partition(partitions_def, context.scheduled_execution_time)
        if key is None:
            return dg.SkipReason(f"{batch} has no partition that ended by now and is in its range")
        return dg.RunRequest(
            run_key=key, partition_key=key, tags={**tags, PRIORITY_TAG: NIGHT_PRIORITY}
        )

    return nightly
