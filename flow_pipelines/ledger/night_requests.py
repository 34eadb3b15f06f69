"""Who asked to buy a night, which run submits it, and how much of it may be sent."""

from __future__ import annotations

from flow_pipelines.ledger.changing import changing_night
from flow_pipelines.ledger.database import Database
from flow_pipelines.model import Night


class NightRequests:
    """Requests to buy nights; `contract` says what holds for every method."""

    _database: Database

    def note_ask(self, night: Night, asked_by: str | None, stop_after_failures: int) -> None:
        """Note who asks to buy this night, before anything is sent.

        Another than who asked last: the rows that wait for an ask may be sent, a stop is taken
        back, and what the rows may share is counted anew (`NightRecord.asks`, `stopped`, `held`).
        Empty: always another. None: nobody; a sensor goes on, and all stays as it is. From now on
        the night is stopped once the first `stop_after_failures` runs that ended all failed, of
        those sent since the ask. Moves no revision.
        """
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

    def mark_night(self, night: Night) -> None:
        """Note that the bucket is about to be told of this night (`NightRecord.marked_at`)."""
        with (
            self._database.write() as connection,
            changing_night(self._database, connection, night) as change,
        ):
            change.set(marked_at=change.before["marked_at"] or change.now)

    def note_submitter(self, night: Night, backfill_id: str | None, goal: int | None) -> None:
        """Remember the backfill whose run submits for this night now, or that there is none, and
        how many submissions of the night may be sent in all before somebody asks again
        (`NightRecord.submit_goal`; None: all that are planned). Moves no revision."""
        with (
            self._database.write() as connection,
            changing_night(self._database, connection, night) as change,
        ):
            change.set(backfill_id=backfill_id, submit_goal=goal)
