"""FloImg's executions in our words."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta

from flow_pipelines.model import OutputRef, RunReport, SubmissionState
from flow_pipelines.model import json_values as read
from flow_pipelines.providers.floimg.calls import WORKFLOW_FAILED
from flow_pipelines.providers.floimg.records import Execution

STATES: Mapping[str, SubmissionState] = {
    "pending": SubmissionState.QUEUED,
    "running": SubmissionState.RUNNING,
    "completed": SubmissionState.SUCCEEDED,
    "failed": SubmissionState.FAILED,
}
OUTPUT_ID = "output"
"""An execution has one output, and FloImg gives it no id: its URL may differ at every poll."""

_IRREGULAR = {"jpg": "jpeg", "svg": "svg+xml"}
"""Formats whose media type is not `image/<format>`."""
_MILLISECOND = timedelta(milliseconds=1)


def report_of(execution: Execution) -> RunReport:
    """Return what the rooms above need to know of an execution."""
    state = STATES.get(execution.status.lower())
    failed = state is SubmissionState.FAILED
    message = execution.error_message or f"FloImg says: {execution.status}"
    return RunReport(
        provider_run_id=execution.execution_id,
        state=state,
        provider_status=execution.status,
        started_at=execution.started_at,
        finished_at=execution.completed_at,
        run_ms=_run_ms(execution),
        # What completed has an output. One that is not told yet must be missed, not forgotten.
        outputs=(_output(execution),) if state is SubmissionState.SUCCEEDED else (),
        error_code=(execution.error_code or WORKFLOW_FAILED) if failed else None,
        error_message=message if failed else None,
    )


def _output(execution: Execution) -> OutputRef:
    output = execution.output
    kind = (output.format or "").lower() if output else ""
    return OutputRef(
        output_id=OUTPUT_ID,
        media_type=f"image/{_IRREGULAR.get(kind, kind)}" if kind else None,
        url=output.url if output else None,
    )


def _run_ms(execution: Execution) -> int | None:
    started, completed = execution.started_at, execution.completed_at
    if execution.duration is not None or started is None or completed is None:
        return execution.duration
    return read.count((completed - started) // _MILLISECOND)
