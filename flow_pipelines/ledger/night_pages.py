"""The part of the ledger's contract that reads what may not fit in memory."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Protocol

from flow_pipelines.model import Night, NightRecord, Output, Submission, SubmissionState

PAGE = 500
"""Submissions that are read at a time where a night is read in pages: about a MB."""


class NightPages(Protocol):
    """See `contract.RunLedger` for what holds for every method."""

    def nights_of(self, batch: str, *, after: str = "", limit: int = PAGE) -> Sequence[NightRecord]:
        """Return the first nights of a batch by partition key, those after the key `after`."""

    def submission_pages(
        self,
        night: Night,
        *,
        states: Collection[SubmissionState] | None = None,
        size: int = PAGE,
    ) -> Iterator[Sequence[Submission]]:
        """Return what `submissions` gives, at most `size` at a time: a night may not fit in memory.

        Each page is read when it is asked for, by what is true then; nothing is given twice.
        """

    def search_all(
        self,
        *,
        batch: str | None = None,
        partition_key: str | None = None,
        provider: str | None = None,
        state: SubmissionState | None = None,
    ) -> Iterator[Submission]:
        """Return what `search` does, to its end: by what is true when the first is asked for.

        One transaction stays open until then; read it without pausing.
        """

    def count_found(
        self,
        *,
        batch: str | None = None,
        partition_key: str | None = None,
        provider: str | None = None,
        state: SubmissionState | None = None,
    ) -> int:
        """Return how many submissions `search_all` gives."""

    def outputs_of(self, submission_keys: Collection[str]) -> Mapping[str, Sequence[Output]]:
        """Return the outputs of these submissions by their key, in their order."""
