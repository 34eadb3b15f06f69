"""Floyo's words about a run, in ours."""

from __future__ import annotations

from collections.abc import Mapping

from flow_pipelines.model import OutputRef, RunReport, SubmissionState
from flow_pipelines.providers.floyo.calls import ACCOUNT_STATUSES
from flow_pipelines.providers.floyo.records import File, Run

STATES: Mapping[str, SubmissionState] = {
    "queued": SubmissionState.QUEUED,
    "processing": SubmissionState.RUNNING,
    "done": SubmissionState.SUCCEEDED,
    "complete": SubmissionState.SUCCEEDED,  # seen in clients
    "completed": SubmissionState.SUCCEEDED,  # seen in clients
    "failed": SubmissionState.FAILED,
    "cancelled": SubmissionState.CANCELED,
    "canceled": SubmissionState.CANCELED,
    **dict.fromkeys(ACCOUNT_STATUSES, SubmissionState.FAILED),
}


def report_of(run: Run) -> RunReport:
    """Return what the rooms above need to know of a run."""
    word = run.status.lower()
    failed = STATES.get(word) is SubmissionState.FAILED
    return RunReport(
        provider_run_id=run.id,
        state=STATES.get(word),
        provider_status=run.status,
        label=run.name,
        created_at=run.requested_at,
        flotime_ms=run.flotime_ms,
        outputs=tuple(_output(index, file) for index, file in enumerate(run.outputs)),
        error_code=word if failed else None,
        error_message=run.errors or (f"Floyo says: {run.status}" if failed else None),
        account_problem=word in ACCOUNT_STATUSES,
    )


def cost_nothing(report: RunReport) -> bool:
    """Return whether a run ended before it began: FloTime is time of a GPU, and all that is billed.

    Source: docs.floyo.ai/plans-and-billing.
    """
    word = report.provider_status.lower()
    if word not in ACCOUNT_STATUSES and STATES.get(word) is not SubmissionState.CANCELED:
        return False
    if report.flotime_ms is None:
        return not report.has_run
    return report.flotime_ms == 0


def _output(index: int, file: File) -> OutputRef:
    return OutputRef(
        # An output without an id cannot be fetched; left out, it would be lost without a word.
        output_id=file.id or f"(no id) {index}",
        file_name=file.file_name,
        media_type=file.mime_type,
        size_bytes=file.size_bytes,
    )
