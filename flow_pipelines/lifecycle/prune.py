"""Prune old nights: archive their rows in the bucket, then take them out of the ledger.

The order survives a death anywhere: the archive's files, the document that names them, all of it
read back, and then one transaction that looks once more at everything and takes the rows out. A
process that dies before that leaves an archive that the next prune finds again, or that nobody
believes once the night has gone on.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from datetime import datetime

from flow_pipelines.lifecycle.archive import archive_night
from flow_pipelines.lifecycle.journal import journal_of
from flow_pipelines.lifecycle.journal_comparison import intents_ahead
from flow_pipelines.lifecycle.ports import (
    LedgerAndStore,
    collect_lease,
    held_lease,
    submit_lease,
)
from flow_pipelines.model import Night
from flow_pipelines.model.errors import LeaseLost, NightOpen, WrongLedger
from flow_pipelines.storage.receipts import claim_owner, refuse_other_ledger


@dataclass(frozen=True, kw_only=True)
class Pruned:
    """What came of one night."""

    night: Night
    archive: str | None = None
    """Where its rows are now; None: they are still in the ledger."""
    why_not: str | None = None
    """None: it was closed or, in a dry run, would be."""


def prune(
    books: LedgerAndStore,
    *,
    before: datetime,
    owner: str,
    batches: Collection[str] = (),
    dry_run: bool = False,
) -> Iterator[Pruned]:
    """Close nights that last changed before a time, one by one, and say what came of each.

    `batches`: of these only. Spends nothing, and takes no picture away; safe to repeat, and to be
    killed anywhere. Raises: StorageError, ConfigurationError, LedgerError.
    """
    books.store.check()
    for night in books.ledger.nights_before(before):
        if not batches or night.batch in batches:
            yield prune_night(night, books, before=before, owner=owner, dry_run=dry_run)


def prune_night(
    night: Night, books: LedgerAndStore, *, before: datetime, owner: str, dry_run: bool = False
) -> Pruned:
    """Close one night, unless something of it may still change. Raises: as `prune`."""
    reason = _why_not(night, books, before, owner)
    if reason is not None or dry_run:
        return Pruned(night=night, why_not=reason)
    try:
        with (
            held_lease(books, submit_lease(night), owner),
            held_lease(books, collect_lease(night), owner),
        ):
            claim_owner(books.store, night.batch, books.ledger.ledger_id)
            archived = archive_night(night, books)
            books.ledger.close_night(archived.archive, before=before, owner=owner)
    except (LeaseLost, NightOpen, WrongLedger) as error:
        return Pruned(night=night, why_not=str(error))
    return Pruned(night=night, archive=archived.uri)


def _why_not(night: Night, books: LedgerAndStore, before: datetime, owner: str) -> str | None:
    try:
        refuse_other_ledger(books.store, night.batch, books.ledger.ledger_id)
    except WrongLedger as error:
        return str(error)
    ahead, _ = intents_ahead(night, books, journal_of(books.store, night))
    if ahead:
        return "this ledger is an older copy of itself: run `flow-pipelines ledger restore` first"
    return books.ledger.why_open(night, before=before, owner=owner)
