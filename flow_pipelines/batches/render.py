"""Render a night's rows into planned submissions: parameters, keys, seeds and hashes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from flow_pipelines.batches.checks import (
    at_parameters,
    check_parameters,
    did_you_mean,
    doubled_fault,
)
from flow_pipelines.batches.keys import seed_of, submission_key
from flow_pipelines.batches.pictures import LookUp, unread
from flow_pipelines.batches.prompt_table import PROMPT, PromptTable
from flow_pipelines.batches.recipe import ALWAYS_THERE, Fault, Recipe
from flow_pipelines.batches.sources import raise_if_any
from flow_pipelines.model import BatchSettings, Night, PlannedRow, PromptRow, Workflow
from flow_pipelines.model.errors import Problem

__all__ = ["RenderedRows", "check_parameters", "render_rows"]


@dataclass(frozen=True, kw_only=True)
class RenderedRows:
    """A night's rows, and the submissions that they are planned as."""

    rows: list[PromptRow]
    """As read, with `content_hash` filled in."""
    planned: list[PlannedRow]
    """Ordered by row, then copy."""


def render_rows(  # noqa: PLR0913 - what a request is made from, and the table for its lines
    settings: BatchSettings,
    workflow: Workflow,
    rows: Sequence[PromptRow],
    night: Night,
    generation: int,
    *,
    table: PromptTable | None = None,
    cached_when_identical: bool = False,
    look_up: LookUp = unread,
    faults_of_rows: Sequence[Problem] = (),
) -> RenderedRows:
    """Render every row and copy of one generation of a night. Buys nothing.

    The same arguments give the same answer on every machine. `table` is where the rows came from:
    with it, problems name file and line. `cached_when_identical` (the provider's capability)
    also refuses equal requests of one row's copies, as those of two rows are everywhere, unless the
    batch allows them. `look_up` reads the
    pictures that rows name; what it returns for one has to stay the same during a call.
    `faults_of_rows` were found when the rows were read, and are reported with those found here.

    Raises: InvalidBatch, listing every problem of the parameters and of all rows.
    """
    recipe = Recipe.of(settings, workflow, look_up)
    table = table or _table_of(settings, rows)
    problems = check_parameters(settings, workflow, cached_when_identical=cached_when_identical)
    sound = not problems  # only what can be written as JSON has a hash
    rendered = RenderedRows(rows=[], planned=[])
    problems_of_rows: dict[Problem, None] = {}  # of all copies, each once
    for row in rows:
        drafts = list(_drafts(recipe, row, night, generation, settings.runs_per_prompt))
        for draft, faults in drafts:
            found = _problems(settings, table, draft.row_number, faults)
            problems_of_rows |= dict.fromkeys(found)
        if sound:
            content_hash = recipe.content_hash(row, drafts[-1][0].parameters)
            rendered.rows.append(replace(row, content_hash=content_hash))
            rendered.planned.extend(_hashed(draft, content_hash, recipe) for draft, _ in drafts)
    # A literal's faults are among those of the batch already.
    problems += [*faults_of_rows, *_faults_of_columns(settings, recipe, table)] + [
        problem for problem in problems_of_rows if sound or problem not in problems
    ]
    raise_if_any(settings.name, problems)
    if not settings.allow_identical:
        same = _identical(rendered.planned, recipe, table, copies_too=cached_when_identical)
        raise_if_any(settings.name, list(same))
    return rendered


def _table_of(settings: BatchSettings, rows: Sequence[PromptRow]) -> PromptTable:
    """Stand in for the table of rows that were read some time ago: it has no lines any more."""
    name = settings.prompts or settings.prompts_asset or settings.name
    return PromptTable(name, tuple(dict.fromkeys(name for row in rows for name in row.values)), [])


def _drafts(
    recipe: Recipe, row: PromptRow, night: Night, generation: int, copies: int
) -> Iterator[tuple[PlannedRow, list[Fault]]]:
    """Yield each copy of a row, still without hashes; it is worth nothing while it has faults."""
    seeded = row.seed is not None or "seed" in recipe.columns
    for copy in range(copies):
        seed = seed_of(row, night, copy, generation) if seeded else None
        values = {**row.values, "prompt_id": row.prompt_id, "seed": seed}
        parameters, faults = recipe.render(values)
        draft = PlannedRow(
            submission_key=submission_key(night, row.prompt_id, copy, generation),
            prompt_id=row.prompt_id,
            row_number=row.row_number,
            copy=copy,
            generation=generation,
            prompt=row.prompt,
            seed=seed,
            parameters=parameters,
            content_hash="",
            request_hash="",
        )
        yield draft, faults


def _hashed(draft: PlannedRow, content_hash: str, recipe: Recipe) -> PlannedRow:
    request_hash = recipe.request_hash(draft.parameters)
    return replace(draft, content_hash=content_hash, request_hash=request_hash)


def _problems(
    settings: BatchSettings, table: PromptTable, row_number: int, faults: Sequence[Fault]
) -> Iterator[Problem]:
    for fault in faults:
        if fault.columns:
            column = fault.columns[0] if len(fault.columns) == 1 else None
            yield table.problem(row_number, fault.message, column)
        else:  # the same for every row: the place is where it was written
            yield from at_parameters(settings, [(fault.parameter, fault.message)])


def _faults_of_columns(
    settings: BatchSettings, recipe: Recipe, table: PromptTable
) -> list[Problem]:
    faults: list[tuple[str | None, str]] = []
    if not recipe.effective_columns and not settings.allow_identical:
        message = (
            f"no column of {table.name}, nor {{seed}}, reaches a parameter, so each row would send "
            "the same request; write {prompt}, or another column's name, into one, or "
            "allow_identical: true if it is meant"
        )
        faults.append((None, message))
    there = {*table.columns, *ALWAYS_THERE}
    there |= {PROMPT} if table.prompt_column in table.columns else set()
    for name, template in recipe.parameters.items():
        doubled = doubled_fault(template, there)
        if doubled and not doubled_fault(template, ALWAYS_THERE):  # that is known without a table
            faults.append((name, f"{name} {doubled}"))
        for column in template.columns:
            if column not in there:
                message = f"{name} uses the column {column!r}, which {table.name} does not have"
                faults.append((name, message + did_you_mean(column, table.columns)))
    return at_parameters(settings, faults)


def _identical(
    planned: Sequence[PlannedRow], recipe: Recipe, table: PromptTable, *, copies_too: bool
) -> Iterator[Problem]:
    """Yield a problem for each row whose request is another's; for copies, too, where they count.

    Copies of one row at a provider without a cache are what `runs_per_prompt` asks for.
    """
    first: dict[str, PlannedRow] = {}
    for row in planned:
        other = first.setdefault(recipe.effective_hash(row), row)
        if other is row or not (copies_too or other.row_number != row.row_number):
            continue
        why = (
            "the second answer would come from a cache, possibly with no output"
            if copies_too
            else "the same would be bought twice"
        )
        yield table.problem(
            row.row_number,
            f"gives the same request as {table.place_of(other.row_number)}; {why}. Use {{seed}} in "
            "parameters, or allow_identical: true if it is meant",
        )
