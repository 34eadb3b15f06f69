"""The rows of a night that are archived, as they go out and come back: equal, whatever reads them.

Every table that refers to submissions is among them, so a further one is archived by itself.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any, Literal

from sqlalchemy import (
    BigInteger,
    Boolean,
    Connection,
    Float,
    Integer,
    RowMapping,
    Select,
    Table,
    select,
)

from flow_pipelines.ledger.changing import of_night
from flow_pipelines.ledger.column_types import Instant, JsonText, MicroUsd, WholeNumber
from flow_pipelines.ledger.contract import PAGE
from flow_pipelines.ledger.schema import (
    metadata,
    nights,
    prompt_rows,
    regenerations,
    submissions,
)
from flow_pipelines.model import Night

Kind = Literal["text", "whole", "float", "boolean", "time", "money"]
Row = Mapping[str, Any]
"""Of a table, as it is archived."""

OF_SUBMISSIONS: Sequence[Table] = [
    table
    for table in metadata.sorted_tables
    if any(key.column.table is submissions for key in table.foreign_keys)
]
"""Tables whose rows belong to a submission each."""
ARCHIVED: Mapping[str, Table] = {
    table.name: table for table in (submissions, *OF_SUBMISSIONS, prompt_rows, regenerations)
}
"""By name, in the order in which they are archived."""
_LEFT_OUT = frozenset({"sealed_link"})
"""It opens with the account's key only, and a picture that is stored has none."""
_KINDS: tuple[tuple[type, Kind], ...] = (
    (Instant, "time"),
    (MicroUsd, "money"),
    (Boolean, "boolean"),
    (BigInteger, "whole"),
    (Integer, "whole"),
    (Float, "float"),
)


def kinds_of(table: Table) -> Mapping[str, Kind]:
    """Return what each archived column of a table holds; JSON and long numbers are text."""
    return {
        column.name: next((kind for of, kind in _KINDS if isinstance(column.type, of)), "text")
        for column in table.columns
        if column.name not in _LEFT_OUT
    }


def outgoing(table: Table, row: Row | RowMapping) -> dict[str, Any]:
    """Return a row as it is archived."""
    values = dict(row)
    return {name: _out(table.c[name].type, values[name]) for name in kinds_of(table)}


def incoming(table: Table, row: Row) -> dict[str, Any]:
    """Return an archived row as the ledger gave it; a column that it has not is None."""
    return {column.name: _in(column.type, row.get(column.name)) for column in table.columns}


def _out(kind: object, value: Any) -> Any:
    if value is None:
        return None
    if isinstance(kind, JsonText):
        return json.dumps(value, separators=(",", ":"))
    return str(value) if isinstance(kind, WholeNumber) else value


def _in(kind: object, value: Any) -> Any:
    if value is None:
        return None
    if isinstance(kind, JsonText):
        return json.loads(value)
    return int(value) if isinstance(kind, WholeNumber) else value


def as_json(row: Row) -> dict[str, Any]:
    """Return an archived row as JSON has it: times in ISO 8601, money as text."""
    return {name: _plain(value) for name, value in row.items()}


def _plain(value: Any) -> Any:
    if isinstance(value, datetime):
        return value.isoformat()
    return f"{value:f}" if isinstance(value, Decimal) else value


def from_json(table: Table, document: Row) -> dict[str, Any]:
    """Return what `as_json` was given. Raises: ValueError, TypeError."""
    read: dict[str, Any] = {"time": datetime.fromisoformat, "money": Decimal}
    return {
        name: value if value is None else read.get(kind, lambda same: same)(value)
        for name, kind in kinds_of(table).items()
        if name in document
        for value in [document[name]]
    }


def night_row(connection: Connection, night: Night) -> dict[str, Any] | None:
    """Return the night's own row as it is archived."""
    row = connection.execute(select(nights).where(*of_night(night, nights))).mappings().first()
    return None if row is None else outgoing(nights, row)


def each_row(connection: Connection, night: Night, table: Table) -> Iterator[dict[str, Any]]:
    """Return a night's rows of a table as they are archived, in the order of their keys."""
    rows = connection.execute(_rows(night, table), execution_options={"yield_per": PAGE})
    for row in rows.mappings():
        yield outgoing(table, row)


def _rows(night: Night, table: Table) -> Select[Any]:
    query = select(table).order_by(*table.primary_key.columns)
    if table in OF_SUBMISSIONS:
        of_row = submissions.c.submission_key == table.c.submission_key
        return query.join(submissions, of_row).where(*of_night(night))
    return query.where(*of_night(night, table))


class Digest:
    """SHA-256 over a night's rows, table by table: the same for rows that are the same."""

    def __init__(self, night: Row) -> None:
        """Begin with the night's own row."""
        self._sum = hashlib.sha256()
        self._add(nights.name, night)

    def add(self, table: str, rows: Iterable[Row]) -> Iterator[Row]:
        """Return `rows`, each counted as it is read."""
        for row in rows:
            self._add(table, row)
            yield row

    def _add(self, table: str, row: Row) -> None:
        self._sum.update(json.dumps([table, as_json(row)], sort_keys=True).encode())

    def text(self) -> str:
        """Return it in hex."""
        return self._sum.hexdigest()


def digest_of(connection: Connection, night: Night) -> str:
    """Return the digest of a night's rows as they are now."""
    digest = Digest(night_row(connection, night) or {})
    for name, table in ARCHIVED.items():
        for _ in digest.add(name, each_row(connection, night, table)):
            pass
    return digest.text()
