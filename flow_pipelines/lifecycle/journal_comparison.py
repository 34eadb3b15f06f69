"""Compare one night's journal with the ledger, and import the intents that the ledger lacks.

The journal is listed first, then the ledger is read: the other order takes somebody's new intent
for a restore. Nothing here spends, and all of it can be repeated, or done by two at once.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

from flow_pipelines.batches.keys import path_safe
from flow_pipelines.ledger import RunLedger
from flow_pipelines.ledger.database import chunks
from flow_pipelines.lifecycle.closed_nights import take_closed
from flow_pipelines.lifecycle.journal import journal_of, place_of
from flow_pipelines.lifecycle.ports import LedgerAndStore
from flow_pipelines.model import JournalEntry, Night, Receipt, Workflow
from flow_pipelines.model.errors import FlowPipelinesError, LedgerBehind, LedgerError, NightClosed
from flow_pipelines.model.wording import closed_in_words
from flow_pipelines.storage.contract import ImageStore
from flow_pipelines.storage.journal import Listed, NightJournal, kept_workflow
from flow_pipelines.storage.receipts import (
    BoughtRun,
    OwnerNote,
    bought_runs,
)

_PAGE = 200
"""Entries that are taken in by one transaction."""
_READERS = 6


class Compared(NamedTuple):
    """What came of comparing a night at one place."""

    taken: int
    """Rows of which the ledger had fewer intents, or none."""
    complete: bool
    """The journal there has every intent of before it, too."""
    closed: bool = False
    """The night was pruned: its archive says all that there is to say."""


def refuse_behind(night: Night, books: LedgerAndStore, note: OwnerNote) -> bool:
    """Take in what this ledger lacks of a night, and stop the run that found it.

    Looks at the place at hand and, as far as they open, at those that `note` names. Returns
    whether the journal at hand is complete: what is not in it was never sent by this version.
    Raises: LedgerBehind, after the import; NightClosed, for a night that was pruned; StorageError,
    ConfigurationError, LedgerError.
    """
    compared = compare_night(night, books)
    if compared.closed:
        raise NightClosed(closed_in_words(str(night)))
    taken = compared.taken
    for store in other_places(note, books):
        taken += compare_where_it_opens(night, books, store)
    if taken:
        raise LedgerBehind(in_words(night, taken, books.ledger))
    return compared.complete


def in_words(night: Night, taken: int, ledger: RunLedger) -> str:
    """Return the message: which copy is old, what was done, what is lost and what to do."""
    return (
        f"{night}: the ledger at hand ({ledger!r}) is an older copy of itself: the bucket's "
        f"journal names {taken} submission(s) of this night that were sent since. They were taken "
        "in and are not bought again; those whose run is not known are unresolved. Pauses, "
        "cancels and decisions made since the copy are lost: make them again. Nothing was "
        f"submitted. Then materialize {night.batch}/provider_runs to buy what is still planned, "
        f"or {night.batch}/images to collect; `flow-pipelines ledger restore` looks at all nights."
    )


def compare_night(night: Night, books: LedgerAndStore, store: ImageStore | None = None) -> Compared:
    """Take in what the journal at a place knows of a night and the ledger does not.

    A journal that is not complete says nothing of a night that this ledger does not know. Of one
    that was pruned the archive counts, and not the journal.
    Raises: WrongLedger, when an entry cannot be read; StorageError, LedgerError.
    """
    store = store or books.store
    journal = journal_of(store, night)
    listed = journal.listed()
    if take_closed(night, books, store, listed):
        return Compared(0, complete=True, closed=True)
    ahead, complete = _ahead(night, books, listed)
    taken = 0
    for page in chunks(_entries(journal, ahead), _PAGE):
        keys = books.ledger.import_intents(night, page, _workflows(store, page))
        taken += len(keys)
        _attach(night, books, store, [entry for entry in page if entry.sent.submission_key in keys])
    return Compared(taken, complete)


def intents_ahead(
    night: Night, books: LedgerAndStore, journal: NightJournal
) -> tuple[Mapping[str, int], bool]:
    """Return the intents, by submission, that the ledger lacks, and whether the journal is whole.

    Changes nothing. Raises: StorageError, LedgerError.
    """
    intents, complete = _ahead(night, books, journal.listed())
    record = books.ledger.night(night)
    if record is not None and record.closed_at is not None:
        return {}, True
    return intents, complete


def _ahead(night: Night, books: LedgerAndStore, listed: Listed) -> tuple[Mapping[str, int], bool]:
    known = books.ledger.intents(night)
    ahead = {key: n for key, n in listed.intents.items() if n > known.get(key, 0)}
    trusted = listed.complete or (bool(ahead) and _is_marked(night, books.ledger))
    return (ahead if trusted else {}), listed.complete


def other_places(note: OwnerNote, books: LedgerAndStore) -> Iterator[ImageStore]:
    """Return the stores at the places where a batch was bought before."""
    here = place_of(books.store)
    for place in note.earlier_places:
        bucket, _, prefix = place.removeprefix("s3://").partition("/")
        if place != here and bucket:
            yield books.store.at(bucket, prefix)


def compare_where_it_opens(night: Night, books: LedgerAndStore, store: ImageStore) -> int:
    """Do `compare_night` at a place that may be gone, or closed to these credentials."""
    try:
        return compare_night(night, books, store).taken
    except FlowPipelinesError as error:
        books.log(f"{night}: {place_of(store)} cannot be compared: {error}")
        return 0


def _is_marked(night: Night, ledger: RunLedger) -> bool:
    record = ledger.night(night)
    return record is not None and record.marked_at is not None


def _entries(journal: NightJournal, ahead: Mapping[str, int]) -> Iterator[JournalEntry]:
    with ThreadPoolExecutor(_READERS, thread_name_prefix="journal") as pool:
        for page in chunks(sorted(ahead.items()), _PAGE):
            yield from pool.map(lambda one: journal.read(*one), page)


def _workflows(store: ImageStore, page: Sequence[JournalEntry]) -> Sequence[Workflow]:
    versions = {(entry.sent.night.batch, entry.sent.workflow_version) for entry in page}
    workflows = [kept_workflow(store, batch, path_safe(version)) for batch, version in versions]
    return [workflow for workflow in workflows if workflow is not None]


def _attach(
    night: Night, books: LedgerAndStore, store: ImageStore, entries: Sequence[JournalEntry]
) -> None:
    """Attach to imported rows the runs that the night's table in the bucket names."""
    runs = bought_runs(store, night.batch, path_safe(night.partition_key))
    where = store.uri(store.key(night.batch, path_safe(night.partition_key), "runs.parquet"))
    for entry in entries:
        run, key = runs.get(entry.sent.submission_key), entry.sent.submission_key
        if run is None or not _is_of(run, entry):
            continue
        receipt = Receipt(provider_run_id=run.provider_run_id, created_at=run.submitted_at)
        try:
            books.ledger.attach(key, receipt, who="flow-pipelines", why=f"{where} has its receipt")
        except LedgerError as error:
            books.log(f"{key}: {error}")


def _is_of(run: BoughtRun, entry: JournalEntry) -> bool:
    """Return whether a receipt is of this intent, not of one before that a person undid."""
    sent_at = entry.sent.submitting_at
    if entry.sent.intents == 1:
        return True
    return sent_at is not None and run.submitted_at is not None and run.submitted_at >= sent_at
