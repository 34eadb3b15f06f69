"""Journal in the bucket: one entry per submission, written before its POST.

The order is intent in the ledger, journal in the bucket, POST. A ledger that was restored from a
earlier copy knows fewer intents than the journal, and buys nothing of that again
(`lifecycle.journal_comparison`). Rows are never announced ahead: a crash would look like a restore.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

from flow_pipelines.batches.keys import path_safe
from flow_pipelines.ledger.database import chunks
from flow_pipelines.lifecycle.ports import Ports
from flow_pipelines.model import (
    Decision,
    JournalEntry,
    Night,
    Regeneration,
    Submission,
)
from flow_pipelines.model.errors import LedgerError, WrongLedger
from flow_pipelines.storage.contract import ImageStore
from flow_pipelines.storage.journal import NightJournal, keep_workflow

_WRITERS = 6
"""Entries of before that are written at a time, once a night and place."""


def place_of(store: ImageStore) -> str:
    """Return `s3://bucket/prefix`."""
    return store.uri(store.prefix).rstrip("/")


class Journal:
    """The journal of a night that is being submitted, in the bucket at hand."""

    def __init__(self, ports: Ports, night: Night) -> None:
        """Write nothing yet. Raises: LedgerError, for a night that was never planned."""
        record = ports.ledger.night(night)
        if record is None:
            raise LedgerError(f"{night} was never planned in this ledger")
        self._ports, self._record, self._night = ports, record, night
        self._bucket = journal_of(ports.store, night)
        self._kept: set[str] = set()
        self._regenerations: dict[int, Regeneration] = {}

    def begin(self, *, complete: bool) -> None:
        """Bring every intent that the ledger has into the journal at this place, once.

        Skipped if this ledger has done it and the completion marker is still there (`complete`).

        A half journal is worse than none: before this has ended, nothing is sent.
        Raises: StorageError, ConfigurationError, LedgerError.
        """
        ledger, place = self._ports.ledger, place_of(self._ports.store)
        if ledger.note_place(self._night, place) and complete:
            return
        sent = (row for row in ledger.each_submission(self._night) if row.intents)
        with ThreadPoolExecutor(_WRITERS, thread_name_prefix="journal") as pool:
            for page in chunks(map(self._entry, sent)):
                # Of before: one with another content is there from an earlier try, and as good.
                list(pool.map(self._bucket.write, page))
        self._bucket.complete(self._night)
        ledger.journaled(self._night, place)

    def write(self, sent: Submission) -> None:
        """Write an intent to the journal. Ends within seconds.

        Raises: StorageError, ConfigurationError: nothing may be sent; WrongLedger, when another
        copy of this ledger sends the same submission now, where the store can tell.
        """
        if not self._bucket.write(self._entry(sent)):
            raise WrongLedger(
                f"{sent.night}: intent {sent.intents} of submission {sent.submission_key} is in "
                "the bucket's journal with another content: another copy of this ledger is at "
                "work. Nothing was sent. Stop one of the two."
            )

    def _entry(self, sent: Submission) -> JournalEntry:
        self._keep_workflow(sent.workflow_version)
        return JournalEntry(
            sent=sent,
            run_timeout_seconds=self._record.run_timeout_seconds,
            location=self._record.location,
            regeneration=self._regeneration(sent.generation),
            decisions=self._decisions(sent),
        )

    def _keep_workflow(self, version: str) -> None:
        if version not in self._kept:
            workflow = self._ports.ledger.workflow(version)
            keep_workflow(self._ports.store, self._night.batch, workflow, path_safe(version))
            self._kept.add(version)

    def _regeneration(self, generation: int) -> Regeneration | None:
        if generation and generation not in self._regenerations:
            regenerations = self._ports.ledger.regenerations(self._night)
            self._regenerations = {one.generation: one for one in regenerations}
        return self._regenerations.get(generation)

    def _decisions(self, sent: Submission) -> tuple[Decision, ...]:
        if sent.intents <= 1:
            return ()
        found = self._ports.ledger.settlements(sent.submission_key)
        return tuple(Decision(one.action, one.who, one.why, one.at) for one in found)


def journal_of(store: ImageStore, night: Night) -> NightJournal:
    """Return a night's journal at a place."""
    return NightJournal(store, night.batch, path_safe(night.partition_key))
