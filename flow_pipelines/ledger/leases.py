"""Leases, code location of each batch, stop switch, and the last refusal of each account."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import datetime, timedelta

from sqlalchemy import ColumnElement, Connection, delete, exists, or_, select, true

from flow_pipelines.ledger.database import Database, chunks
from flow_pipelines.ledger.heartbeats import has_ended
from flow_pipelines.ledger.records import AccountStop, Lease, Pause
from flow_pipelines.ledger.schema import account_stops, batch_locations, leases, switches
from flow_pipelines.model.errors import LeaseLost, Paused

_PAUSE = "pause"


class Leases:
    """Leases, claims of batches, the stop switch; `contract` says what holds for every method."""

    _database: Database

    def acquire_lease(self, name: str, owner: str, ttl_seconds: float) -> bool:
        """Take or renew a lease. False: another owner holds it, or `owner` is a run that ended."""
        insert = self._database.upsert(leases)
        with self._database.write() as connection:
            now = self._database.clock.now()  # read within the transaction, never before it
            if has_ended(connection, owner):
                return False
            query = insert.values(
                name=name, owner=owner, expires_at=now + timedelta(seconds=ttl_seconds)
            ).on_conflict_do_update(
                index_elements=["name"],
                set_={"owner": insert.excluded.owner, "expires_at": insert.excluded.expires_at},
                where=or_(leases.c.owner == owner, leases.c.expires_at <= now),
            )
            return connection.execute(query.returning(leases.c.name)).one_or_none() is not None

    def release_lease(self, name: str, owner: str) -> None:
        """Release a lease; nothing happens when `owner` does not hold it."""
        with self._database.write() as connection:
            connection.execute(delete(leases).where(leases.c.name == name, leases.c.owner == owner))

    def lease(self, name: str) -> Lease | None:
        """Return the lease if it is held and not expired."""
        with self._database.read() as connection:
            return lease_in_force(connection, name, self._database.clock.now())

    def leases(self, names: Collection[str]) -> Mapping[str, Lease]:
        """Return those of these leases that are held and not expired, by name, as of one moment."""
        now, found = self._database.clock.now(), dict[str, Lease]()
        with self._database.read() as connection:
            for chunk in chunks(sorted(names)):
                query = select(leases).where(leases.c.name.in_(chunk), leases.c.expires_at > now)
                rows = connection.execute(query).mappings()
                found |= {row["name"]: Lease(**row) for row in rows}
        return found

    def claim_batch(self, batch: str, location: str) -> str:
        """Assign the batch to this code location, unless it has one; return whose it is now."""
        query = self._database.upsert(batch_locations).values(batch=batch, location=location)
        owner = select(batch_locations.c.location).where(batch_locations.c.batch == batch)
        with self._database.write() as connection:
            connection.execute(query.on_conflict_do_nothing())
            return str(connection.execute(owner).scalar_one())

    def batch_locations(self, batches: Collection[str]) -> Mapping[str, str]:
        """Return the code location of each of these batches; absent where nobody claimed it."""
        columns = batch_locations.c
        query = select(columns.batch, columns.location).where(columns.batch.in_(sorted(batches)))
        with self._database.read() as connection:
            return {row[0]: row[1] for row in connection.execute(query)}

    def move_batch(self, batch: str, location: str) -> None:
        """Assign the batch to this code location, whoever had it: a person's decision."""
        query = self._database.upsert(batch_locations).values(batch=batch, location=location)
        query = query.on_conflict_do_update(index_elements=["batch"], set_={"location": location})
        with self._database.write() as connection:
            connection.execute(query)

    def pause(self, who: str, why: str) -> None:
        """Turn the stop switch on: every `begin_submission` raises Paused from now on."""
        insert = self._database.upsert(switches)
        with self._database.write() as connection:
            values = {"who": who, "why": why, "at": self._database.clock.now()}
            query = insert.values(name=_PAUSE, **values)
            connection.execute(query.on_conflict_do_update(index_elements=["name"], set_=values))

    def resume(self) -> None:
        """Turn the stop switch off."""
        with self._database.write() as connection:
            connection.execute(delete(switches).where(switches.c.name == _PAUSE))

    def paused(self) -> Pause | None:
        """Return the stop switch, while it is on."""
        with self._database.read() as connection:
            return _pause(connection)

    def stop_account(self, resource: str, code: str, message: str) -> None:
        """Note that the provider refused this account just now."""
        insert = self._database.upsert(account_stops)
        with self._database.write() as connection:
            values = {"code": code, "message": message, "at": self._database.clock.now()}
            query = insert.values(resource=resource, **values).on_conflict_do_update(
                index_elements=["resource"],
                set_=values,
                where=account_stops.c.at <= insert.excluded.at,
            )
            connection.execute(query)

    def account_stop(self, resource: str, since: datetime) -> AccountStop | None:
        """Return the newest refusal of this account at or after `since`."""
        query = select(account_stops).where(
            account_stops.c.resource == resource, account_stops.c.at >= since
        )
        with self._database.read() as connection:
            row = connection.execute(query).mappings().one_or_none()
        return None if row is None else AccountStop(**row)


def lease_in_force(
    connection: Connection, name: str, now: datetime, *, lock: bool = False
) -> Lease | None:
    """Return the lease if it is held at `now`; at its `expires_at` it is free."""
    query = select(leases).where(leases.c.name == name, leases.c.expires_at > now)
    if lock:
        query = query.with_for_update(read=True)
    row = connection.execute(query).mappings().one_or_none()
    return None if row is None else Lease(**row)


def check_lease(connection: Connection, name: str, owner: str, now: datetime) -> None:
    """Raise LeaseLost unless `owner` holds the lease; nobody takes it before the commit."""
    held = lease_in_force(connection, name, now, lock=True)
    if held is None or held.owner != owner:
        by = "nobody" if held is None else f"{held.owner}"
        raise LeaseLost(f"lease {name} is held by {by}, not by {owner}")


def check_not_paused(connection: Connection) -> None:
    """Raise Paused while the stop switch is on."""
    pause = _pause(connection)
    if pause is not None:
        raise Paused(
            f"submitting was paused by {pause.who} at {pause.at:%Y-%m-%d %H:%M}Z: {pause.why}"
        )


def _pause(connection: Connection) -> Pause | None:
    query = select(switches).where(switches.c.name == _PAUSE)
    row = connection.execute(query).mappings().one_or_none()
    return None if row is None else Pause(who=row["who"], why=row["why"], at=row["at"])


def not_elsewhere(batch: ColumnElement[str], location: str | None) -> ColumnElement[bool]:
    """Return the condition that leaves out batches of another location than `location`.

    None leaves out nothing: outside a code location every batch is one's own.
    """
    if location is None:
        return true()
    theirs = exists().where(
        batch_locations.c.batch == batch, batch_locations.c.location != location
    )
    return ~theirs
