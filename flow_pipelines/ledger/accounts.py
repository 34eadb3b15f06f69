"""Which provider account a resource key stands for, and which input images were uploaded to it."""

from __future__ import annotations

from sqlalchemy import RowMapping, Select, delete, select, update

from flow_pipelines.ledger.database import Database
from flow_pipelines.ledger.records import Account
from flow_pipelines.ledger.schema import accounts, provider_files


class Accounts:
    """Accounts and their uploads.

    An uploaded file's name is an id or a path at the provider, never a link that opens it.
    """

    _database: Database

    def keep_account(self, resource: str, provider: str, identity: frozenset[str]) -> Account:
        """Keep what a resource key stands for, unless that is known; return what is kept.

        An identity that was not told the first time is added.
        """
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

    def provider_file(self, resource: str, sha256: str) -> str | None:
        """Return the name under which this account keeps this content, or None: never uploaded."""
        with self._database.read() as connection:
            name = connection.execute(_name_of(resource, sha256)).one_or_none()
        return None if name is None else str(name[0])

    def remember_file(self, resource: str, sha256: str, name: str) -> str:
        """Keep the name of an upload, unless there is one already; return the one that stands."""
        query = self._database.upsert(provider_files).values(
            resource=resource, sha256=sha256, name=name, uploaded_at=self._database.clock.now()
        )
        with self._database.write() as connection:
            connection.execute(query.on_conflict_do_nothing())
            return str(connection.execute(_name_of(resource, sha256)).scalar_one())

    def forget_file(self, resource: str, sha256: str, name: str) -> None:
        """Drop a name that the provider does not know any more, if it is still the one kept."""
        columns = provider_files.c
        query = delete(provider_files).where(
            columns.resource == resource, columns.sha256 == sha256, columns.name == name
        )
        with self._database.write() as connection:
            connection.execute(query)


def _of(resource: str) -> Select[tuple[object, ...]]:
    return select(accounts).where(accounts.c.resource == resource)


def _account(row: RowMapping) -> Account:
    return Account(**{**row, "identity": frozenset(row["identity"])})


def _name_of(resource: str, sha256: str) -> Select[tuple[str]]:
    return select(provider_files.c.name).where(
        provider_files.c.resource == resource, provider_files.c.sha256 == sha256
    )
