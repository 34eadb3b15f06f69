"""From a prompt table to planned submissions: read, render, validate, freeze. Costs nothing."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from flow_pipelines.batches.render import check_parameters, render_rows
from flow_pipelines.batches.rows import read_rows
from flow_pipelines.batches.tables import PromptTable, read_table, table_from_dataframe
from flow_pipelines.ledger.contract import PlanOutcome
from flow_pipelines.lifecycle.ports import Ports
from flow_pipelines.model import (
    BatchSettings,
    Night,
    NightPlan,
    PlannedRow,
    PromptRow,
    Regeneration,
    Submission,
    SubmissionState,
    Workflow,
)
from flow_pipelines.model.errors import ConfigurationError, InvalidBatch

if TYPE_CHECKING:
    import pandas as pd

Scope = str | Mapping[str, Sequence[str]]
"""`failed`, `changed`, `all`, or `{"prompt_ids": […]}`."""


@dataclass(frozen=True, kw_only=True)
class PlannedNight:
    """A night after planning."""

    night: Night
    workflow: Workflow
    submissions: Sequence[Submission]
    outcome: PlanOutcome


def plan_night(
    settings: BatchSettings,
    partition_key: str,
    ports: Ports,
    *,
    location: str = "",
    table: pd.DataFrame | None = None,
) -> PlannedNight:
    """Read, render and validate a night's rows, and freeze them in the ledger.

    `table` is the upstream asset's value where the prompts come from one. Spends nothing and is
    safe to repeat: see `RunLedger.plan` for what a repetition changes.

    Raises: InvalidBatch, with every problem of every row; ConfigurationError; ProviderError.
    """
    night = Night(settings.name, partition_key)
    workflow = read_workflow(settings, ports)
    rows, planned = _render_night(
        settings,
        night,
        workflow,
        _table(settings, night, ports, table),
        cached=ports.provider.capabilities.cached_when_identical,
    )
    ports.ledger.save_workflow(workflow)
    outcome = ports.ledger.plan(
        NightPlan(
            night=night,
            provider=settings.provider,
            resource=settings.resource,
            workflow=settings.workflow,
            workflow_version=workflow.version,
            run_timeout_seconds=settings.run_timeout_seconds,
            location=location,
        ),
        rows,
        planned,
    )
    return PlannedNight(
        night=night,
        workflow=workflow,
        submissions=ports.ledger.submissions(night),
        outcome=outcome,
    )


def read_workflow(settings: BatchSettings, ports: Ports) -> Workflow:
    """Get the batch's workflow and check the batch's parameters against it.

    Raises: InvalidBatch, ConfigurationError, ProviderError.
    """
    workflow = ports.provider.read_workflow(
        settings.workflow, lambda reference: read_source(settings, reference, ports)
    )
    problems = check_parameters(
        settings,
        workflow,
        cached_when_identical=ports.provider.capabilities.cached_when_identical,
    )
    if problems:
        raise InvalidBatch(settings.name, problems)
    return workflow


def read_source(settings: BatchSettings, reference: str, ports: Ports) -> bytes:
    """Read a file beside the batch's `defs.yaml`, or an `s3://` URI."""
    if reference.startswith("s3://"):
        return ports.read_uri(reference)
    path = Path(settings.base_dir) / reference
    try:
        return path.read_bytes()
    except OSError as error:
        reason = error.strerror or type(error).__name__
        message = f"Batch {settings.name!r}: {reference}: {reason} (looked in {path.parent})"
        raise ConfigurationError(message) from error


def _table(
    settings: BatchSettings, night: Night, ports: Ports, table: pd.DataFrame | None
) -> PromptTable:
    if settings.prompts is None:
        if table is None:
            message = (
                f"Batch {settings.name!r}: its prompts come from the asset "
                f"{settings.prompts_asset!r}, which gave no table; materialize that asset first"
            )
            raise ConfigurationError(message)
        return table_from_dataframe(settings.prompts_asset or "upstream asset", table)
    reference = settings.prompts.replace("{partition_key}", night.partition_key)
    return read_table(reference, read_source(settings, reference, ports))


