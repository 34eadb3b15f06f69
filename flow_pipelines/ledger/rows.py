"""Convert database rows to model objects, and model objects to column values."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

from sqlalchemy import RowMapping, Table

from flow_pipelines.ledger.schema import nights, outputs, prompt_rows, regenerations, submissions
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


def _shared(kind: Any, table: Table) -> list[str]:
    """Return the fields of a dataclass that are columns of a table under the same name."""
    return [field.name for field in fields(kind) if field.name in table.c]


COUNT_COLUMNS = {state: f"count_{state}" for state in SubmissionState}
_SUBMISSION = _shared(Submission, submissions)
_PLANNED_ROW = _shared(PlannedRow, submissions)
_NIGHT = _shared(NightRecord, nights)
_PLAN = _shared(NightPlan, nights)
_PLAN_OF_SUBMISSION = _shared(NightPlan, submissions)
_OUTPUT = _shared(Output, outputs)
STORED = [name for name in _shared(StoredFacts, outputs) if name != "file_name"]
"""Columns of what is known of a stored file; its name is the output's."""
_PROMPT_ROW = _shared(PromptRow, prompt_rows)
_REGENERATION = _shared(Regeneration, regenerations)


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
        stored = StoredFacts(**{name: row[name] for name in STORED})
    return Output(stored=stored, **{name: row[name] for name in _OUTPUT})


def to_prompt_row(row: RowMapping) -> PromptRow:
    """Read a row of `prompt_rows`."""
    return PromptRow(**{name: row[name] for name in _PROMPT_ROW})


def to_regeneration(row: RowMapping) -> Regeneration:
    """Read a row of `regenerations`."""
    return Regeneration(night=night_of(row), **{name: row[name] for name in _REGENERATION})


def plan_values(plan: NightPlan) -> dict[str, Any]:
    """Return what `plan` says about its night, as columns."""
    return {name: getattr(plan, name) for name in _PLAN}


def planned_values(row: PlannedRow | Submission, plan: dict[str, Any]) -> dict[str, Any]:
    """Return the columns of a submission that are its row's and its plan's."""
    return {
        **{name: getattr(row, name) for name in _PLANNED_ROW},
        "parameters": dict(row.parameters),
        **{name: plan[name] for name in _PLAN_OF_SUBMISSION},
    }


def prompt_row_values(row: PromptRow) -> dict[str, Any]:
    """Return the columns of a row of the prompt table."""
    return {name: getattr(row, name) for name in _PROMPT_ROW} | {"values": dict(row.values)}


def regeneration_values(regeneration: Regeneration) -> dict[str, Any]:
    """Return the columns of a regeneration."""
    return {
        **regeneration.night._asdict(),
        **{name: getattr(regeneration, name) for name in _REGENERATION},
    }
