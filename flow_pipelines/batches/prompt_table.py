"""A prompt table in memory, whatever format it was read from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from flow_pipelines.batches.cells import shown, text_fault
from flow_pipelines.model import Value
from flow_pipelines.model.errors import Problem

MAX_ROWS = 200_000
"""Of a night: more than any provider's rate limit lets through in a day. A table beyond this is a
mistake, or made to fill this machine's memory."""


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

    def place_of(self, row_number: int) -> str:
        """Return the line on which a row (0-based) begins, for people, or its number."""
        return f"row {row_number + 1}" if self.lines is None else f"line {self.lines[row_number]}"

    def problem(self, row_number: int, message: str, column: str | None = None) -> Problem:
        """Return what is wrong with a row (0-based), with its line where there are lines."""
        if self.lines is None:
            return Problem(f"{self.place_of(row_number)}: {message}", self.name, None, column)
        return Problem(message, self.name, self.lines[row_number], column)


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
    return problems
