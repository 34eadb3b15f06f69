"""Read prompt tables from text: CSV and its relatives, a prompt a line, JSON Lines.

Parquet is read in `columnar_table`, workbooks in `spreadsheets`.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from typing import Any

from flow_pipelines.batches.cells import cell_fault, text_fault
from flow_pipelines.batches.columnar_table import read_parquet
from flow_pipelines.batches.prompt_table import (
    MAX_ROWS,
    PROMPT,
    PromptTable,
    header_problems,
    is_blank,
    too_many_rows,
)
from flow_pipelines.batches.sources import JsonFault, exact_json, raise_if_any
from flow_pipelines.batches.spreadsheets import read_xlsx
from flow_pipelines.batches.table_files import KINDS, kind_of, table_text, unpacked
from flow_pipelines.model import TableFormat, Value
from flow_pipelines.model.errors import InvalidBatch, Problem

_TOLD_BY_THE_FILE = TableFormat()
_SEPARATORS = (",", ";", "\t")
_EXCELS_WORD = re.compile(r"sep=(.)", re.IGNORECASE)
_LOOKED_AT = 1000
"""Lines among which the header is looked for, to see what separates cells."""
_QUOTED = re.compile(r'"[^"]*"')


def read_table(name: str, content: bytes, written: TableFormat = _TOLD_BY_THE_FILE) -> PromptTable:
    """Read a prompt table whose format the end of `name` tells, packed (.gz) or not.

    .csv, .tsv, .txt (a prompt a line), .jsonl, .parquet, .xlsx; `written` is what a person says
    of it besides.

    Raises: InvalidBatch, with the file and, where the format has lines, the line of every fault.
    """
    kind = kind_of(name)
    if kind is None:
        known = ", ".join(KINDS)
        raise InvalidBatch(name, [Problem(f"is no prompt table: its name ends in {known}", name)])
    content = unpacked(name, content)
    if kind in _COLUMNAR:
        return _COLUMNAR[kind](name, content)
    text = table_text(name, content, written)
    if kind == ".csv":
        return read_csv(name, text, written)
    if kind == ".tsv":
        return read_csv(name, text, replace(written, delimiter=written.delimiter or "\t"))
    return read_txt(name, text, written) if kind == ".txt" else read_jsonl(name, text)


def read_txt(name: str, text: str, written: TableFormat = _TOLD_BY_THE_FILE) -> PromptTable:
    """Read a prompt a line; there is no header, and blank lines count as nothing."""
    lines = [
        (number, line.removesuffix("\r"))
        for number, line in enumerate(text.split("\n"), start=1)
        if line.strip() and not _is_comment(line, written)
    ]
    problems = [Problem(fault, name, n) for n, line in lines if (fault := text_fault(line))]
    problems += [too_many_rows(name)] if len(lines) > MAX_ROWS else []
    raise_if_any(name, problems)
    rows: list[dict[str, Value]] = [{PROMPT: line} for _, line in lines]
    return PromptTable(name, (PROMPT,), rows, tuple(number for number, _ in lines))


def read_csv(name: str, text: str, written: TableFormat = _TOLD_BY_THE_FILE) -> PromptTable:
    """Read separated text with a header line; blank lines and rows count as nothing.

    A cell is never interpreted: `NA`, `007` and an empty cell stay what they are. Names of columns
    lose the blanks around them, as `prompt, category` means no column with a blank in its name.
    Separators at the ends of all lines, as spreadsheets leave them, make no columns.

    Raises: InvalidBatch, with every fault's line.
    """
    records = _records(name, text, written)
    line, header = next(records, (1, []))
    columns = _without_end([column.strip() for column in header])
    raise_if_any(name, _header_faults(name, columns, line))
    table = PromptTable(name, tuple(columns), [], ())
    lines: list[int] = []
    problems: list[Problem] = []
    try:
        for line, read in records:
            if len(lines) == MAX_ROWS:
                problems.append(too_many_rows(name, line))
                break
            cells = [*read[: len(columns)], *_without_end(read[len(columns) :])]
            problems += _row_faults(table, line, cells)
            table.rows.append(dict(zip(columns, cells, strict=False)))
            lines.append(line)
    except InvalidBatch as broken:
        problems += broken.problems
    raise_if_any(name, problems)
    return PromptTable(name, table.columns, table.rows, tuple(lines))


def _without_end(cells: list[str]) -> list[str]:
    """Return cells without the blank ones at the end."""
    filled = [number for number, cell in enumerate(cells, start=1) if cell.strip()]
    return cells[: filled[-1]] if filled else []


def _records(name: str, text: str, written: TableFormat) -> Iterator[tuple[int, list[str]]]:
    # `newline=""` leaves line breaks inside quoted cells as they were written.
    physical = io.StringIO(text, newline="")
    delimiter, before = _delimiter(text, written)
    for _ in range(before):
        physical.readline()
    starts = _Lines(physical)
    reader = csv.reader(starts, delimiter=delimiter, strict=True)
    while True:
        line = before + reader.line_num + 1
        starts.first = ""
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            problem = Problem(_explain(str(error)), name, line)
            raise InvalidBatch(name, [problem]) from None
        if not is_blank(cells) and not _is_comment(starts.first, written):
            yield line, cells


class _Lines:
    """The lines of a text, remembering the one with which a record begins."""

    def __init__(self, lines: Iterable[str]) -> None:
        self._lines = iter(lines)
        self.first = ""

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        line = next(self._lines)
        self.first = self.first or line
        return line


def _is_comment(line: str, written: TableFormat) -> bool:
    return written.comment is not None and line.lstrip().startswith(written.comment)


def _delimiter(text: str, written: TableFormat) -> tuple[str, int]:
    """Return what separates cells, and how many lines stand before the header.

    A comma in the header line decides; without one, whichever of the others is there most often:
    where commas are decimal signs, spreadsheets write semicolons.
    """
    said = _EXCELS_WORD.fullmatch(text.partition("\n")[0].removesuffix("\r"))
    if said is not None:
        return said.group(1), 1
    if written.delimiter is not None:
        return written.delimiter, 0
    lines = (line for line in text.split("\n", _LOOKED_AT) if line.strip())
    header = next((line for line in lines if not _is_comment(line, written)), "")
    counts = {separator: _QUOTED.sub("", header).count(separator) for separator in _SEPARATORS}
    most = max(counts, key=lambda separator: counts[separator])
    return ("," if counts[","] else most), 0


def _explain(error: str) -> str:
    if "end of data" in error:
        return "a quote is opened in the row that begins here, and never closed"
    if "field limit" in error:
        limit = csv.field_size_limit()
        return f"a cell has more than {limit} characters; perhaps a quote is never closed"
    return f'is not valid CSV ({error}); a quote inside a quoted cell is written twice: ""'


def _header_faults(name: str, columns: Sequence[str], line: int) -> list[Problem]:
    if not columns:
        return [Problem("is empty: the first line has to name the columns", name, line)]
    if len(columns) == 1 and "|" in columns[0]:
        fix = f"write prompts: {{path: {name}, delimiter: '|'}}"
        return [Problem(f"is separated by bars; {fix}", name, line)]
    return header_problems(name, columns, line)


def _row_faults(table: PromptTable, line: int, cells: list[str]) -> list[Problem]:
    if len(cells) != len(table.columns):
        message = f"has {len(cells)} cells where the header names {len(table.columns)} columns"
        return [Problem(message, table.name, line)]
    faults = ((column, text_fault(cell)) for column, cell in zip(table.columns, cells, strict=True))
    return [Problem(fault, table.name, line, column) for column, fault in faults if fault]


def read_jsonl(name: str, text: str) -> PromptTable:
    """Read one JSON object a line; blank lines and rows count as nothing, an absent key is None.

    Integers stay exact up to 2^64−1; NaN and infinities are no JSON.

    Raises: InvalidBatch, with every fault's line.
    """
    if text.lstrip().startswith("["):
        message = "is a JSON array, not JSON lines; write an object on each line"
        raise InvalidBatch(name, [Problem(message, name)])
    problems: list[Problem] = []
    rows: list[dict[str, Any]] = []
    lines: list[int] = []
    columns: dict[str, None] = {}
    # Not `splitlines`: a prompt may hold characters that it takes for line breaks.
    for line, written in enumerate(text.split("\n"), start=1):
        if not written.strip():
            continue
        if len(rows) == MAX_ROWS:
            problems.append(too_many_rows(name, line))
            break
        try:
            row = _object(written)
        except JsonFault as fault:
            problems.append(fault.problem(name, line))
            continue
        if is_blank(row.values()):
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


_COLUMNAR: dict[str, Callable[[str, bytes], PromptTable]] = {
    ".parquet": read_parquet,
    ".xlsx": read_xlsx,
}