def _render_night(
    settings: BatchSettings, night: Night, workflow: Workflow, table: PromptTable, *, cached: bool
) -> tuple[Sequence[PromptRow], Sequence[PlannedRow]]:
    rows = read_rows(settings, table, night)
    rendered = render_rows(
        settings, workflow, rows, night, 0, table=table, cached_when_identical=cached
    )
    return rendered.rows, rendered.planned


def regenerate(
    settings: BatchSettings,
    night: Night,
    ports: Ports,
    *,
    requested_by: str,
    scope: Scope,
) -> Regeneration:
    """Plan rows of a night again, on purpose; once per `requested_by`, however often it runs.

    `failed` takes rows without a good picture (failed, canceled, skipped), `changed` the rows of
    the table that differ from what was bought or were never planned, `all` every row of the
    table, and `prompt_ids` those. `unresolved` rows are left to `flow-pipelines resolve`: buying
    them again could pay twice. Planning spends nothing; submitting does.

    Raises: InvalidBatch, ConfigurationError (unknown prompt ids, nothing planned yet).
    """
    rows = ports.ledger.prompt_rows(night)
    if not rows:
        message = f"{night}: nothing was planned yet; materialize {night.batch}/prompts first"
        raise ConfigurationError(message)
    current = latest(ports.ledger.submissions(night))
    chosen = _chosen(night, rows, current, scope)
    workflow = read_workflow(settings, ports)
    ports.ledger.save_workflow(workflow)
    regeneration = ports.ledger.regenerate(
        night,
        requested_by,
        json.dumps(scope if isinstance(scope, str) else dict(scope), sort_keys=True),
        lambda generation: (
            [
                row
                for row in render_rows(settings, workflow, chosen, night, generation).planned
                if _wanted(current.get((row.prompt_id, row.copy)), row, scope)
            ]
        ),
        workflow_version=workflow.version,
    )
    ports.log(
        f"{night}: generation {regeneration.generation} buys {regeneration.rows} row(s) again, "
        f"asked for by {requested_by}"
    )
    return regeneration


def latest(submissions: Sequence[Submission]) -> Mapping[tuple[str, int], Submission]:
    """Give each row and copy's submission of the highest generation."""
    newest: dict[tuple[str, int], Submission] = {}
    for submission in submissions:
        key = (submission.prompt_id, submission.copy)
        if key not in newest or newest[key].generation < submission.generation:
            newest[key] = submission
    return newest


def _chosen(
    night: Night,
    rows: Sequence[PromptRow],
    current: Mapping[tuple[str, int], Submission],
    scope: Scope,
) -> Sequence[PromptRow]:
    if isinstance(scope, str):
        return rows
    wanted = set(scope["prompt_ids"])
    unknown = wanted - {row.prompt_id for row in rows}
    if unknown:
        known = {prompt_id for prompt_id, _ in current}
        gone = " (some were bought, but are no longer in the table)" if unknown & known else ""
        message = f"{night}: no such prompt_ids in its table: {', '.join(sorted(unknown))}{gone}"
        raise ConfigurationError(message)
    return [row for row in rows if row.prompt_id in wanted]


_UNFULFILLED = frozenset(
    {SubmissionState.FAILED, SubmissionState.CANCELED, SubmissionState.SKIPPED}
)


def _wanted(before: Submission | None, row: PlannedRow, scope: Scope) -> bool:
    if before is not None and before.state in {
        SubmissionState.PLANNED,
        SubmissionState.SUBMITTING,
        SubmissionState.UNRESOLVED,
    }:
        # It is about to be bought, or may have been: another copy would be a double bill.
        return False
    if scope == "failed":
        return before is not None and before.state in _UNFULFILLED
    if scope == "changed":
        return before is None or before.content_hash != row.content_hash
    return True
