"""Lock a night, change its submissions, and update its counts and reservations with them.

Locks are taken in one order everywhere, so that no two transactions wait for each other: night by
night in the order of their names, each before its submissions, those by key; then leases; then
account days.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from sqlalchemy import (
    Connection,
    RowMapping,
    Select,
    Table,
    bindparam,
    delete,
    insert,
    select,
    update,
)

from flow_pipelines.ledger.column_types import usd
from flow_pipelines.ledger.contract import MAX_COLLECTIONS
from flow_pipelines.ledger.database import Database, chunks
from flow_pipelines.ledger.rows import COUNT_COLUMNS, night_of, to_submission
from flow_pipelines.ledger.schema import budget_days, nights, submissions
from flow_pipelines.ledger.shared_faults import count_for_ask
from flow_pipelines.model import Night, Submission, SubmissionState
from flow_pipelines.model.errors import LedgerError, NightClosed, SubmissionNotFound
from flow_pipelines.model.states import UNFINISHED, check_transition
from flow_pipelines.model.wording import closed_in_words


class NightChange:
    """A night, locked, and what one transaction does to it; `save` writes the night once."""

    def __init__(
        self, database: Database, connection: Connection, row: RowMapping, now: datetime
    ) -> None:
        """Take the night's locked row."""
        self.connection = connection
        self.before = row
        self.night = night_of(row)
        self.now = now
        self.held: int = row["held"]
        self._database = database
        self._values: dict[str, Any] = {}
        self._changed = False
        self._counts = Counter({state: row[name] for state, name in COUNT_COLUMNS.items()})
        self._uncollected: int = row["uncollected"]
        self._reserved: Decimal = row["reserved_usd"]
        self._days: dict[tuple[str, str], Decimal] = {}

    @property
    def reserved_usd(self) -> Decimal:
        """What counts against the night's budget now."""
        return self._reserved

    @property
    def counts(self) -> Mapping[SubmissionState, int]:
        """Submissions of the night by state now."""
        return {SubmissionState(state): count for state, count in self._counts.items()}

    def value(self, column: str) -> Any:
        """Return a column of the night as this transaction will leave it."""
        return self._values.get(column, self.before[column])

    def lower_goal(self, rows: int) -> None:
        """Lower `submit_goal` with rows that no longer count as sent, so that no others are."""
        goal = self.value("submit_goal")
        if goal is not None:
            self.set(submit_goal=goal - rows)

    def find_submission(self, submission_key: str) -> RowMapping | None:
        """Return a submission of this night, locked, or None."""
        query = _locking(select(submissions), [submission_key], self.night)
        return self.connection.execute(query).mappings().one_or_none()

    def lock_submission(self, submission_key: str) -> RowMapping:
        """Return a submission of this night, locked. Raises: SubmissionNotFound."""
        row = self.find_submission(submission_key)
        if row is None:
            raise SubmissionNotFound(f"no submission {submission_key} in this ledger")
        return row

    def lock_submissions(
        self, keys: Collection[str], state: SubmissionState | None = None
    ) -> Sequence[RowMapping]:
        """Return those of `keys` that are of this night and in `state`, locked, by key.

        Their rows have the columns that `move` and `write` account by, and no others.
        """
        rows: list[RowMapping] = []
        for chunk in chunks(sorted(keys)):
            query = _locking(select(*_ACCOUNTED), chunk, self.night)
            if state is not None:
                query = query.where(submissions.c.state == state)
            rows += self.connection.execute(query).mappings().all()
        return rows

    def move(self, rows: Sequence[RowMapping], after: SubmissionState, **values: Any) -> None:
        """Change the state of locked `rows`, and `values` with it. Raises: IllegalTransition."""
        for row in rows:
            check_transition(row["submission_key"], SubmissionState(row["state"]), after)
        count_for_ask(self, rows, after, values.get("error_message"))
        self.write(rows, state=after.value, **values)

    def write(self, rows: Sequence[RowMapping], **values: Any) -> None:
        """Change locked `rows` and keep the night's sums true; raises its revision."""
        if not rows:
            return
        for row in rows:
            self._account({**row, **values}, 1)
            self._account(row, -1)
        self._update(rows, values)
        self.touch()

    def note(self, row: RowMapping, **values: Any) -> None:
        """Change what no table of the night shows (when to poll next): no new revision."""
        self._update([row], values)

    def set(self, **values: Any) -> None:
        """Change columns of the night itself: no new revision."""
        self._values.update(values)

    def touch(self) -> None:
        """Raise the night's revision, once in this transaction."""
        self._changed = True

    def add(self, rows: Iterable[dict[str, Any]], waits_for: int = 0) -> None:
        """Write new planned submissions, some hundred at a time."""
        common = {**self.night._asdict(), **_NEW, "planned_at": self.now, "waits_for": waits_for}
        for chunk in chunks({**row, **common} for row in rows):
            self.connection.execute(insert(submissions), chunk)
            self._counts[SubmissionState.PLANNED] += len(chunk)
            self.held += len(chunk) if waits_for > self.value("asks") else 0
            self.touch()

    def rewrite(self, rows: Sequence[dict[str, Any]]) -> None:
        """Set on each of these submissions values of its own, of the kind of `add`'s."""
        if not rows:
            return
        names = [name for name in rows[0] if name != "submission_key"]
        query = update(submissions).where(_s.submission_key == bindparam("key"))
        query = query.values({name: bindparam(f"new_{name}") for name in names})
        for chunk in chunks(rows):
            values = [
                {"key": row["submission_key"], **{f"new_{name}": row[name] for name in names}}
                for row in chunk
            ]
            self.connection.execute(query, values)
        self.touch()

    def remove(self, rows: Sequence[RowMapping]) -> None:
        """Take out locked `rows` for which nothing was ever sent."""
        for row in rows:
            self._account(row, -1)
        for chunk in chunks(row["submission_key"] for row in rows):
            self.connection.execute(delete(submissions).where(_s.submission_key.in_(chunk)))
            self.touch()

    def submission(self, submission_key: str) -> Submission:
        """Return a submission as it is now."""
        query = select(submissions).where(submissions.c.submission_key == submission_key)
        return to_submission(self.connection.execute(query).mappings().one())

    def save(self) -> None:
        """Write the night and the account days; the last thing the transaction does."""
        values = dict(self._values)
        if self._changed:
            values |= {"revision": self.before["revision"] + 1, "changed_at": self.now}
        after = {**self.before, **values}
        pending = any(self._counts[state] for state in UNFINISHED)
        values |= {name: self._counts[state] for state, name in COUNT_COLUMNS.items()}
        missing = self._uncollected > 0 and after["collect_attempts"] < MAX_COLLECTIONS
        behind = after["revision"] != after["collected_revision"]
        values["attention"] = pending or behind or missing
        values |= {"reserved_usd": self._reserved, "uncollected": self._uncollected}
        values["held"] = self.held
        changes = {name: value for name, value in values.items() if value != self.before[name]}
        if changes:
            self.connection.execute(
                update(nights).where(*of_night(self.night, nights)).values(changes)
            )
        add_to_days(self._database, self.connection, self._days)

    def _update(self, rows: Sequence[RowMapping], values: dict[str, Any]) -> None:
        for chunk in chunks(row["submission_key"] for row in rows):
            self.connection.execute(
                update(submissions).where(submissions.c.submission_key.in_(chunk)).values(values)
            )

    def _account(self, row: Any, sign: int) -> None:
        state = SubmissionState(row["state"])
        self._counts[state] += sign
        if state is SubmissionState.SUCCEEDED and row["collected_at"] is None:
            self._uncollected += sign
        if state is SubmissionState.PLANNED and row["waits_for"] > self.value("asks"):
            self.held += sign
        reserved = sign * usd(row["reserved_usd"])
        if reserved:
            self._reserved += reserved
            day = (row["resource"], utc_day(row["submitting_at"]))
            self._days[day] = self._days.get(day, Decimal(0)) + reserved


