"""Pictures that a provider keeps for its runs; see `provider_files.ProviderFiles`."""

from __future__ import annotations

from sqlalchemy import Select, delete, select

from flow_pipelines.ledger.database import Database
from flow_pipelines.ledger.schema import provider_files


class Files:
    """What was uploaded to which account; see `contract.RunLedger`."""

    _database: Database

    def provider_file(self, resource: str, sha256: str) -> str | None:
        """Return the name under which this account keeps this content."""
        with self._database.read() as connection:
            found = connection.execute(_name_of(resource, sha256)).one_or_none()
        return None if found is None else str(found[0])

    def remember_file(self, resource: str, sha256: str, name: str) -> str:
        """Keep the name of an upload, unless there is one already; give the one that stands."""
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


def _name_of(resource: str, sha256: str) -> Select[tuple[str]]:
    return select(provider_files.c.name).where(
        provider_files.c.resource == resource, provider_files.c.sha256 == sha256
    )
