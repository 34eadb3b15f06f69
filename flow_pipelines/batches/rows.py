"""Read the rows of a prompt table: give each an identity and a seed."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping

from flow_pipelines.batches.cells import cell_text, same_cell, shown
from flow_pipelines.batches.keys import stable_hash
from flow_pipelines.batches.prompt_table import PROMPT, PromptTable
from flow_pipelines.batches.sources import raise_if_any
from flow_pipelines.batches.values import WrongType, seed_value
from flow_pipelines.model import BatchSettings, Night, PromptRow, Value
from flow_pipelines.model.errors import Problem

_ID_LENGTH = 16
_MAX_ID_CHARACTERS = 1000
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")


def read_rows(
    settings: BatchSettings, table: PromptTable, night: Night
) -> tuple[list[PromptRow], list[Problem]]:
    """Assign each row its identity and its seed, and what people are shown of it.

    Three columns are special: `prompt_id`, `seed` (an empty cell: derived) and `prompt`, which may
    be spelled `Prompt` as well.
    Without a `prompt_id` column a row is named by the hash of its cells (empty ones left out), so
    that it keeps its identity wherever it moves in the table. Rows that are alike are all bought,
    as each was written: the second is named `<hash>-2`, and so on. They cannot be told apart, so
    it does not matter which one is the second.

    An explicit `prompt_id` stays as written, whatever it holds; `path_safe` makes it a path.
    `content_hash` is left empty: rendering fills it. Faults come beside the rows, with line and
    column: rendering may find more in the same rows.

    Raises: InvalidBatch, for a table without rows.
    """
    if not table.rows:
        message = f"has no rows for {night.partition_key}, so there is nothing to generate"
        raise_if_any(settings.name, [Problem(message, table.name)])
    reader = _RowReader(table)
    rows = [reader.read(number, values) for number, values in enumerate(table.rows)]
    return rows, reader.problems


class _RowReader:
    """Reads one table's rows in order, remembering what it has seen."""

    def __init__(self, table: PromptTable) -> None:
        self._table = table
        self._by_id: dict[str, int] = {}
        self._alike: Counter[str] = Counter()
        self.problems: list[Problem] = []

    def read(self, number: int, values: Mapping[str, Value]) -> PromptRow:
        explicit = "prompt_id" in values
        return PromptRow(
            prompt_id=self._explicit_id(number, values) if explicit else self._hash(values),
            row_number=number,
            prompt=cell_text(values.get(self._table.prompt_column)),
            seed=self._seed(number, values.get("seed")),
            values=self._with_prompt(values),
        )

    def _with_prompt(self, values: Mapping[str, Value]) -> Mapping[str, Value]:
        column = self._table.prompt_column
        return values if column not in values else {**values, PROMPT: values[column]}

    def _hash(self, values: Mapping[str, Value]) -> str:
        # A new column that is empty in this row does not make it another row.
        content = {name: same_cell(v) for name, v in values.items() if v not in (None, "")}
        digest = stable_hash(["row", content])[:_ID_LENGTH]
        self._alike[digest] += 1
        occurrence = self._alike[digest]
        return digest if occurrence == 1 else f"{digest}-{occurrence}"

    def _explicit_id(self, number: int, values: Mapping[str, Value]) -> str:
        prompt_id = cell_text(same_cell(values["prompt_id"]))
        fault = _id_fault(prompt_id)
        first = self._by_id.setdefault(prompt_id, number)
        if fault:
            self._problem(number, "prompt_id", fault)
        elif first != number:
            place = self._table.place_of(first)
            message = f"{shown(prompt_id)} is the prompt_id of {place} already"
            self._problem(number, "prompt_id", message)
        return prompt_id

    def _seed(self, number: int, value: Value) -> int | None:
        if value is None or (isinstance(value, str) and not value.strip()):
            return None
        try:
            return seed_value(value)
        except WrongType as fault:
            self._problem(number, "seed", str(fault))
            return None

    def _problem(self, number: int, column: str, message: str) -> None:
        self.problems.append(self._table.problem(number, message, column))


def _id_fault(prompt_id: str) -> str | None:
    if not prompt_id.strip():
        return "is empty; every row needs its own, or none has one (leave the column out)"
    if len(prompt_id) > _MAX_ID_CHARACTERS:
        return f"has more than {_MAX_ID_CHARACTERS} characters"
    if _CONTROL.search(prompt_id):
        return "holds a line break or another control character"
    return None
