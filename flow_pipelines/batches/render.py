"""From rows to what will be bought: typed parameters, keys, seeds and hashes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from flow_pipelines.batches.checks import at_parameters, check_parameters, did_you_mean
from flow_pipelines.batches.keys import submission_key
from flow_pipelines.batches.pictures import LookUp, unread
from flow_pipelines.batches.prompt_table import PromptTable
from flow_pipelines.batches.recipe import ALWAYS_THERE, Fault, Recipe
from flow_pipelines.batches.seeds import seed_of
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
    found: Sequence[Problem] = (),
) -> RenderedRows:
    """Render every row and copy of one generation of a night. Buys nothing.

    The same arguments give the same answer on every machine. `table` is where the rows came from:
    with it, problems name file and line. `cached_when_identical` (the provider's capability)
    also refuses two equal requests in one night, unless the batch allows them. `look_up` reads the
    pictures that rows name; what it gives for one has to stay the same during a call. `found` are
    faults of the same rows that are told together with those found here.

    Raises: InvalidBatch, listing every problem of the parameters and of all rows.
    """
    recipe = Recipe.of(settings, workflow, look_up)
    place = _Place(settings, table)
    problems = check_parameters(settings, workflow, cached_when_identical=cached_when_identical)
    sound = not problems  # only what can be written as JSON has a hash
    copies = _Copies(night, generation, settings.runs_per_prompt)
    rendered = RenderedRows(rows=[], planned=[])
    faults: dict[Problem, None] = {}
    for row in rows:
        drafts = list(_drafts(recipe, row, copies))
        faults |= dict.fromkeys(p for draft in drafts for p in place.problems(draft))
        if not sound:
            continue
        content_hash = recipe.content_hash(row, drafts[-1].parameters)
        rendered.rows.append(replace(row, content_hash=content_hash))
        rendered.planned.extend(_planned(draft, content_hash, recipe, copies) for draft in drafts)
    if not sound:  # a literal's faults were told with those of the batch
        faults = {problem: None for problem in faults if problem not in problems}
    problems += found
    problems += _missing_columns(settings, recipe, rows, place)
    problems += faults
    raise_if_any(settings.name, problems)
    if cached_when_identical and not settings.allow_identical:
        raise_if_any(settings.name, list(_identical(rendered.planned, place)))
    return rendered


@dataclass(frozen=True)
class _Copies:
    night: Night
    generation: int
    runs_per_prompt: int


@dataclass(frozen=True)
class _Draft:
    """A submission in the making; worth nothing while it has faults."""

    row: PromptRow
    copy: int
    seed: int | None
    parameters: Mapping[str, Any]
    faults: Sequence[Fault]


def _drafts(recipe: Recipe, row: PromptRow, copies: _Copies) -> Iterator[_Draft]:
    seeded = row.seed is not None or "seed" in recipe.columns
    for copy in range(copies.runs_per_prompt):
        seed = seed_of(row, copies.night, copy, copies.generation) if seeded else None
        values = {**row.values, "prompt_id": row.prompt_id, "seed": seed}
        parameters, faults = recipe.render(values)
        yield _Draft(row, copy, seed, parameters, faults)


def _planned(draft: _Draft, content_hash: str, recipe: Recipe, copies: _Copies) -> PlannedRow:
    row, generation = draft.row, copies.generation
    return PlannedRow(
        submission_key=submission_key(copies.night, row.prompt_id, draft.copy, generation),
        prompt_id=row.prompt_id,
        row_number=row.row_number,
        copy=draft.copy,
        generation=generation,
        prompt=row.prompt,
        seed=draft.seed,
        parameters=draft.parameters,
        content_hash=content_hash,
        request_hash=recipe.request_hash(draft.parameters),
    )


class _Place:
    """Knows where a row was written."""

    def __init__(self, settings: BatchSettings, table: PromptTable | None) -> None:
        self._settings = settings
        named = settings.prompts or settings.prompts_asset or settings.name
        self.file = table.name if table else named
        self.columns = table.columns if table else None
        self._table = table

    def line(self, row_number: int) -> int | None:
        return self._table.line_of(row_number) if self._table else None

    def words(self, row_number: int) -> str:
        line = self.line(row_number)
        return f"row {row_number + 1}" if line is None else f"line {line}"

    def problem(self, row_number: int, message: str, column: str | None = None) -> Problem:
        line = self.line(row_number)
        if line is None:
            message = f"row {row_number + 1}: {message}"
        return Problem(message, self.file, line, column)

    def problems(self, draft: _Draft) -> Iterator[Problem]:
        for fault in draft.faults:
            if fault.columns:
                column = fault.columns[0] if len(fault.columns) == 1 else None
                yield self.problem(draft.row.row_number, fault.message, column)
            else:  # told where it was written
                yield from at_parameters(self._settings, [(fault.parameter, fault.message)])


def _missing_columns(
    settings: BatchSettings, recipe: Recipe, rows: Sequence[PromptRow], place: _Place
) -> list[Problem]:
    columns = place.columns or tuple(dict.fromkeys(name for row in rows for name in row.values))
    faults: list[tuple[str | None, str]] = []
    for name, template in recipe.parameters.items():
        for column in template.columns:
            if column not in columns and column not in ALWAYS_THERE:
                message = f"{name} uses the column {column!r}, which {place.file} does not have"
                faults.append((name, message + did_you_mean(column, columns)))
    return at_parameters(settings, faults)


def _identical(planned: Sequence[PlannedRow], place: _Place) -> Iterator[Problem]:
    first: dict[str, PlannedRow] = {}
    for row in planned:
        other = first.setdefault(row.request_hash, row)
        if other is not row:
            yield place.problem(
                row.row_number,
                f"gives the same request as {place.words(other.row_number)}; the second answer "
                "would come from a cache, possibly with no output. Use {seed} in parameters, or "
                "allow_identical: true if it is meant",
            )
