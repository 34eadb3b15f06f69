"""Which batches a code location leaves alone: those that another one has."""

from __future__ import annotations

from sqlalchemy import ColumnElement, exists, true

from flow_pipelines.ledger.schema import batch_locations


def not_elsewhere(batch: ColumnElement[str], location: str | None) -> ColumnElement[bool]:
    """Return the condition that leaves out batches of another location than `location`.

    None leaves out nothing: outside a code location every batch is one's own.
    """
    if location is None:
        return true()
    theirs = exists().where(
        batch_locations.c.batch == batch, batch_locations.c.location != location
    )
    return ~theirs
