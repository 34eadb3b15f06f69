"""What resource keys stand for; see `under_way.UnderWay`."""

from __future__ import annotations

from sqlalchemy import RowMapping, Select, delete, select, update

from flow_pipelines.ledger.database import Database
from flow_pipelines.ledger.records import Account
from flow_pipelines.ledger.schema import accounts


class Accounts:
    """The part of the ledger that knows accounts."""

    _database: Database

    def keep_account(self, resource: str, provider: str, identity: frozenset[str]) -> Account:
        """Keep what a resource key stands for, unless that is known; return what is kept."""
        columns, ids = accounts.c, sorted(identity)
        first = self._database.upsert(accounts).values(
            resource=resource,
            provider=provider,
            identity=ids,
            seen_at=self._database.clock.now(),
        )
        with self._database.write() as connection:
            connection.execute(first.on_conflict_do_nothing())
            kept = _account(connection.execute(_of(resource)).mappings().one())
            if ids and not kept.identity and kept.provider == provider:
                known = update(accounts).where(columns.resource == resource).values(identity=ids)
                connection.execute(known)
                return _account(connection.execute(_of(resource)).mappings().one())
            return kept

    def forget_account(self, resource: str) -> Account | None:
        """Forget what a resource key stood for, and return it: a person's decision."""
        with self._database.write() as connection:
            row = connection.execute(_of(resource)).mappings().one_or_none()
            connection.execute(delete(accounts).where(accounts.c.resource == resource))
        return None if row is None else _account(row)


def _of(resource: str) -> Select[tuple[object, ...]]:
    return select(accounts).where(accounts.c.resource == resource)


def _account(row: RowMapping) -> Account:
    return Account(**{**row, "identity": frozenset(row["identity"])})
