"""Prompt tables in JSON Lines: one flat object a line, types kept."""

from __future__ import annotations

from typing import Any

from flow_pipelines.batches.cells import cell_fault
from flow_pipelines.batches.prompt_table import (
    MAX_ROWS,
    PromptTable,
    header_problems,
    too_many_rows,
)
from flow_pipelines.batches.sources import JsonFault, exact_json, raise_if_any, text_of
from flow_pipelines.model.errors import Problem


def read_jsonl(name: str, content: bytes) -> PromptTable:
    """Read one JSON object a line; blank lines count as nothing, a key that is absent is None.

    Integers stay exact up to 2^64−1; NaN and infinities are no JSON.

    Raises: InvalidBatch, with every fault's line.
    """
    problems: list[Problem] = []
    rows: list[dict[str, Any]] = []
    lines: list[int] = []
    columns: dict[str, None] = {}
    # Not `splitlines`: a prompt may hold characters that it takes for line breaks.
    for line, text in enumerate(text_of(name, content).split("\n"), start=1):
        if not text.strip():
            continue
        if len(rows) == MAX_ROWS:
            problems.append(too_many_rows(name, line))
            break
        try:
            row = _object(text)
        except JsonFault as fault:
            column = None if fault.column is None else str(fault.column)
            problems.append(Problem(fault.message, name, line, column))
            continue
        problems += _faults(name, line, row)
        columns |= dict.fromkeys(row)
        rows.append(row)
        lines.append(line)
    raise_if_any(name, problems)
    complete = [{column: row.get(column) for column in columns} for row in rows]
    return PromptTable(name, tuple(columns), complete, tuple(lines))


def _object(text: str) -> dict[str, Any]:
    row = exact_json(text)
    if not isinstance(row, dict):
        raise JsonFault('is not an object; write {"prompt": "…"} on each line')
    return row


def _faults(name: str, line: int, row: dict[str, Any]) -> list[Problem]:
    problems = header_problems(name, list(row), line)
    for column, value in row.items():
        nested = isinstance(value, dict | list)
        fault = "is nested; a cell holds one value" if nested else cell_fault(value)
        if fault:
            problems.append(Problem(fault, name, line, column))
    return problems
