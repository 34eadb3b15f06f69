"""Convert database rows to model objects, and model objects to column values."""

from __future__ import annotations

from typing import Any

from sqlalchemy import RowMapping

from flow_pipelines.ledger.schema import nights, submissions
from flow_pipelines.model import (
    CostBasis,
    Night,
    NightPlan,
    NightRecord,
    Output,
    PlannedRow,
    PromptRow,
    Regeneration,
    StoredFacts,
    Submission,
    SubmissionState,
)

COUNT_COLUMNS = {state: f"count_{state}" for state in SubmissionState}

_NOT_OF_SUBMISSION = frozenset({"batch", "partition_key", "ask", "claimed_by", "claim_expires_at"})
_SUBMISSION = [name for name in submissions.c.keys() if name not in _NOT_OF_SUBMISSION]  # noqa: SIM118 - a collection of columns iterates over columns
_OF_NIGHT = frozenset(NightRecord.__dataclass_fields__)
_NIGHT = [name for name in nights.c.keys() if name in _OF_NIGHT]  # noqa: SIM118 - likewise
_PLAN = ("provider", "resource", "workflow", "workflow_version", "run_timeout_seconds", "location")


def night_of(row: RowMapping) -> Night:
    """Return the night a row belongs to."""
    return Night(row["batch"], row["partition_key"])


def to_submission(row: RowMapping) -> Submission:
    """Read a row of `submissions`."""
    facts: dict[str, Any] = {name: row[name] for name in _SUBMISSION}
    facts["state"] = SubmissionState(facts["state"])
    facts["cost_basis"] = CostBasis(facts["cost_basis"])
    return Submission(night=night_of(row), **facts)


def to_night_record(row: RowMapping) -> NightRecord:
    """Read a row of `nights`."""
    facts: dict[str, Any] = {name: row[name] for name in _NIGHT}
    counts = {state: row[name] for state, name in COUNT_COLUMNS.items() if row[name]}
    return NightRecord(night=night_of(row), counts=counts, **facts)


def to_output(row: RowMapping) -> Output:
    """Read a row of `outputs`."""
    stored = None
    if row["stored_at"] is not None:
        stored = StoredFacts(
            s3_key=row["s3_key"],
            media_type=row["media_type"],
            size_bytes=row["size_bytes"],
            sha256=row["sha256"],
            width=row["width"],
            height=row["height"],
            bucket=row["bucket"],
            verified=row["verified"],
            verified_why=row["verified_why"],
        )
    return Output(
        submission_key=row["submission_key"],
        output_index=row["output_index"],
        output_id=row["output_id"],
        kind=row["kind"],
        file_name=row["file_name"],
        stored=stored,
        problem=row["problem"],
        attempts=row["attempts"],
        stored_at=row["stored_at"],
        sealed_link=row["sealed_link"],
        node=row["node"],
        declared_type=row["declared_type"],
        declared_bytes=row["declared_bytes"],
        doubted_at=row["doubted_at"],
        settled_above=row["settled_above"],
    )


def to_prompt_row(row: RowMapping) -> PromptRow:
    """Read a row of `prompt_rows`."""
    return PromptRow(
        prompt_id=row["prompt_id"],
        row_number=row["row_number"],
        prompt=row["prompt"],
        seed=row["seed"],
        values=row["values"],
        content_hash=row["content_hash"],
    )


def to_regeneration(row: RowMapping) -> Regeneration:
    """Read a row of `regenerations`."""
    return Regeneration(
        night=night_of(row),
        generation=row["generation"],
        requested_by=row["requested_by"],
        scope=row["scope"],
        created_at=row["created_at"],
        rows=row["rows"],
    )


def plan_values(plan: NightPlan) -> dict[str, Any]:
    """Return what `plan` says about its night, as columns."""
    return {name: getattr(plan, name) for name in _PLAN}


def planned_values(row: PlannedRow | Submission, plan: dict[str, Any]) -> dict[str, Any]:
    """Return the columns of a submission that are its row's and its plan's."""
    return {
        "submission_key": row.submission_key,
        "prompt_id": row.prompt_id,
        "row_number": row.row_number,
        "copy": row.copy,
        "generation": row.generation,
        "prompt": row.prompt,
        "seed": row.seed,
        "parameters": dict(row.parameters),
        "content_hash": row.content_hash,
        "request_hash": row.request_hash,
        "provider": plan["provider"],
        "resource": plan["resource"],
        "workflow": plan["workflow"],
        "workflow_version": plan["workflow_version"],
    }


def prompt_row_values(row: PromptRow) -> dict[str, Any]:
    """Return the columns of a row of the prompt table."""
    return {
        "prompt_id": row.prompt_id,
        "row_number": row.row_number,
        "prompt": row.prompt,
        "seed": row.seed,
        "values": dict(row.values),
        "content_hash": row.content_hash,
    }
