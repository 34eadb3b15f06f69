"""Compare the journals of many nights with the ledger: one whole batch, or all recent nights."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from flow_pipelines.batches.keys import path_safe
from flow_pipelines.lifecycle.journal_comparison import (
    compare_night,
    compare_where_it_opens,
    in_words,
    intents_ahead,
    other_places,
)
from flow_pipelines.lifecycle.ports import LedgerAndStore
from flow_pipelines.model import Night
from flow_pipelines.model.errors import WrongLedger
from flow_pipelines.storage.contract import ImageStore
from flow_pipelines.storage.journal import NightJournal, journal_folders
from flow_pipelines.storage.receipts import OwnerNote, read_owner

RECENT = timedelta(days=8)
"""A night that has not changed for longer is compared by whoever starts work on it."""
_BATCH = re.compile(r"[a-z0-9_]+")
_LAST = "~"
"""Comes after every folder's name."""


@dataclass
class Round:
    """How far a comparison of recent nights came in the time that it had."""

    words: list[str] = field(default_factory=list)
    """What was taken in, and what could not be compared."""
    after: str = ""
    """Where to go on; empty: it came to the end."""


def own_batches(books: LedgerAndStore) -> Iterator[tuple[str, OwnerNote]]:
    """Return the batches in the bucket that this ledger owns, defined today or not."""
    for name in _batches(books.store):
        note = read_owner(books.store, name)
        if note is not None and _is_own(books, note):
            yield name, note


def compare_recent(books: LedgerAndStore, after: str, *, seconds: float) -> Round:
    """Compare the nights of the last days, or those that the ledger does not know.

    Goes on `after` where an earlier round ended, and looks at one night at least.
    Raises: StorageError, ConfigurationError, LedgerError.
    """
    done = Round()
    give_up_at = books.clock.monotonic() + seconds
    for batch, folder, still in _folders(books, after, books.clock.now() - RECENT):
        if not still:
            _compare_folder(books, batch, folder, done)
        if books.clock.monotonic() >= give_up_at:
            done.after = f"{batch}/{folder}"
            return done
    return done


def find_behind(books: LedgerAndStore, *, seconds: float) -> tuple[Mapping[Night, int], bool]:
    """Count what the journal knows and the ledger does not, of the nights of the last days.

    Changes nothing. Also returns whether the time was enough for all of them.
    Raises: StorageError, ConfigurationError, LedgerError, WrongLedger.
    """
    behind: dict[Night, int] = {}
    give_up_at = books.clock.monotonic() + seconds
    for batch, folder, still in _folders(books, "", books.clock.now() - RECENT):
        night = None if still else _night(books.store, batch, folder)
        if night is not None:
            journal = NightJournal(books.store, batch, folder)
            ahead, _ = intents_ahead(night, books, journal)
            behind |= {night: len(ahead)} if ahead else {}
        if books.clock.monotonic() >= give_up_at:
            return behind, False
    return behind, True


def compare_batch(
    books: LedgerAndStore, batch: str, note: OwnerNote
) -> Iterator[tuple[Night, int]]:
    """Compare every night of a batch, here and where it was bought before; say what was taken in.

    Raises: as `compare_night`.
    """
    for folder in journal_folders(books.store, batch):
        night = _night(books.store, batch, folder)
        if night is not None:
            yield night, compare_night(night, books).taken
    for store in other_places(note, books):
        for folder in journal_folders(store, batch):
            night = _night(store, batch, folder)
            if night is not None:
                yield night, compare_where_it_opens(night, books, store)


def _folders(books: LedgerAndStore, after: str, since: datetime) -> Iterator[tuple[str, str, bool]]:
    """Return journals by batch and folder, and whether there is nothing to compare."""
    begin = tuple(after.split("/", 1)) if after else ("", "")
    for batch in _batches(books.store):
        if (batch, _LAST) <= begin:
            continue
        if _is_own(books, read_owner(books.store, batch)):
            still = _still(books, batch, since)
            for folder in journal_folders(books.store, batch):
                if (batch, folder) > begin:
                    yield batch, folder, folder in still
        yield batch, _LAST, True


def _batches(store: ImageStore) -> Iterator[str]:
    prefix = f"{store.prefix}/" if store.prefix else ""
    return (name for name in store.list_folders(prefix) if _BATCH.fullmatch(name))


def _is_own(books: LedgerAndStore, note: OwnerNote | None) -> bool:
    return note is not None and note.ledger_id == books.ledger.ledger_id


def _still(books: LedgerAndStore, batch: str, since: datetime) -> frozenset[str]:
    """Return the folders of nights that the ledger knows and that have not changed since.

    A closed one never changes.
    """
    times = books.ledger.partition_times(batch).items()
    return frozenset(path_safe(key) for key, at in times if at is None or at < since)


def _compare_folder(books: LedgerAndStore, batch: str, folder: str, done: Round) -> None:
    try:
        night = _night(books.store, batch, folder)
        taken = compare_night(night, books).taken if night is not None else 0
    except WrongLedger as error:
        done.words.append(str(error))
        return
    if night is not None and taken:
        done.words.append(in_words(night, taken, books.ledger))


def _night(store: ImageStore, batch: str, folder: str) -> Night | None:
    return NightJournal(store, batch, folder).night()
