"""Record requests to buy a night, with their backfill and row limit, and the bucket mark."""

from __future__ import annotations

from flow_pipelines.ledger.changing import changing_night
from flow_pipelines.ledger.database import Database
from flow_pipelines.model import Night


class NightRequests:
    """Requests to buy nights; `contract` says what holds for every method."""

    _database: Database

    def note_ask(self, night: Night, asked_by: str | None, stop_after_failures: int) -> None:
        """Record a request to buy this night, before anything is sent.

        If `asked_by` differs from the last request, or is empty, it is a new request: rows that
        waited for one may be sent, a stop is lifted, and the failure counters restart at 0
        (`NightRecord.asks`, `stopped`, `held`). None: a sensor continues the last request, none of
        this changes. In every case the night stops once the first `stop_after_failures` runs to
        end, of those sent since the request, have all failed. Moves no revision.
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
