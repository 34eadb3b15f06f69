"""Know a closed night by the ledger, or by the archive in the bucket where the ledger lacks it.

The archive is proof: whatever a lost ledger, or an older copy of one, has of the night gives way to
it, unless the journal names an intent that it does not have. Then a process died between archive
and ledger, and the night went on.
"""

from __future__ import annotations

from flow_pipelines.batches.keys import path_safe
from flow_pipelines.ledger import RunLedger
from flow_pipelines.lifecycle.archive import ArchivedNight, archived_night
from flow_pipelines.lifecycle.journal import journal_of
from flow_pipelines.lifecycle.ports import LedgerAndStore
from flow_pipelines.model import Night
from flow_pipelines.model.errors import NightClosed
from flow_pipelines.model.wording import closed_in_words
from flow_pipelines.storage.archive import NightFolder
from flow_pipelines.storage.contract import ImageStore
from flow_pipelines.storage.journal import Listed, kept_workflow
from flow_pipelines.storage.receipts import read_owner


def closed_night(night: Night, books: LedgerAndStore) -> ArchivedNight | None:
    """Return the archive of a closed night; the ledger takes it over where it does not know of it.

    Costs a request where it does not. Raises: StorageError, LedgerError, WrongLedger.
    """
    known = archived_night(night, books.ledger, books.store)
    if known is not None or not _may_be_closed(night, books):
        return known
    take_closed(night, books, books.store, journal_of(books.store, night).listed())
    return archived_night(night, books.ledger, books.store)


def _may_be_closed(night: Night, books: LedgerAndStore) -> bool:
    if not journal_of(books.store, night).is_closed():
        return False
    note = read_owner(books.store, night.batch)
    return note is not None and note.ledger_id == books.ledger.ledger_id


def take_closed(night: Night, books: LedgerAndStore, store: ImageStore, listed: Listed) -> bool:
    """Close a night that the archive at a place says is closed; True: it is closed.

    `listed` is its journal, listed before. Raises: StorageError, LedgerError; WrongLedger, where an
    archive cannot be read.
    """
    if books.ledger.closed_night(night) is not None:
        return True
    for archived in _newest_first(night, store, listed):
        if any(n > archived.intents.get(key, 0) for key, n in listed.intents.items()):
            continue
        archived.check()
        versions = {row.workflow_version for row in archived.submissions()}
        kept = [kept_workflow(store, night.batch, path_safe(version)) for version in versions]
        workflows = [workflow for workflow in kept if workflow is not None]
        if books.ledger.take_closed(archived.archive, archived.rows, workflows):
            books.log(f"{closed_in_words(str(night))}. The ledger takes that from {archived.uri}")
            return True
    return books.ledger.closed_night(night) is not None


def _newest_first(night: Night, store: ImageStore, listed: Listed) -> list[ArchivedNight]:
    place = NightFolder(store, night.batch, path_safe(night.partition_key))
    found = [ArchivedNight(place, name) for name in listed.closed]
    return sorted(found, key=lambda one: str(one.document.get("archived_at")), reverse=True)


def refuse_closed(night: Night, ledger: RunLedger) -> None:
    """Raise NightClosed for a night whose rows were pruned."""
    record = ledger.night(night)
    if record is not None and record.closed_at is not None:
        raise NightClosed(closed_in_words(str(night)))
