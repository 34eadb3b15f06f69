"""Render prompt tables that are files here when a location is checked or starts, not at 02:00."""

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from weakref import WeakKeyDictionary

import dagster as dg
from dagster._core.definitions.definitions_load_context import (
    DefinitionsLoadContext,
    DefinitionsLoadType,
)

from flow_pipelines.batches.render import render_rows
from flow_pipelines.batches.rows import read_rows
from flow_pipelines.batches.tables import read_table
from flow_pipelines.clock import Clock, SystemClock
from flow_pipelines.component.validation import unknown_workflow
from flow_pipelines.model import BatchSettings, Night, Workflow
from flow_pipelines.model.errors import ConfigurationError, InvalidBatch, Problem
from flow_pipelines.providers import profile
from flow_pipelines.resources.environment import is_validating

MOST_ROWS = 1000
_MOST_BYTES = 4 * 1024 * 1024
SECONDS = 2.0
"""Of a location's start, for the tables of all its batches."""
_CHECKED = 3
"""Of tables a partition each, the last by name."""
_spent: WeakKeyDictionary[DefinitionsLoadContext, float] = WeakKeyDictionary()


def faults_of_table(
    settings: BatchSettings, workflow: Workflow | None, clock: Clock | None = None
) -> Sequence[Problem]:
    """Return what is wrong with a batch's table, where it is a file here; nothing is planned.

    When definitions are validated, every row is rendered. When a location starts, tables of up to
    1,000 rows are, within 2 s for the whole location; in a run worker none is.
    `workflow` is None where only the provider knows it: its parameters are not checked then.
    """
    clock = clock or SystemClock()
    if is_validating():
        return list(_faults(settings, workflow, rows=None))
    if not DefinitionsLoadContext.is_set():
        return []
    load = DefinitionsLoadContext.get()
    if load.load_type != DefinitionsLoadType.INITIALIZATION or _spent.get(load, 0.0) >= SECONDS:
        return []
    began = clock.monotonic()
    problems = list(_faults(settings, workflow, rows=MOST_ROWS))
    _spent[load] = _spent.get(load, 0.0) + clock.monotonic() - began
    return problems


def warn(settings: BatchSettings, problems: Sequence[Problem]) -> InvalidBatch:
    """Log what would stop a night, and return it; other batches load all the same."""
    fault = InvalidBatch(settings.name, problems)
    dg.get_dagster_logger().warning(str(fault))
    return fault


def _faults(
    settings: BatchSettings, workflow: Workflow | None, rows: int | None
) -> Iterator[Problem]:
    for file in _files(settings):
        if rows is not None and file.stat().st_size > _MOST_BYTES:
            continue
        try:
            _render(settings, workflow, file, rows)
        except InvalidBatch as error:
            yield from error.problems
        except (ConfigurationError, OSError) as error:
            yield Problem(str(error), file.name)


def _files(settings: BatchSettings) -> Sequence[Path]:
    if settings.prompts is None or settings.prompts.startswith("s3://"):
        return []
    folder = Path(settings.base_dir)
    named = settings.prompts.replace("{partition_key}", "*")
    if named == settings.prompts:
        return [folder / named]
    return sorted(folder.glob(named))[-_CHECKED:]


def _render(
    settings: BatchSettings, workflow: Workflow | None, file: Path, rows: int | None
) -> None:
    """Render every row of one table. Raises: InvalidBatch, OSError."""
    name = os.path.relpath(file, settings.base_dir)
    table = read_table(name, file.read_bytes(), settings.table_format)
    if rows is not None and len(table.rows) > rows:
        return
    night = Night(settings.name, "check")
    read, faults = read_rows(settings, table, night)
    render_rows(
        settings,
        workflow or unknown_workflow(settings),
        read,
        night,
        0,
        table=table,
        cached_when_identical=profile(settings.provider).capabilities.cached_when_identical,
        faults_of_rows=faults,
    )
