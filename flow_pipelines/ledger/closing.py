"""Close nights: take their rows out once they are archived, or take a closed night over."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any

from sqlalchemy import Connection, RowMapping, Table, delete, insert, select, update

from flow_pipelines.ledger.archived_rows import (
    ARCHIVED,
    OF_SUBMISSIONS,
    Digest,
    Row,
    digest_of,
    each_row,
    incoming,
    night_row,
)
from flow_pipelines.ledger.changing import add_to_days, of_night, utc_day
from flow_pipelines.ledger.closed_records import NightArchive
from flow_pipelines.ledger.closed_schema import closed_nights, closed_runs, late_runs
from flow_pipelines.ledger.closed_sums import DAY, keep_sums, sums_of
from flow_pipelines.ledger.column_types import from_micros
from flow_pipelines.ledger.database import Database, chunks
from flow_pipelines.ledger.leases import check_lease
from flow_pipelines.ledger.planning import NEW_NIGHT, keep_workflow
from flow_pipelines.ledger.rows import night_of
from flow_pipelines.ledger.schema import (
    nights,
    prompt_rows,
    regenerations,
    second_runs,
    submissions,
)
from flow_pipelines.ledger.settled import why_open
from flow_pipelines.ledger.upgrading import require_closed_nights
from flow_pipelines.model import Night, Workflow
from flow_pipelines.model.errors import LedgerError, NightOpen

_s = submissions.c
_RUN = ("submission_key", "batch", "partition_key", "provider", "provider_run_id")
Write = Callable[[str, Iterable[Row]], None]


class Closing:
    """Nights whose rows go; `contract` says what holds for every method."""

    _database: Database
    ledger_id: str

    def nights_before(self, moment: datetime, limit: int = 10_000) -> Sequence[Night]:
        """Return open nights that last changed before `moment`, the longest unchanged first."""
        columns = nights.c
        query = (
            select(columns.batch, columns.partition_key)
            .where(columns.changed_at < moment, columns.closed_at.is_(None))
            .order_by(columns.changed_at, columns.batch, columns.partition_key)
            .limit(limit)
        )
        with self._database.read() as connection:
            return [night_of(row) for row in connection.execute(query).mappings()]

    def why_open(self, night: Night, *, before: datetime, owner: str) -> str | None:
        """Return what keeps a night from being closed, or None; see `close_night`.

        Raises: LedgerError, when it was never planned.
        """
        query = select(nights).where(*of_night(night, nights))
        with self._database.read() as connection:
            row = connection.execute(query).mappings().one_or_none()
            if row is None:
                raise LedgerError(f"{night} was never planned in this ledger")
            return why_open(connection, row, before, self._database.clock.now(), owner)

    def archive_rows(self, night: Night, write: Write) -> NightArchive:
        """Give each table's rows of a night to `write`, in one transaction; return what they sum
        up to. Raises: LedgerError, for a night that was never planned; NightOpen, a closed one."""
        with self._database.read() as connection:
            row = night_row(connection, night)
            if row is None:
                raise LedgerError(f"{night} was never planned in this ledger")
            if row["closed_at"] is not None:
                raise NightOpen(f"{night} is closed already")
            digest = Digest(row)
            for name, table in ARCHIVED.items():
                write(name, digest.add(name, each_row(connection, night, table)))
            return NightArchive(
                night=night,
                place="",
                digest=digest.text(),
                ledger_ids=self._ledger_ids(connection, night),
                row=row,
                sums=sums_of(connection, night),
            )

    def _ledger_ids(self, connection: Connection, night: Night) -> tuple[str, ...]:
        query = select(_s.intent_ledger_id).where(*of_night(night)).distinct()
        found = {one for one in connection.execute(query).scalars() if one is not None}
        return tuple(sorted({*found, self.ledger_id}))

    def close_night(self, archive: NightArchive, *, before: datetime, owner: str) -> bool:
        """Take an archived night's rows out; False: somebody else has done it.

        Its own row stays, with its counts, and so do its sums, its runs and who named further ones.
        Only while `owner` holds both of its leases, every row is settled, the night did not change
        since `before`, and its rows are those that were archived, to the last letter.
        Raises: NightOpen, LeaseLost, LedgerError; nothing is changed then.
        """
        night, now = archive.night, self._database.clock.now
        with self._database.write() as connection:
            row = _locked(connection, night)
            if row is None or row["closed_at"] is not None:
                return False
            reason = why_open(connection, row, before, now(), owner)
            if reason is not None:
                raise NightOpen(f"{night}: {reason}")
            for kind in ("submit", "collect"):
                check_lease(connection, f"{kind}:{night}", owner, now())
            if digest_of(connection, night) != archive.digest:
                raise NightOpen(f"{night}: its rows changed while they were archived; try again")
            _keep_runs(connection, night)
            _keep(connection, archive)
            require_closed_nights(self._database, connection)
            _take_out(connection, night)
            closed = update(nights).where(*of_night(night, nights))
            connection.execute(closed.values(closed_at=now(), attention=False))
            return True

    def take_closed(
        self,
        archive: NightArchive,
        rows: Mapping[str, Sequence[Row]],
        workflows: Sequence[Workflow] = (),
    ) -> bool:
        """Close a night that the bucket's archive says is closed, whatever this ledger has of it.

        False, and nothing is changed: it is closed here already, or the night went on since it was
        archived, or is as far and not the same: `close_night` decides then. `rows` are the
        archive's. Account days count what the archive says was reserved.
        """
        night, now = archive.night, self._database.clock.now()
        with self._database.write() as connection:
            row = _locked(connection, night)
            if row is not None and (row["closed_at"] or _went_on(connection, row, archive, rows)):
                return False
            for workflow in workflows:
                keep_workflow(self._database, connection, workflow)
            had = sums_of(connection, night)
            _take_out(connection, night)
            values = {
                **_incoming_night(archive.row),
                "closed_at": now,
                "changed_at": now,
                "attention": False,
            }
            if row is None:
                connection.execute(
                    insert(nights).values({**NEW_NIGHT, **values, **night._asdict()})
                )
            else:
                connection.execute(update(nights).where(*of_night(night, nights)).values(values))
            _take_runs(connection, night, rows)
            _keep(connection, archive)
            require_closed_nights(self._database, connection)
            add_to_days(self._database, connection, _by_day(archive.sums, had))
            return True


def _incoming_night(row: Row) -> dict[str, Any]:
    """Return the columns of a night, but for its key, that its archive has."""
    values = incoming(nights, row).items()
    return {name: value for name, value in values if name in row and name not in Night._fields}


def _locked(connection: Connection, night: Night) -> RowMapping | None:
    query = select(nights).where(*of_night(night, nights)).with_for_update()
    return connection.execute(query).mappings().one_or_none()


def _went_on(
    connection: Connection,
    row: RowMapping,
    archive: NightArchive,
    rows: Mapping[str, Sequence[Row]],
) -> bool:
    """Return whether this ledger knows what the archive does not: it is no older copy."""
    revision = archive.row["revision"]
    if row["revision"] > revision:
        return True
    if row["revision"] == revision and digest_of(connection, archive.night) != archive.digest:
        return True
    archived = {row["submission_key"]: row["intents"] for row in rows[submissions.name]}
    query = select(_s.submission_key, _s.intents).where(*of_night(archive.night), _s.intents > 0)
    return any(n > archived.get(key, 0) for key, n in connection.execute(query))


def _keep(connection: Connection, archive: NightArchive) -> None:
    connection.execute(
        insert(closed_nights).values(
            **archive.night._asdict(),
            archive=archive.place,
            digest=archive.digest,
            ledger_ids=list(archive.ledger_ids),
        )
    )
    keep_sums(connection, archive.night, archive.sums)


def _keep_runs(connection: Connection, night: Night) -> None:
    of_rows = select(*(_s[name] for name in _RUN)).where(*of_night(night))
    connection.execute(insert(closed_runs).from_select(_RUN, of_rows))
    columns = second_runs.c
    told = select(
        columns.submission_key,
        columns.provider_run_id,
        _s.batch,
        _s.partition_key,
        _s.provider,
        columns.heard_at,
        columns.settled_why,
    ).select_from(submissions.join(second_runs, _s.submission_key == columns.submission_key))
    names = [
        "submission_key", "provider_run_id", "batch", "partition_key", "provider", "heard_at",
        "settled_why",
    ]  # fmt: skip
    connection.execute(insert(late_runs).from_select(names, told.where(*of_night(night))))


def _take_runs(connection: Connection, night: Night, rows: Mapping[str, Sequence[Row]]) -> None:
    runs = [{name: row[name] for name in _RUN} for row in rows[submissions.name]]
    for chunk in chunks(runs):
        connection.execute(insert(closed_runs), chunk)
    providers = {run["submission_key"]: run["provider"] for run in runs}
    told = [
        {**row, **night._asdict(), "provider": providers[row["submission_key"]]}
        for row in rows[second_runs.name]
    ]
    if told:
        connection.execute(insert(late_runs), told)


def _take_out(connection: Connection, night: Night) -> None:
    """Delete a night's rows, and all that refers to them."""
    keys = select(_s.submission_key).where(*of_night(night))
    for table in OF_SUBMISSIONS:
        connection.execute(delete(table).where(table.c.submission_key.in_(keys)))
    of_nights: Sequence[Table] = (submissions, prompt_rows, regenerations)
    for table in of_nights:
        connection.execute(delete(table).where(*of_night(night, table)))


def _by_day(after: Sequence[Row], before: Sequence[Row]) -> Mapping[tuple[str, str], Decimal]:
    """Return by how much what is reserved changes, by account and UTC day."""
    days: dict[tuple[str, str], Decimal] = {}
    for sign, sums in ((1, after), (-1, before)):
        for part in (one for one in sums if one["reserved_usd"]):
            key = (part["resource"], utc_day(from_micros(part["day"] * DAY)))
            days[key] = days.get(key, Decimal(0)) + sign * part["reserved_usd"]
    return days