_NEW: dict[str, Any] = {
    "state": SubmissionState.PLANNED.value,
    "stale": False,
    "polls": 0,
    "intents": 0,
    "waits_for": 0,
    "cost_basis": "unknown",
    "reserved_usd": Decimal(0),
}


_s = submissions.c
_ACCOUNTED = (
    _s.submission_key, _s.state, _s.collected_at, _s.reserved_usd, _s.resource, _s.submitting_at,
    _s.waits_for, _s.ask,
)  # fmt: skip


def _locking(query: Select[Any], keys: Collection[str], night: Night) -> Select[Any]:
    narrowed = query.where(_s.submission_key.in_(keys), *of_night(night))
    return narrowed.order_by(_s.submission_key).with_for_update()


def add_to_days(
    database: Database, connection: Connection, days: Mapping[tuple[str, str], Decimal]
) -> None:
    """Add to what each account has reserved of a UTC day."""
    for (resource, day), change in sorted(days.items()):
        if change:
            query = database.upsert(budget_days).values(
                resource=resource, day=day, reserved_usd=change
            )
            total = budget_days.c.reserved_usd + query.excluded.reserved_usd
            connection.execute(
                query.on_conflict_do_update(
                    index_elements=["resource", "day"], set_={"reserved_usd": total}
                )
            )


def utc_day(moment: datetime) -> str:
    """Return the UTC day of `moment` as budgets name it."""
    return moment.astimezone(UTC).date().isoformat()


def of_night(night: Night, table: Table = submissions) -> tuple[Any, Any]:
    """Return the condition that finds the rows of `night` in a table."""
    return table.c.batch == night.batch, table.c.partition_key == night.partition_key


@contextmanager
def changing_night(database: Database, night: Night) -> Iterator[NightChange]:
    """Do `locked_night` in a transaction of its own."""
    with database.write() as connection, locked_night(database, connection, night) as change:
        yield change


@contextmanager
def locked_night(database: Database, connection: Connection, night: Night) -> Iterator[NightChange]:
    """Lock `night` and save it at the end.

    Raises: LedgerError, when it was never planned; NightClosed, for one that was pruned.
    """
    query = select(nights).where(*of_night(night, nights)).with_for_update()
    row = connection.execute(query).mappings().one_or_none()
    if row is None:
        raise LedgerError(f"{night} was never planned in this ledger")
    if row["closed_at"] is not None:
        raise NightClosed(closed_in_words(str(night)))
    change = NightChange(database, connection, row, database.clock.now())
    yield change
    change.save()


@contextmanager
def changing(database: Database, submission_key: str) -> Iterator[tuple[NightChange, RowMapping]]:
    """Lock a submission, its night first, in a transaction of its own.

    Raises: SubmissionNotFound.
    """
    columns = submissions.c
    with database.write() as connection:
        query = select(columns.batch, columns.partition_key).where(
            columns.submission_key == submission_key
        )
        where = connection.execute(query).mappings().one_or_none()
        if where is None:
            raise SubmissionNotFound(f"no submission {submission_key} in this ledger")
        with locked_night(database, connection, night_of(where)) as change:
            yield change, change.lock_submission(submission_key)
