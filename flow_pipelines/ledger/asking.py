"""Asking: who wants a night bought, and what is counted anew from then on."""

from __future__ import annotations

from flow_pipelines.ledger.changing import changing_night
from flow_pipelines.ledger.database import Database
from flow_pipelines.model import Night


class Asking:
    """The asking part of the ledger; see `contract.RunLedger`."""

    _database: Database

    def note_ask(self, night: Night, asked_by: str | None, stop_after_failures: int) -> None:
        """Note who asks to buy this night, before anything is sent."""
        with (
            self._database.write() as connection,
            changing_night(self._database, connection, night) as change,
        ):
            change.set(stop_after_failures=stop_after_failures)
            anew = asked_by == "" or asked_by != change.before["asked_by"]
            if asked_by is not None and anew:
                change.set(asks=change.before["asks"] + 1, asked_by=asked_by, stopped=None)
                change.set(ask_accepted=0, ask_succeeded=0, ask_failed=0)
                change.held = 0
