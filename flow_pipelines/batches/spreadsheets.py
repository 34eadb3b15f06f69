"""Prompt tables from workbooks (.xlsx): the one sheet that has rows, its first row the header."""

from __future__ import annotations

import io
import zipfile
from typing import Any

from flow_pipelines.batches.cells import cell_text, plain_cell
from flow_pipelines.batches.columnar_table import table_of_columns
from flow_pipelines.batches.prompt_table import MAX_ROWS, PromptTable, is_blank, too_many_rows
from flow_pipelines.batches.table_files import MAX_BYTES
from flow_pipelines.model import Value
from flow_pipelines.model.errors import ConfigurationError, InvalidBatch, Problem

_EXACT_BELOW = 10**15
"""A workbook keeps 15 digits of a number; the others became zeros when it was typed in."""


def read_xlsx(name: str, content: bytes) -> PromptTable:
    """Read a workbook's only sheet with rows. Whole numbers are integers, dates their text.

    Raises: InvalidBatch, with the row of every fault as the workbook counts them;
        ConfigurationError, where the library that reads workbooks is missing.
    """
    rows = _only_sheet(name, content)
    header = next((i for i, row in enumerate(rows) if not is_blank(row)), None)
    if header is None or len(rows) - header > MAX_ROWS + 1:
        problem = Problem("has no rows", name) if header is None else too_many_rows(name)
        raise InvalidBatch(name, [problem])
    columns = [cell_text(cell).strip() for cell in rows[header]]
    cells = [[row[i] for row in rows[header + 1 :]] for i in range(len(columns))]
    while columns and not columns[-1] and is_blank(cells[-1]):
        del columns[-1], cells[-1]  # a workbook's sheet is as wide as anything ever written in it
    return table_of_columns(name, columns, cells, first=header + 2, plain=_plain)


def _only_sheet(name: str, content: bytes) -> list[list[Any]]:
    try:
        from python_calamine import CalamineError, CalamineWorkbook
    except ImportError:
        raise ConfigurationError(f"{name}: workbooks need flow-pipelines[excel]") from None
    try:
        # Before anything is unpacked: a few bytes of ZIP may stand for a disk full of zeros.
        with zipfile.ZipFile(io.BytesIO(content)) as packed:
            if sum(part.file_size for part in packed.infolist()) > MAX_BYTES:
                raise InvalidBatch(name, [Problem(f"unpacks to more than {MAX_BYTES} bytes", name)])
        book = CalamineWorkbook.from_filelike(io.BytesIO(content))
        sheets: dict[str, list[list[Any]]] = {
            sheet: book.get_sheet_by_name(sheet).to_python(skip_empty_area=False)
            for sheet in book.sheet_names
        }
    except (CalamineError, zipfile.BadZipFile) as error:
        problem = Problem(f"cannot be read as an .xlsx workbook: {error}", name)
        raise InvalidBatch(name, [problem]) from None
    filled = {sheet: rows for sheet, rows in sheets.items() if any(not is_blank(r) for r in rows)}
    if len(filled) > 1:
        message = f"has {len(filled)} sheets with rows ({', '.join(filled)}); leave one of them"
        raise InvalidBatch(name, [Problem(message, name)])
    return next(iter(filled.values()), [])


def _plain(cell: object) -> Value:
    """Return a cell as it was meant. Raises: ValueError, saying what is wrong with it."""
    if not isinstance(cell, float) or not cell.is_integer():
        return plain_cell(cell)
    if abs(cell) >= _EXACT_BELOW:
        raise ValueError(
            f"is {cell:.0f}: a workbook keeps 15 digits of a number, so this is not what was typed "
            "in; format the column as text and enter it again"
        )
    return int(cell)
