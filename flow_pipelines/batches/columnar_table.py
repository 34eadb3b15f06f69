"""Prompt tables in columns: Parquet files and the DataFrames of upstream assets."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from flow_pipelines.batches.cells import plain_cell
from flow_pipelines.batches.prompt_table import (
    MAX_ROWS,
    PromptTable,
    header_problems,
    is_blank,
    too_many_rows,
)
from flow_pipelines.batches.sources import raise_if_any
from flow_pipelines.model import Value
from flow_pipelines.model.errors import InvalidBatch, Problem

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow.parquet as pq

_MAX_BYTES = 1024**3
_PANDAS_INDEX = "__index_level_"  # pandas' name for an index that it stored as a column


def read_parquet(name: str, content: bytes) -> PromptTable:
    """Read a Parquet file; types are kept, integers exact, null and NaN become None.

    Read without pandas, which would turn integers into floats wherever one is missing.

    Raises: InvalidBatch.
    """
    import pyarrow as pa
    from pyarrow import parquet

    try:
        file = parquet.ParquetFile(pa.BufferReader(content))
        # Before anything is unpacked: a few bytes of Parquet may stand for a billion rows.
        raise_if_any(name, list(_size_faults(name, file.metadata)))
        data = file.read(use_threads=False)
        kept = [i for i, c in enumerate(data.column_names) if not c.startswith(_PANDAS_INDEX)]
        cells = [data.column(i).to_pylist() for i in kept]
        columns = [data.column_names[i] for i in kept]
    except (pa.ArrowException, OSError, ValueError, OverflowError, MemoryError) as error:
        problem = Problem(f"cannot be read as Parquet: {error}", name)
        raise InvalidBatch(name, [problem]) from None
    return table_of_columns(name, columns, cells)


def _size_faults(name: str, metadata: pq.FileMetaData) -> Iterator[Problem]:
    if metadata.num_rows > MAX_ROWS:
        yield too_many_rows(name)
    groups = (metadata.row_group(i) for i in range(metadata.num_row_groups))
    if sum(group.total_byte_size for group in groups) > _MAX_BYTES:
        yield Problem(f"unpacks to more than {_MAX_BYTES} bytes", name)


def table_from_dataframe(name: str, df: pd.DataFrame) -> PromptTable:
    """Take an upstream asset's DataFrame; its index is left out, NaN, NaT and NA become None.

    `name` is the asset's key. Raises: InvalidBatch.
    """
    import pandas as pd

    def present(cell: Any) -> Any:
        return None if pd.api.types.is_scalar(cell) and pd.isna(cell) else cell

    columns = [str(column) for column in df.columns]
    cells = [[present(cell) for cell in df.iloc[:, i].tolist()] for i in range(len(columns))]
    return table_of_columns(name, columns, cells)


def table_of_columns(
    name: str,
    columns: Sequence[str],
    cells: Sequence[Sequence[Any]],
    *,
    first: int = 1,
    plain: Callable[[object], Value] = plain_cell,
) -> PromptTable:
    """Make a table of columns; blank rows count as nothing.

    `first` is the place of the first row for people. `plain` makes a cell's value, or raises
    ValueError, saying what is wrong with it. Raises: InvalidBatch.
    """
    problems = header_problems(name, columns)
    values_of: list[list[Value]] = []
    for column, values in zip(columns, cells, strict=True):
        done: list[Value] = []
        try:
            done.extend(plain(value) for value in values)
        except ValueError as fault:
            # One is enough: a column is mostly wrong as a whole.
            problems.append(Problem(f"row {first + len(done)} {fault}", name, None, column))
        values_of.append(done)
    raise_if_any(name, problems)
    every = enumerate(zip(*values_of, strict=True), first)
    numbered = [(number, row) for number, row in every if not is_blank(row)]
    rows = [dict(zip(columns, row, strict=True)) for _, row in numbered]
    return PromptTable(name, tuple(columns), rows, numbers=tuple(i for i, _ in numbered))
