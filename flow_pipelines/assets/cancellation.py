"""What canceling a Dagster run means for its night: what can be canceled is."""

from collections.abc import Iterator
from contextlib import contextmanager

import dagster as dg

from flow_pipelines.lifecycle import Ports
from flow_pipelines.lifecycle.cancel import CancelSummary, cancel_night
from flow_pipelines.model import Night

BUDGET_SECONDS = 60.0
"""For canceling at the provider; a worker that is told to end does not get much longer."""


@contextmanager
def canceled_with_run(
    context: dg.AssetExecutionContext, night: Night, ports: Ports
) -> Iterator[None]:
    """Cancel a night's submissions when somebody cancels this Dagster run or its backfill.

    A worker that is ended for another reason (a deployment, a host going down) cancels nothing:
    what was bought goes on, and a sensor collects it.
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
    run = context.instance.get_run_by_id(context.run_id)
    return run is not None and run.status in {
        dg.DagsterRunStatus.CANCELING,
        dg.DagsterRunStatus.CANCELED,
    }


def _in_words(night: Night, summary: CancelSummary) -> str:
    told = [
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
    return f"{night} was canceled: {', '.join(told) or 'nothing was under way'}."
