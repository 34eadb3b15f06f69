"""The part of the ledger's contract that the journal in the bucket is written and compared with."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Protocol

from flow_pipelines.model import JournalEntry, Night, Regeneration, Workflow


class Journaled(Protocol):
    """See `contract.RunLedger` for what holds for every method."""

    def intents(self, night: Night) -> Mapping[str, int]:
        """Return how many intents each submission of a night had, by key; none: absent.

        Whoever compares lists the journal first: an intent that is in the bucket was written here
        before. For the same reason it is never read from a replica. Raises: LedgerError, on one.
        """

    def regenerations(self, night: Night) -> Sequence[Regeneration]:
        """Return a night's regenerations by generation."""

    def import_intents(
        self, night: Night, entries: Sequence[JournalEntry], workflows: Sequence[Workflow]
    ) -> Sequence[str]:
        """Take over intents that another copy of this ledger wrote; return the keys of those rows.

        An entry counts where its row has fewer intents, or is not there: the row, whatever its
        state, becomes unresolved with all that the entry says, and reserves its amount on the day
        of that intent. A provider run of an earlier intent is detached from it. The night, its
        workflows and regenerations are made where they are missing; the night is marked, its
        generation is at least the entries', and no sensor goes on submitting for it until somebody
        asks. It is frozen, unless no row of it was planned here: then `plan` still adds the others.
        Safe to repeat, and to do twice at once.
        """

    def note_place(self, night: Night, place: str) -> bool:
        """Note that a night is bought with the bucket and prefix `place`; True: `journaled`."""

    def journaled(self, night: Night, place: str) -> None:
        """Note that every intent of before is in the journal at `place`, which is complete."""

    def places(self, batch: str) -> Sequence[str]:
        """Return where nights of a batch were bought, the first place first."""

    def partition_times(self, batch: str) -> Mapping[str, datetime]:
        """Return when each night of a batch last changed, by partition key."""
