"""What is measured from outside: money of today, budgets, and when sensors last ticked.

Ticks and budgets are rows of `ledger_meta`, by prefix and name: a few for each account and sensor.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal

from sqlalchemy import Connection, delete, func, select

from flow_pipelines.ledger.database import Database, unindexed
from flow_pipelines.ledger.records import AccountBudget, SpentToday, Tick
from flow_pipelines.ledger.schema import ledger_meta, submissions

TICKS_KEPT = timedelta(days=30)
"""A sensor that has not ticked for longer is gone, not late."""
_MOST = 1000
"""Rows of `ledger_meta` that are read."""
_TICK = "last_tick/"
_BUDGET = "daily_budget_usd/"
_s = submissions.c


class Metering:
    """What metrics show besides `outstanding`; see `contract`."""

    _database: Database

    def note_tick(self, provider: str, location: str | None) -> None:
        """Note that a provider's sensor in a code location came to the end of a tick."""
        with self._database.write() as connection:
            now = self._database.clock.now()
            self._note(connection, f"{_TICK}{provider}/{location or ''}", now.isoformat())
            gone = [name for name, at in _noted(connection, _TICK) if _time(at) < now - TICKS_KEPT]
            if gone:
                connection.execute(delete(ledger_meta).where(ledger_meta.c.name.in_(gone)))

    def last_ticks(self) -> Sequence[Tick]:
        """Return when each sensor last ticked, by provider and code location."""
        with self._database.read() as connection:
            noted = _noted(connection, _TICK)
        found = [(*name.removeprefix(_TICK).partition("/"), at) for name, at in noted]
        return [Tick(provider, location, _time(at)) for provider, _, location, at in found]

    def note_daily_budget(self, resource: str, provider: str, limit: Decimal | None) -> None:
        """Note what an account may spend a day, as it is configured now; None: no limit."""
        name, value = f"{_BUDGET}{resource}", f"{provider} {limit}"
        row = ledger_meta.c.name == name
        with self._database.read() as connection:
            known = connection.execute(select(ledger_meta.c.value).where(row)).scalar_one_or_none()
        if known == (None if limit is None else value):
            return
        with self._database.write() as connection:
            if limit is None:
                connection.execute(delete(ledger_meta).where(row))
            else:
                self._note(connection, name, value)

    def daily_budgets(self) -> Sequence[AccountBudget]:
        """Return the accounts that had a daily budget when they were last submitted with."""
        with self._database.read() as connection:
            noted = _noted(connection, _BUDGET)
        budgets = []
        for name, value in noted:
            provider, _, limit = value.partition(" ")
            budgets.append(AccountBudget(provider, name.removeprefix(_BUDGET), Decimal(limit)))
        return budgets

    def spent_between(self, since: datetime, until: datetime) -> Sequence[SpentToday]:
        """Return what intents from `since` to before `until` count against daily budgets: costs,
        and estimates where no cost is known yet; by provider, account and batch.
        """
        keys = (_s.provider, _s.resource, _s.batch)
        query = (
            # In the order of an index, every submission ever would be walked.
            select(
                *(unindexed(key).label(key.name) for key in keys),
                func.sum(_s.reserved_usd).label("spent_usd"),
            )
            .where(_s.submitting_at >= since, _s.submitting_at < until)
            .group_by(*(unindexed(key) for key in keys))
        )
        with self._database.read() as connection:
            rows = connection.execute(query).mappings().all()
        return [SpentToday(**row) for row in rows]

    def _note(self, connection: Connection, name: str, value: str) -> None:
        query = self._database.upsert(ledger_meta).values(name=name, value=value)
        query = query.on_conflict_do_update(index_elements=["name"], set_={"value": value})
        connection.execute(query)


def _noted(connection: Connection, prefix: str) -> Sequence[tuple[str, str]]:
    query = select(ledger_meta.c.name, ledger_meta.c.value).order_by("name").limit(_MOST)
    rows = connection.execute(query).all()
    return [(row[0], row[1]) for row in rows if row[0].startswith(prefix)]


def _time(text: str) -> datetime:
    return datetime.fromisoformat(text).astimezone(UTC)
