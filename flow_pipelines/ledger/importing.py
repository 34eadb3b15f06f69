"""Import intents from the bucket's journal; record the bucket and prefix of each night."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, case, func, insert, select, text, update

from flow_pipelines.ledger.attaching import RUN_COLUMNS_RESET, detach_outputs
from flow_pipelines.ledger.changing import NightChange, locked_night, of_night
from flow_pipelines.ledger.database import Database
from flow_pipelines.ledger.planning import ensure_night, keep_workflow, mark_stale, note_stale
from flow_pipelines.ledger.rows import (
    plan_values,
    planned_values,
    regeneration_values,
    to_regeneration,
)
from flow_pipelines.ledger.schema import (
    night_places,
    nights,
    prompt_rows,
    regenerations,
    settlements,
    submissions,
)
from flow_pipelines.model import JournalEntry, Night, Regeneration, SubmissionState, Workflow
from flow_pipelines.model.errors import LedgerError
from flow_pipelines.model.states import NOT_SENT

_S = SubmissionState
_WHY = "the journal names a later intent than this copy of the ledger knew"
_FROM_ENTRY = (
    "row_number", "prompt", "seed", "provider", "resource", "workflow", "workflow_version",
    "content_hash", "request_hash", "planned_at", "submitting_at", "reserved_usd",
    "dagster_run_id", "intents", "intent_ledger_id", "body_sha256",
)  # fmt: skip


class Importing:
    """Intents as the journal has them, and their import; see `contract`."""

    _database: Database

    def intents(self, night: Night) -> Mapping[str, int]:
        """Return how many intents each submission of a night had, by key; none: absent.

        Whoever compares lists the journal first: an intent that is in the bucket was written here
        before. For the same reason it is never read from a replica. Raises: LedgerError, on one.
        """
        columns = submissions.c
        query = select(columns.submission_key, columns.intents).where(
            *of_night(night), columns.intents > 0
        )
        with self._database.read() as connection:
            self._refuse_replica(connection)
            return {row[0]: row[1] for row in connection.execute(query)}

    def _refuse_replica(self, connection: Connection) -> None:
        if self._database.engine.dialect.name != "postgresql":
            return
        if connection.execute(text("SELECT pg_is_in_recovery()")).scalar_one():
            raise LedgerError(
                "the ledger's address leads to a read replica, which lags: nobody can tell from it "
                "what was bought"
            )

    def regenerations(self, night: Night) -> Sequence[Regeneration]:
        """Return a night's regenerations by generation."""
        query = select(regenerations).where(*of_night(night, regenerations))
        query = query.order_by(regenerations.c.generation)
        with self._database.read() as connection:
            return [to_regeneration(row) for row in connection.execute(query).mappings()]

    def import_intents(
        self, night: Night, entries: Sequence[JournalEntry], workflows: Sequence[Workflow]
    ) -> Sequence[str]:
        """Take over intents that another copy of this ledger wrote; return the keys of those rows.

        An entry counts where its row has fewer intents, or is not there: the row, whatever its
        state, becomes unresolved with all that the entry says, and reserves its amount on the day
        of that intent. A provider run of an earlier intent is detached from it. The night, its
        workflows and regenerations are made where they are missing; the night is marked, its
        generation is at least the entries', and no sensor goes on submitting for it until somebody
        asks. It is frozen, unless no row of it was planned here: then `plan` still adds the others.
        Safe to repeat, and to do twice at once.
        """
        newest = max(entries, key=lambda entry: (entry.sent.generation, entry.sent.intents))
        with self._database.write() as connection:
            for workflow in workflows:
                keep_workflow(self._database, connection, workflow)
            ensure_night(self._database, connection, newest.plan)
            with locked_night(self._database, connection, night) as change:
                _freeze_what_was_planned(change)
                taken = [entry for entry in entries if _take(change, entry)]
                self._regenerated(change, taken)
                if taken:
                    _hold(change, max(entry.sent.generation for entry in taken))
                return [entry.sent.submission_key for entry in taken]

    def note_place(self, night: Night, place: str) -> bool:
        """Note that a night is bought with the bucket and prefix `place`; True: `journaled`."""
        values = {**night._asdict(), "place": place, "first_at": self._database.clock.now()}
        query = self._database.upsert(night_places).values(values)
        known = select(night_places.c.journaled_at).where(*_is_place(night, place))
        with self._database.write() as connection:
            connection.execute(query.on_conflict_do_nothing())
            return connection.execute(known).scalar_one() is not None

    def journaled(self, night: Night, place: str) -> None:
        """Note that every intent of before is in the journal at `place`, which is complete."""
        query = update(night_places).where(*_is_place(night, place))
        with self._database.write() as connection:
            connection.execute(query.values(journaled_at=self._database.clock.now()))

    def places(self, batch: str) -> Sequence[str]:
        """Return where nights of a batch were bought, the first place first."""
        columns = night_places.c
        query = (
            select(columns.place)
            .where(columns.batch == batch)
            .group_by(columns.place)
            .order_by(func.min(columns.first_at))
        )
        with self._database.read() as connection:
            return connection.execute(query).scalars().all()

    def partition_times(self, batch: str) -> Mapping[str, datetime | None]:
        """Return when each night of a batch last changed, by partition key; None: it is closed."""
        columns = nights.c
        changed_at = case((columns.closed_at.is_(None), columns.changed_at))
        query = select(columns.partition_key, changed_at).where(columns.batch == batch)
        with self._database.read() as connection:
            return {row[0]: row[1] for row in connection.execute(query)}

    def _regenerated(self, change: NightChange, taken: Sequence[JournalEntry]) -> None:
        for again in {entry.regeneration for entry in taken if entry.regeneration is not None}:
            query = self._database.upsert(regenerations).values(regeneration_values(again))
            change.connection.execute(query.on_conflict_do_nothing())


