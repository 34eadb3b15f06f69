"""A prompt table in memory, whatever format it was read from."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

from flow_pipelines.batches.cells import shown, text_fault
from flow_pipelines.model import Value
from flow_pipelines.model.errors import Problem

MAX_ROWS = 200_000
"""Of a night: more than any provider's rate limit lets through in a day. A table beyond this is a
mistake, or made to fill this machine's memory."""
PROMPT = "prompt"
_SPELLED_SO = ("prompt_id", "seed")
"""Special columns: to take another spelling for one would rename rows, or change their pictures."""


@dataclass(frozen=True)
class PromptTable:
    """Rows of prompt parameters, in the order in which they were written."""

    name: str
    """As the person named it: relative path, URI or asset key."""
    columns: tuple[str, ...]
    rows: list[dict[str, Value]]
    """Every row has every column; None where there is no value."""
    lines: tuple[int, ...] | None = None
    """The line on which each row begins, 1-based; None for formats without lines."""
    numbers: tuple[int, ...] | None = None
    """Of formats without lines, the place of each row, 1-based; None: none was left out."""

    @cached_property
    def prompt_column(self) -> str:
        """The column that people are shown: `prompt`, however it is spelled; it may not be there.

        A row's identity keeps the spelling, as it did before another one was taken.
        """
        spelled = (name for name in self.columns if name.casefold() == PROMPT)
        return PROMPT if PROMPT in self.columns else next(spelled, PROMPT)

    def place_of(self, row_number: int) -> str:
        """Return the line on which a row (0-based) begins, for people, or its number."""
        if self.lines is not None:
            return f"line {self.lines[row_number]}"
        return f"row {row_number + 1 if self.numbers is None else self.numbers[row_number]}"

    def problem(self, row_number: int, message: str, column: str | None = None) -> Problem:
        """Return what is wrong with a row (0-based), with its line where there are lines."""
        if self.lines is None:
            return Problem(f"{self.place_of(row_number)}: {message}", self.name, None, column)
        return Problem(message, self.name, self.lines[row_number], column)


def is_blank(cells: Iterable[Value]) -> bool:
    """Return whether nothing is written in any cell: such a row counts as a blank line."""
    return all(cell is None or (isinstance(cell, str) and not cell.strip()) for cell in cells)


def too_many_rows(name: str, line: int | None = None) -> Problem:
    """Return the error for a table with more rows than a night may have."""
    return Problem(f"has more than {MAX_ROWS} rows; split it into partitions", name, line)


def header_problems(name: str, columns: Sequence[str], line: int | None = None) -> list[Problem]:
    """Find columns without a name, with a name that cannot be stored, or with another's name."""
    problems: list[Problem] = []
    seen: set[str] = set()
    for position, column in enumerate(columns, start=1):
        fault = text_fault(column)
        if not column:
            problems.append(Problem(f"column {position} has no name", name, line))
        elif fault:
            problems.append(Problem(f"the name of column {position} {fault}", name, line))
        elif column in seen:
            problems.append(Problem(f"two columns are named {shown(column)}", name, line))
        seen.add(column)
    return problems + [Problem(fault, name, line) for fault in _spelling_faults(columns)]


def _spelling_faults(columns: Sequence[str]) -> Iterator[str]:
    for special in _SPELLED_SO:
        for column in columns:
            if column != special and column.casefold() == special:
                yield (
                    f"the column {shown(column)} is not {special!r}: write {special!r} if it is "
                    "meant, and give it another name if it is not"
                )
    prompts = [column for column in columns if column.casefold() == PROMPT]
    if len(prompts) > 1 and PROMPT not in prompts and len(set(prompts)) > 1:
        yield f"{' and '.join(shown(c) for c in prompts)} could both be the prompt; name one prompt"
