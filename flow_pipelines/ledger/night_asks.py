"""The part of the ledger's contract about who asked to buy a night."""

from __future__ import annotations

from typing import Protocol

from flow_pipelines.model import Night


class NightAsks(Protocol):
    """See `contract.RunLedger` for what holds for every method."""

    def note_ask(self, night: Night, asked_by: str | None, stop_after_failures: int) -> None:
        """Note who asks to buy this night, before anything is sent.

        Another than who asked last: the rows that wait for an ask may be sent, a stop is taken
        back, and what the rows may share is counted anew (`NightRecord.asks`, `stopped`, `held`).
        Empty: always another. None: nobody; a sensor goes on, and all stays as it is. From now on
        the night is stopped once the first `stop_after_failures` runs that ended all failed, of
        those sent since the ask. Moves no revision.
        """