def _is_place(night: Night, place: str) -> tuple[Any, Any, Any]:
    return *of_night(night, night_places), night_places.c.place == place


def _freeze_what_was_planned(change: NightChange) -> None:
    """Freeze a night that was planned here: another plan would replace what is not imported."""
    if change.before["frozen_at"] is not None:
        return
    query = (
        select(submissions.c.submission_key)
        .where(*of_night(change.night), submissions.c.intents == 0)
        .limit(1)
    )
    if change.connection.execute(query).first() is not None:
        change.set(frozen_at=change.now)


def _take(change: NightChange, entry: JournalEntry) -> bool:
    """Make a row what the entry says; False: the ledger knows as much."""
    sent = entry.sent
    row = change.find_submission(sent.submission_key)
    if row is None:
        change.add([planned_values(sent, plan_values(entry.plan))])
        row = change.lock_submission(sent.submission_key)
    elif row["intents"] >= sent.intents:
        return False
    if row["provider_run_id"] is not None:
        detach_outputs(change, sent.submission_key, row["provider_run_id"])
    facts = {name: getattr(sent, name) for name in _FROM_ENTRY}
    change.write(
        [row],
        **{**RUN_COLUMNS_RESET, **facts},
        estimate_usd=sent.reserved_usd,
        parameters=dict(sent.parameters),
        ask=None,  # requests were counted by the ledger that sent it
        refusal=None,
        state=_S.UNRESOLVED.value,
        reason=f"{_WHY} ({sent.intents})",
    )
    _remember_decisions(change, entry)
    return True


def _remember_decisions(change: NightChange, entry: JournalEntry) -> None:
    """Import earlier decisions: a submission with any decision is never replayed."""
    key, columns = entry.sent.submission_key, settlements.c
    query = select(columns.action, columns.at).where(columns.submission_key == key)
    known = {(row[0], row[1]) for row in change.connection.execute(query)}
    values = [
        {"submission_key": key, **decision._asdict()}
        for decision in entry.decisions
        if (decision.action, decision.at) not in known
    ]
    if values:
        change.connection.execute(insert(settlements), values)


def _hold(change: NightChange, generation: int) -> None:
    """Hold the night until somebody asks for it: decisions made since this copy are lost."""
    sent = sum(count for state, count in change.counts.items() if state not in NOT_SENT)
    before = change.before
    change.set(
        generation=max(before["generation"], generation),
        marked_at=before["marked_at"] or change.now,
        submit_goal=sent,
        submit_attempts=0,
        collect_attempts=0,
    )
    table = select(prompt_rows.c.position).where(*of_night(change.night, prompt_rows))
    if change.connection.execute(table.limit(1)).first() is not None:
        mark_stale(change)
        note_stale(change)
