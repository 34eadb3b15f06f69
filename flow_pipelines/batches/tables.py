"""Prompt tables, from the formats that people keep them in."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import PurePosixPath

from flow_pipelines.batches.columnar_table import read_parquet, table_from_dataframe
from flow_pipelines.batches.csv_table import read_csv
from flow_pipelines.batches.jsonl_table import read_jsonl
from flow_pipelines.batches.prompt_table import PromptTable
from flow_pipelines.model.errors import InvalidBatch, Problem

__all__ = ["PromptTable", "read_table", "table_from_dataframe"]

_READERS: dict[str, Callable[[str, bytes], PromptTable]] = {
    ".csv": read_csv,
    ".jsonl": read_jsonl,
    ".parquet": read_parquet,
}


def read_table(name: str, content: bytes) -> PromptTable:
    """Read a prompt table whose format the end of `name` tells: .csv, .jsonl or .parquet.

    Raises: InvalidBatch, with the file and, where the format has lines, the line of every fault.
    """
    read = _READERS.get(PurePosixPath(name).suffix.lower())
    if read is None:
        known = ", ".join(_READERS)
        raise InvalidBatch(name, [Problem(f"is no prompt table: its name ends in {known}", name)])
    return read(name, content)
