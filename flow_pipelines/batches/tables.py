"""Read prompt tables from CSV, JSON Lines and Parquet.

CSV and JSON Lines are read here, Parquet in `columnar_table`.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterator
from pathlib import PurePosixPath
from typing import Any

from flow_pipelines.batches.cells import cell_fault, text_fault
from flow_pipelines.batches.columnar_table import read_parquet
from flow_pipelines.batches.prompt_table import (
    MAX_ROWS,
    PromptTable,
    header_problems,
    too_many_rows,
)
from flow_pipelines.batches.sources import JsonFault, exact_json, raise_if_any, text_of
from flow_pipelines.model.errors import InvalidBatch, Problem

_OTHER_SEPARATORS = {";": "semicolons", "\t": "tabs", "|": "bars"}


def read_table(name: str, content: bytes) -> PromptTable:
    """Read a prompt table whose format the end of `name` tells: .csv, .jsonl or .parquet.

    Raises: InvalidBatch, with the file and, where the format has lines, the line of every fault.
    """
    read = _READERS.get(PurePosixPath(name).suffix.lower())
    if read is None:
        known = ", ".join(_READERS)
        raise InvalidBatch(name, [Problem(f"is no prompt table: its name ends in {known}", name)])
    return read(name, content)


def read_csv(name: str, content: bytes) -> PromptTable:
    """Read comma-separated text with a header line; blank lines count as nothing.

    A cell is never interpreted: `NA`, `007` and an empty cell stay what they are. Names of columns
    lose the blanks around them, as `prompt, category` means no column with a blank in its name.

    Raises: InvalidBatch, with every fault's line.
    """
    records = _records(name, text_of(name, content))
    line, header = next(records, (1, []))
    columns = tuple(column.strip() for column in header)
    raise_if_any(name, _header_faults(name, columns, line))
    table = PromptTable(name, columns, [], ())
    lines: list[int] = []
    problems: list[Problem] = []
    try:
        for line, cells in records:
            if len(lines) == MAX_ROWS:
                problems.append(too_many_rows(name, line))
                break
            problems += _row_faults(table, line, cells)
            table.rows.append(dict(zip(columns, cells, strict=False)))
            lines.append(line)
    except InvalidBatch as broken:
        problems += broken.problems
    raise_if_any(name, problems)
    return PromptTable(name, columns, table.rows, tuple(lines))


def _records(name: str, text: str) -> Iterator[tuple[int, list[str]]]:
    # `newline=""` leaves line breaks inside quoted cells as they were written.
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    while True:
        line = reader.line_num + 1
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            problem = Problem(_explain(str(error)), name, line)
            raise InvalidBatch(name, [problem]) from None
        if cells:
            yield line, cells


def _explain(error: str) -> str:
    if "end of data" in error:
        return "a quote is opened in the row that begins here, and never closed"
    if "field limit" in error:
        limit = csv.field_size_limit()
        return f"a cell has more than {limit} characters; perhaps a quote is never closed"
    return f'is not valid CSV ({error}); a quote inside a quoted cell is written twice: ""'


def _header_faults(name: str, columns: tuple[str, ...], line: int) -> list[Problem]:
    if not columns:
        return [Problem("is empty: the first line has to name the columns", name, line)]
    if len(columns) == 1:
        for separator, word in _OTHER_SEPARATORS.items():
            if separator in columns[0]:
                return [Problem(f"is separated by {word}; use commas", name, line)]
    return header_problems(name, columns, line)


def _row_faults(table: PromptTable, line: int, cells: list[str]) -> list[Problem]:
    if len(cells) != len(table.columns):
        message = f"has {len(cells)} cells where the header names {len(table.columns)} columns"
        return [Problem(message, table.name, line)]
    faults = ((column, text_fault(cell)) for column, cell in zip(table.columns, cells, strict=True))
    return [Problem(fault, table.name, line, column) for column, fault in faults if fault]


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
            problems.append(fault.problem(name, line))
            continue
        problems += _object_faults(name, line, row)
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


def _object_faults(name: str, line: int, row: dict[str, Any]) -> list[Problem]:
    problems = header_problems(name, list(row), line)
    for column, value in row.items():
        nested = isinstance(value, dict | list)
        fault = "is nested; a cell holds one value" if nested else cell_fault(value)
        if fault:
            problems.append(Problem(fault, name, line, column))
    return problems


_READERS: dict[str, Callable[[str, bytes], PromptTable]] = {
    ".csv": read_csv,
    ".jsonl": read_jsonl,
    ".parquet": read_parquet,
}
