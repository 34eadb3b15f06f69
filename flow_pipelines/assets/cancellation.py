"""Cancel a night's submissions when the Dagster run that works on them is canceled."""

from collections.abc import Iterator
from contextlib import contextmanager

import dagster as dg

from flow_pipelines.lifecycle import Ports
from flow_pipelines.lifecycle.cancel import CancelSummary, cancel_night
from flow_pipelines.model import Night

BUDGET_SECONDS = 60.0
"""For canceling at the provider; a worker that is told to end does not get much longer."""

_CANCELED = {dg.DagsterRunStatus.CANCELING, dg.DagsterRunStatus.CANCELED}
_MAX_RUNTIME_TAG = "dagster/max_runtime"


@contextmanager
def canceled_with_run(
    context: dg.AssetExecutionContext, night: Night, ports: Ports
) -> Iterator[None]:
    """Cancel a night's submissions when somebody cancels this Dagster run or its backfill.

    A worker that is ended for another reason (a deployment, a host going down, Dagster's limit on
    a run's time) cancels nothing: what was bought goes on, and a sensor collects it.
    """
    try:
        yield
    except dg.DagsterExecutionInterruptedError:
        if _is_being_canceled(context):
            why = f"the Dagster run {context.run_id} was canceled"
            summary = cancel_night(night, ports, why=why, budget_seconds=BUDGET_SECONDS)
            context.log.warning(_in_words(night, summary))
        raise


def _is_being_canceled(context: dg.AssetExecutionContext) -> bool:
    record = context.instance.get_run_record_by_id(context.run_id)
    if record is None or record.dagster_run.status not in _CANCELED:
        return False
    return not _took_too_long(context.instance, record)


def _took_too_long(instance: dg.DagsterInstance, record: dg.RunRecord) -> bool:
    """Return whether Dagster's run monitoring cancels the run: its only sign is when it did."""
    run = record.dagster_run
    limit = float(run.tags.get(_MAX_RUNTIME_TAG) or instance.run_monitoring_max_runtime_seconds)
    requests = instance.get_records_for_run(
        run.run_id, of_type=dg.DagsterEventType.RUN_CANCELING, limit=1
    ).records
    if (
        not instance.run_monitoring_enabled
        or not limit
        or not requests
        or record.start_time is None
    ):
        return False
    return requests[0].timestamp - record.start_time > limit


def _in_words(night: Night, summary: CancelSummary) -> str:
    counts = [
        f"{count} {words}"
        for count, words in (
            (summary.planned, "not sent"),
            (summary.canceled, "canceled at the provider"),
            (summary.ending, "being canceled"),
            (summary.ended, "had ended"),
            (summary.going_on, "go on: their provider cannot cancel them"),
            (summary.unsettled, "of unknown outcome"),
        )
        if count
    ]
    return f"{night} was canceled: {', '.join(counts) or 'nothing was under way'}."
