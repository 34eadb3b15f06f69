"""Alarms for prompt batches, to copy into a Dagster project of your own and to change.

    defs = dg.Definitions.merge(..., dg.Definitions(sensors=alarms(tell=print)))

`tell` gets one line for people: send it wherever they look. Needs Dagster alone.
"""

import os
from collections.abc import Callable, Sequence

import dagster as dg

Tell = Callable[[str], object]
MOST_EVENTS = 500
"""Read in one evaluation of the sensor; the rest waits for the next."""


def alarms(tell: Tell) -> Sequence[dg.SensorDefinition]:
    """Make both sensors: one speaks when a run failed, one when a check failed."""
    return [failed_runs(tell), failed_checks(tell)]


def failed_runs(tell: Tell) -> dg.SensorDefinition:
    """Make the sensor that tells of every Dagster run of this code location that failed."""

    @dg.run_failure_sensor(
        name="tell_of_failed_runs", default_status=dg.DefaultSensorStatus.RUNNING
    )
    def tell_of_failed_runs(context: dg.RunFailureSensorContext) -> None:
        run = context.dagster_run
        batch = run.tags.get("flow_pipelines/batch", run.job_name)
        night = run.tags.get("dagster/partition", "")
        # The failure of a step says why; the run's own says that a step failed.
        steps = context.get_step_failure_events()
        reasons = [str(step.event_specific_data.error_display_string) for step in steps]
        reason = (reasons or [context.failure_event.message or "no reason given"])[0]
        tell(f"{batch} {night}: run {run.run_id[:8]} failed: {reason.strip().splitlines()[0]}")

    return tell_of_failed_runs


def failed_checks(tell: Tell) -> dg.SensorDefinition:
    """Make the sensor that tells of asset checks that failed with severity ERROR.

    That is what a batch reports of a night that was collected with rows missing, and
    `last_night_exists` of one that never came: no run has failed then.
    """

    @dg.sensor(
        name="tell_of_failed_checks",
        default_status=dg.DefaultSensorStatus.RUNNING,
        minimum_interval_seconds=60,
    )
    def tell_of_failed_checks(context: dg.SensorEvaluationContext) -> dg.SkipReason:
        begins = context.cursor is None
        records = context.instance.get_event_records(
            dg.EventRecordsFilter(
                event_type=dg.DagsterEventType.ASSET_CHECK_EVALUATION,
                after_cursor=None if begins else int(context.cursor or 0),
            ),
            limit=1 if begins else MOST_EVENTS,  # what was before the first look is not told
            ascending=not begins,
        )
        told = 0
        for record in records:
            check = record.event_log_entry.dagster_event.asset_check_evaluation_data
            if begins or check.passed or check.severity is not dg.AssetCheckSeverity.ERROR:
                continue
            asset = check.asset_key.to_user_string()
            night = f" {check.partition}" if check.partition else ""
            tell(f"{asset}{night}: {check.check_name} failed: {check.description}")
            told += 1
        last = max((record.storage_id for record in records), default=int(context.cursor or 0))
        context.update_cursor(str(last))
        return dg.SkipReason(f"{told} failed check(s) told")

    return tell_of_failed_checks


def mailed_runs() -> dg.SensorDefinition:
    """Make Dagster's own sensor that mails about failed runs; `dagster-slack` has one like it."""
    return dg.make_email_on_run_failure_sensor(
        email_from=os.environ["ALARM_FROM"],
        email_password=os.environ["ALARM_PASSWORD"],
        email_to=os.environ["ALARM_TO"].split(","),
        smtp_host=os.environ.get("ALARM_SMTP_HOST", "smtp.gmail.com"),
        default_status=dg.DefaultSensorStatus.RUNNING,
    )
