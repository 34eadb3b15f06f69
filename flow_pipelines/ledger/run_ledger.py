"""Assemble RunLedger from its mix-in classes, one per topic."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Self

from flow_pipelines.clock import Clock
from flow_pipelines.ledger.accounts import Accounts
from flow_pipelines.ledger.address import shown
from flow_pipelines.ledger.attaching import Attaching
from flow_pipelines.ledger.closed import Closed
from flow_pipelines.ledger.closing import Closing
from flow_pipelines.ledger.collecting import Collecting
from flow_pipelines.ledger.database import Database
from flow_pipelines.ledger.heartbeats import Heartbeats
from flow_pipelines.ledger.importing import Importing
from flow_pipelines.ledger.leases import Leases
from flow_pipelines.ledger.metering import Metering
from flow_pipelines.ledger.pace import SqlPaceStore
from flow_pipelines.ledger.patience import repeats
from flow_pipelines.ledger.planning import Planning
from flow_pipelines.ledger.polling import Polling
from flow_pipelines.ledger.reading import Reading
from flow_pipelines.ledger.submitting import Submitting
from flow_pipelines.ledger.timing import Timing


@repeats
class RunLedger(
    Planning,
    Reading,
    Leases,
    Submitting,
    Attaching,
    Importing,
    Polling,
    Collecting,
    Timing,
    Accounts,
    Closing,
    Closed,
    Metering,
    Heartbeats,
):
    """The ledger on one SQL database, as `contract` promises. Safe to share between threads.

    Made by `open_ledger`. Holds pooled connections between calls, none while it is idle that
    blocks anybody; `close` gives them up.
    """

    def __init__(self, database: Database, ledger_id: str) -> None:
        """Take a database whose schema is up to date."""
        self._database = database
        self.ledger_id = ledger_id
        self.pace = SqlPaceStore(database)

    @property
    def clock(self) -> Clock:
        """The time that this ledger goes by: the database's on PostgreSQL, the host's on SQLite.

        Whatever is compared with a time in the ledger has to be read from it.
        """
        return self._database.clock

    def now(self) -> datetime:
        """Return that time, read anew. Raises: LedgerBusy, LedgerError."""
        return self._database.now()

    def skew(self) -> timedelta | None:
        """Return how far this host's clock is ahead of that time; None: it is that time."""
        return self._database.skew()

    def close(self) -> None:
        """Close every connection; the ledger opens new ones when it is used again."""
        self._database.engine.dispose()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"RunLedger({shown(self._database.engine.url)!r}, ledger_id={self.ledger_id!r})"
