"""FLORA's runs in our words."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta

from flow_pipelines.model import OutputRef, Receipt, RunReport
from flow_pipelines.model import SubmissionState as S
from flow_pipelines.model import json_values as read
from flow_pipelines.model.output import with_names_apart
from flow_pipelines.provider import Candidate
from flow_pipelines.providers.flora.records import RunOutput, TechniqueRun
from flow_pipelines.providers.flora.workflows import input_type

STATES: Mapping[str, S] = {
    "pending": S.QUEUED,
    "running": S.RUNNING,
    "completed": S.SUCCEEDED,
    "failed": S.FAILED,
}
_TYPES: Mapping[str, str] = {
    "imageUrl": "image/*",
    "videoUrl": "video/*",
    "audioUrl": "audio/*",
}


def receipt_of(run: TechniqueRun) -> Receipt:
    """Return a run as the proof that it was accepted."""
    report = report_of(run)
    return Receipt(
        provider_run_id=run.run_id,
        provider_status=report.provider_status or None,
        report=report,
        created_at=run.created_at,
    )


def candidate_of(run: TechniqueRun) -> Candidate:
    """Return a listed run as one that may be a submission's."""
    pictures = (one.url for one in run.outputs if one.url and input_type(one.type or "") != "text")
    return Candidate(
        provider_run_id=run.run_id,
        created_at=run.created_at,
        cost_usd=run.charged_cost,
        link=next(pictures, run.poll_url),
    )


def report_of(run: TechniqueRun) -> RunReport:
    """Return a run as a report; one that failed was answered with 200, too."""
    status = (run.status or "")[:100]
    state, code = STATES.get(status.lower()), read.code(run.error_code)
    failed = state is S.FAILED
    message = read.prose(run.error_message) or f"FLORA says: {status}"
    return RunReport(
        provider_run_id=run.run_id,
        state=state,
        provider_status=status,
        created_at=run.created_at,
        started_at=run.started_at,
        finished_at=run.completed_at,
        run_ms=_run_ms(run),
        charged_usd=run.charged_cost,
        outputs=with_names_apart(_output(index, one) for index, one in enumerate(run.outputs)),
        error_code=(code or "failed") if failed else None,
        error_message=message if failed else None,
        account_problem=code == "insufficient_credits",
        progress=None if run.progress is None else min(run.progress / 100, 1.0),
    )


def _run_ms(run: TechniqueRun) -> int | None:
    if run.started_at is None or run.completed_at is None:
        return None
    return max(run.completed_at - run.started_at, timedelta()) // timedelta(milliseconds=1)


def _output(index: int, output: RunOutput) -> OutputRef:
    name = (output.output_id or f"(no id) {index}")[:200]
    kind = input_type(output.type or "")
    if kind == "text":
        return OutputRef(output_id=name, node=name, kind="text", text=output.url or "")
    return OutputRef(output_id=name, node=name, media_type=_TYPES.get(kind), url=output.url)
