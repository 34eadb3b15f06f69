"""Compare the ledger with the bucket's journal in a sensor's tick: at first, and then hourly."""

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta

from flow_pipelines.assets.sensor_tick import SensorCursor
from flow_pipelines.lifecycle.journal_scan import compare_recent
from flow_pipelines.lifecycle.ports import LedgerAndStore
from flow_pipelines.model.errors import FlowPipelinesError
from flow_pipelines.storage.deadline import within

EVERY = timedelta(hours=1)
AGAIN = timedelta(minutes=10)
"""After a bucket that did not answer."""
SECONDS = 5.0
"""Of a tick; the next one goes on."""
LONGEST_SECONDS = 10.0
"""However the bucket hangs: a tick has other work, and ends at 60 s."""


def compare_in_a_tick(
    cursor: SensorCursor, now: datetime, open_books: Callable[[], LedgerAndStore]
) -> Sequence[str]:
    """Compare the nights that are due, for a few seconds; return messages on what was found."""
    is_recent = cursor.compared_at is not None and now - cursor.compared_at < EVERY
    if is_recent and not cursor.compare_after:
        return ()
    try:
        books = open_books()
        comparison = within(
            LONGEST_SECONDS, lambda: compare_recent(books, cursor.compare_after, seconds=SECONDS)
        )
    except TimeoutError:
        return _failed(cursor, now, "the bucket does not answer")
    except FlowPipelinesError as error:
        return _failed(cursor, now, str(error))
    cursor.compare_after = comparison.after
    if not comparison.after:
        cursor.compared_at = now
    return comparison.words


def _failed(cursor: SensorCursor, now: datetime, why: str) -> Sequence[str]:
    cursor.compare_after, cursor.compared_at = "", now - EVERY + AGAIN
    return [f"the journal could not be compared with the ledger: {why}"]
