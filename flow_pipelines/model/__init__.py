"""Words of this project as types: submissions, states, outputs, workflows, errors."""

from __future__ import annotations

from flow_pipelines.model.journal import Decision, JournalEntry
from flow_pipelines.model.output import (
    MAX_OUTPUT_BYTES,
    Output,
    OutputRef,
    Receipt,
    RunReport,
    StoredFacts,
)
from flow_pipelines.model.states import ENDED, IN_FLIGHT, TRANSITIONS, SubmissionState
from flow_pipelines.model.submission import (
    UNPARTITIONED,
    BatchSettings,
    Cost,
    CostBasis,
    Night,
    NightPlan,
    NightRecord,
    PlannedRow,
    PromptRow,
    Regeneration,
    Submission,
    TableFormat,
    Value,
)
from flow_pipelines.model.workflow import ParameterSpec, ParameterType, Workflow

__all__ = [
    "ENDED",
    "IN_FLIGHT",
    "MAX_OUTPUT_BYTES",
    "TRANSITIONS",
    "UNPARTITIONED",
    "BatchSettings",
    "Cost",
    "CostBasis",
    "Decision",
    "JournalEntry",
    "Night",
    "NightPlan",
    "NightRecord",
    "Output",
    "OutputRef",
    "ParameterSpec",
    "ParameterType",
    "PlannedRow",
    "PromptRow",
    "Receipt",
    "Regeneration",
    "RunReport",
    "StoredFacts",
    "Submission",
    "SubmissionState",
    "TableFormat",
    "Value",
    "Workflow",
]
