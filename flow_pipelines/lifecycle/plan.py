"""Plan a night from its prompt table, and choose the rows of a regeneration. Costs nothing."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from flow_pipelines.batches.checks import check_parameters
from flow_pipelines.batches.columnar_table import table_from_dataframe
from flow_pipelines.batches.prompt_table import PromptTable
from flow_pipelines.batches.render import render_rows
from flow_pipelines.batches.rows import read_rows
from flow_pipelines.batches.tables import read_table
from flow_pipelines.ledger.records import PlanOutcome
from flow_pipelines.lifecycle.inputs import MAX_INPUT_BYTES, PictureReader, read_below
from flow_pipelines.lifecycle.ports import Ports, Sources
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
from flow_pipelines.model.states import OUTCOME_UNKNOWN, WITHOUT_RESULT

if TYPE_CHECKING:
    import pandas as pd

Scope = str | Mapping[str, Sequence[str]]
"""`failed`, `changed`, `all`, or `{"prompt_ids": […]}`."""


@dataclass(frozen=True, kw_only=True)
class PlannedNight:
    """A night after planning."""

    night: Night
    workflow: Workflow
    outcome: PlanOutcome


@dataclass(frozen=True, kw_only=True)
class RenderedNight:
    """A night as it would be planned now; the ledger knows nothing of it."""

    night: Night
    workflow: Workflow
    rows: Sequence[PromptRow]
    planned: Sequence[PlannedRow]
    pictures: PictureReader
    """Read the pictures that the rows name; they are not in the bucket yet."""
    render: Callable[[int], Sequence[PlannedRow]]
    """Renders the same rows for a later generation."""


def plan_night(
    settings: BatchSettings,
    partition_key: str,
    ports: Ports,
    *,
    location: str = "",
    table: pd.DataFrame | None = None,
) -> PlannedNight:
    """Read, render and validate a night's rows, and plan what of them was never accepted.

    `table` is the upstream asset's value where the prompts come from one. Spends nothing and is
    safe to repeat: see `RunLedger.plan` for what a repetition changes.

    Raises: InvalidBatch, with every problem of every row; ConfigurationError; ProviderError.
    """
    rendered = render_night(settings, partition_key, ports, table=table)
    night, workflow = rendered.night, rendered.workflow
    rendered.pictures.keep(ports, night.batch)
    ports.ledger.save_workflow(workflow)
    plan = night_plan(settings, rendered, location)
    outcome = ports.ledger.plan(plan, rendered.rows, rendered.planned, rendered.render)
    return PlannedNight(night=night, workflow=workflow, outcome=outcome)


def night_plan(settings: BatchSettings, rendered: RenderedNight, location: str = "") -> NightPlan:
    """Return what all rows of a rendered night have in common."""
    return NightPlan(
        night=rendered.night,
        provider=settings.provider,
        resource=settings.resource,
        workflow=settings.workflow,
        workflow_version=rendered.workflow.version,
        run_timeout_seconds=settings.run_timeout_seconds,
        location=location,
    )


def render_night(
    settings: BatchSettings,
    partition_key: str,
    sources: Sources,
    *,
    table: pd.DataFrame | None = None,
) -> RenderedNight:
    """Read, render and validate a night's rows as `plan_night` does. Changes nothing anywhere.

    Raises: InvalidBatch, with every problem of every row; ConfigurationError; ProviderError.
    """
    night = Night(settings.name, partition_key)
    workflow = read_workflow(settings, sources)
    prompts = _table(settings, night, sources, table)
    pictures = _pictures(settings, sources)
    rows, faults = read_rows(settings, prompts, night)
    rendered = render_rows(
        settings,
        workflow,
        rows,
        night,
        0,
        table=prompts,
        cached_when_identical=sources.provider.capabilities.cached_when_identical,
        look_up=pictures,
        faults_of_rows=faults,
    )
    return RenderedNight(
        night=night,
        workflow=workflow,
        rows=rendered.rows,
        planned=rendered.planned,
        pictures=pictures,
        render=lambda generation: (
            render_rows(
                settings, workflow, rendered.rows, night, generation, look_up=pictures
            ).planned
        ),
    )


def read_workflow(settings: BatchSettings, ports: Sources) -> Workflow:
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


def read_source(settings: BatchSettings, reference: str, ports: Sources) -> bytes:
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


def _pictures(settings: BatchSettings, sources: Sources) -> PictureReader:
    def read(reference: str) -> bytes:
        if "://" in reference:
            return sources.read_input(reference)
        return read_below(Path(settings.base_dir), reference, max_bytes=MAX_INPUT_BYTES)

    return PictureReader(read)


def _table(
    settings: BatchSettings, night: Night, ports: Sources, table: pd.DataFrame | None
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
    if reference != settings.prompts and ".." in night.partition_key.split("/"):
        raise ConfigurationError(f"{night}: no prompt table is looked for at {reference!r}")
    return read_table(reference, read_source(settings, reference, ports), settings.table_format)


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

    Raises: InvalidBatch, ConfigurationError (unknown prompt ids, nothing planned yet, another
    scope than the first time).
    """
    rows = ports.ledger.prompt_rows(night)
    if not rows:
        message = f"{night}: nothing was planned yet; materialize {night.batch}/prompts first"
        raise ConfigurationError(message)
    chosen = _chosen(night, rows, latest(ports.ledger.submissions(night)), scope)
    workflow = read_workflow(settings, ports)
    ports.ledger.save_workflow(workflow)
    pictures = _pictures(settings, ports)
    # Once before the night is locked: pictures are read and stored without anybody waiting.
    render_rows(settings, workflow, chosen, night, 0, look_up=pictures)
    pictures.keep(ports, night.batch)

    def render(generation: int) -> Sequence[PlannedRow]:
        # Read with the night locked: of two who ask at once, one sees what the other planned.
        current = latest(ports.ledger.submissions(night))
        rendered = render_rows(
            settings, workflow, chosen, night, generation, look_up=pictures
        ).planned
        return [
            row for row in rendered if _wanted(current.get((row.prompt_id, row.copy)), row, scope)
        ]

    asked = json.dumps(scope if isinstance(scope, str) else dict(scope), sort_keys=True)
    regeneration = ports.ledger.regenerate(
        night, requested_by, asked, render, workflow_version=workflow.version
    )
    _refuse_another_scope(regeneration, asked)
    ports.log(
        f"{night}: generation {regeneration.generation} buys {regeneration.rows} row(s) again, "
        f"asked for by {requested_by}"
    )
    return regeneration


def _refuse_another_scope(first: Regeneration, asked: str) -> None:
    """Raise ConfigurationError where the same request wants to regenerate something else now."""
    if _rows_of(first.scope) != _rows_of(asked):
        raise ConfigurationError(
            f"{first.night}: {first.requested_by} has regenerated {first.scope} already, and its "
            f"re-execution asks for {asked}: nothing was planned or bought. Start a new run for it"
        )


def _rows_of(scope: str) -> object:
    """Return what a scope means, in whatever order its rows are named."""
    read = json.loads(scope)
    return read if isinstance(read, str) else sorted(set(read["prompt_ids"]))


def latest(submissions: Sequence[Submission]) -> Mapping[tuple[str, int], Submission]:
    """Return each row and copy's submission of the highest generation."""
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


def _wanted(before: Submission | None, row: PlannedRow, scope: Scope) -> bool:
    if before is not None and before.state in OUTCOME_UNKNOWN | {SubmissionState.PLANNED}:
        # It is about to be bought, or may have been: another copy would be a double bill.
        return False
    if scope == "failed":
        return before is not None and before.state in WITHOUT_RESULT
    if scope == "changed":
        return before is None or before.content_hash != row.content_hash
    return True
