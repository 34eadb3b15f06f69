"""Plan nights and regenerations; record requests to buy (each new one lifts the night's stop)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from decimal import Decimal
from typing import Any

from sqlalchemy import Connection, delete, insert, select

from flow_pipelines.ledger.changing import NightChange, changing_night, locked_night, of_night
from flow_pipelines.ledger.database import Database, chunks
from flow_pipelines.ledger.mending import Render, follow_table
from flow_pipelines.ledger.records import PlanOutcome
from flow_pipelines.ledger.rows import (
    COUNT_COLUMNS,
    plan_values,
    planned_values,
    prompt_row_values,
    regeneration_values,
    to_prompt_row,
    to_regeneration,
)
from flow_pipelines.ledger.schema import (
    ASK_COUNTS,
    nights,
    prompt_rows,
    regenerations,
    submissions,
    workflows,
)
from flow_pipelines.model import (
    Night,
    NightPlan,
    PlannedRow,
    PromptRow,
    Regeneration,
    SubmissionState,
    Workflow,
)
from flow_pipelines.model.errors import LedgerError


class Planning:
    """Plans, regenerations and requests to buy; `contract` says what holds for every method."""

    _database: Database

    def save_workflow(self, workflow: Workflow) -> None:
        """Keep a workflow under its version. Keeping it twice is fine."""
        with self._database.write() as connection:
            keep_workflow(self._database, connection, workflow)

    def workflow(self, version: str) -> Workflow:
        """Return a kept workflow. Raises: LedgerError, when it was never kept."""
        query = select(workflows.c.content).where(workflows.c.version == version)
        with self._database.read() as connection:
            content = connection.execute(query).scalar_one_or_none()
        if content is None:
            raise LedgerError(f"workflow version {version} was never kept in this ledger")
        return Workflow.from_json(content)

    def plan(
        self,
        plan: NightPlan,
        rows: Sequence[PromptRow],
        planned: Sequence[PlannedRow],
        render: Render | None = None,
    ) -> PlanOutcome:
        """Plan a night, or let what of it was never accepted follow the table as it is now.

        The table's `rows` are remembered either way (for regenerations and `stale`). While no
        intent was ever written, `planned` takes the place of what was planned before in
        generation 0, skipped and canceled rows included; what was imported stays. From the first
        intent on, what was or may have been accepted is frozen, and skipped and canceled rows
        stay. What was never accepted is `planned`, or `failed` without a provider run and with no
        newer generation:

        - a planned row takes the row, workflow, provider and account of now, in its generation
          (`render` gives the table's rows for another than 0); its intents stay counted;
        - a refused row becomes planned when its request differs from the refused one, else stays;
        - either is canceled, with that reason, when its row has left the table;
        - one that a person settled as not created keeps the request that it was sent with, while
          its row is in the table: its run may turn up;
        - while a night has such rows, it takes this NightPlan, and new rows are planned; in a
          night without them they are counted as stale.

        What is to be sent anew by this waits for the next ask (`note_ask`) where the night was
        asked for before: no sensor buys it. A frozen row whose `content_hash` differs, or that is
        gone, is marked stale; one that came back is not stale any more.
        """
        _require_generation(planned, 0)
        with self._database.write() as connection:
            ensure_night(self._database, connection, plan)
            with locked_night(self._database, connection, plan.night) as change:
                _write_prompt_rows(connection, plan.night, rows)
                change.set(latest_plan=plan_values(plan))
                to_send = follow_table(change, plan, planned, render)
                mark_stale(change)
                return PlanOutcome(planned=to_send, stale=note_stale(change))

    def count_to_send(self, plan: NightPlan, planned: Sequence[PlannedRow], render: Render) -> int:
        """Return how many rows would be planned after `plan`. Nothing is changed."""
        with self._database.write() as connection:
            ensure_night(self._database, connection, plan)
            with locked_night(self._database, connection, plan.night) as change:
                follow_table(change, plan, planned, render)
            connection.rollback()
        return change.counts[SubmissionState.PLANNED]

    def regenerate(
        self,
        night: Night,
        requested_by: str,
        scope: str,
        render: Callable[[int], Sequence[PlannedRow]],
        *,
        workflow_version: str | None = None,
    ) -> Regeneration:
        """Plan rows of a night again, once per (night, requested_by).

        They take the NightPlan as last planned, frozen night or not, and with it
        `workflow_version` where it is given: the version that `render` renders for.

        A first call takes the next generation, asks `render` for its rows and writes both; rows
        of a new generation do not clear `stale` on older submissions.
        `render` runs inside the transaction: it may read the ledger, and must not write to it.
        Every further call gives the regeneration of the first and plans nothing.
        """
        with changing_night(self._database, night) as change:
            first = _regeneration(change, requested_by)
            if first is not None:
                return first
            generation: int = change.before["generation"] + 1
            planned = render(generation)
            _require_generation(planned, generation)
            plan = dict(change.before["latest_plan"])
            if workflow_version is not None:
                plan["workflow_version"] = workflow_version
            change.set(generation=generation, **plan)
            change.add(planned_values(row, plan) for row in planned)
            change.touch()
            note_stale(change)
            regeneration = Regeneration(
                night=night,
                generation=generation,
                requested_by=requested_by,
                scope=scope,
                created_at=change.now,
                rows=len(planned),
            )
            change.connection.execute(
                insert(regenerations).values(regeneration_values(regeneration))
            )
            return regeneration

    def note_ask(self, night: Night, asked_by: str | None, stop_after_failures: int) -> None:
        """Record a request to buy this night, before anything is sent.

        If `asked_by` differs from the last request, or is empty, it is a new request: rows that
        waited for one may be sent, a stop is lifted, and the failure counters restart at 0
        (`NightRecord.asks`, `stopped`, `held`). None: a sensor continues the last request, none of
        this changes. In every case the night stops once the first `stop_after_failures` runs to
        end, of those sent since the request, have all failed. Moves no revision.
        """
        with changing_night(self._database, night) as change:
            change.set(stop_after_failures=stop_after_failures)
            anew = asked_by == "" or asked_by != change.before["asked_by"]
            if asked_by is not None and anew:
                change.set(asks=change.before["asks"] + 1, asked_by=asked_by, stopped=None)
                change.set(ask_accepted=0, ask_succeeded=0, ask_failed=0)
                change.held = 0

    def mark_night(self, night: Night) -> None:
        """Note that the bucket is about to be told of this night (`NightRecord.marked_at`)."""
        with changing_night(self._database, night) as change:
            change.set(marked_at=change.before["marked_at"] or change.now)

    def note_submitter(self, night: Night, backfill_id: str | None, goal: int | None) -> None:
        """Remember the backfill whose run submits for this night now, or that there is none, and
        how many submissions of the night may be sent in all before somebody asks again
        (`NightRecord.submit_goal`; None: all that are planned). Moves no revision."""
        with changing_night(self._database, night) as change:
            change.set(backfill_id=backfill_id, submit_goal=goal)

    def prompt_rows(self, night: Night) -> Sequence[PromptRow]:
        """Return the rows of the table as last planned, in their order."""
        query = select(prompt_rows).where(*of_night(night, prompt_rows))
        query = query.order_by(prompt_rows.c.position)
        with self._database.read() as connection:
            return [to_prompt_row(row) for row in connection.execute(query).mappings()]


def keep_workflow(database: Database, connection: Connection, workflow: Workflow) -> None:
    """Keep a workflow under its version, unless it is there."""
    query = database.upsert(workflows).values(
        version=workflow.version, content=workflow.to_json(), saved_at=database.clock.now()
    )
    connection.execute(query.on_conflict_do_nothing())


def ensure_night(database: Database, connection: Connection, plan: NightPlan) -> None:
    """Make the night of `plan`, unless it is there."""
    values = {
        **plan.night._asdict(),
        **plan_values(plan),
        **NEW_NIGHT,
        "latest_plan": plan_values(plan),
        "changed_at": database.clock.now(),
    }
    query = database.upsert(nights).values(values)
    connection.execute(query.on_conflict_do_nothing())


NEW_NIGHT: dict[str, Any] = {
    "generation": 0,
    "revision": 0,
    "collected_revision": 0,
    "attention": True,
    "submit_attempts": 0,
    "collect_attempts": 0,
    "reserved_usd": Decimal(0),
    "uncollected": 0,
    "stale": 0,
    **dict.fromkeys(ASK_COUNTS, 0),
    **dict.fromkeys(COUNT_COLUMNS.values(), 0),
}


def _require_generation(planned: Sequence[PlannedRow], generation: int) -> None:
    if any(row.generation != generation for row in planned):
        raise LedgerError(f"a row of another generation than {generation} was to be planned")
    if len({(row.prompt_id, row.copy) for row in planned}) != len(planned):
        raise LedgerError(f"a row and copy of generation {generation} was to be planned twice")


def _write_prompt_rows(connection: Connection, night: Night, rows: Sequence[PromptRow]) -> None:
    connection.execute(delete(prompt_rows).where(*of_night(night, prompt_rows)))
    values = (
        {**night._asdict(), "position": position, **prompt_row_values(row)}
        for position, row in enumerate(rows)
    )
    for chunk in chunks(values):
        connection.execute(insert(prompt_rows), chunk)


def _table(change: NightChange) -> dict[str, str]:
    """Return the content hash of every row of the table as last planned."""
    columns = prompt_rows.c
    query = select(columns.prompt_id, columns.content_hash)
    query = query.where(*of_night(change.night, prompt_rows))
    return {row[0]: row[1] for row in change.connection.execute(query)}


def mark_stale(change: NightChange) -> None:
    """Mark submissions that differ from the table as stale, and the others as not."""
    columns = submissions.c
    query = select(
        columns.submission_key,
        columns.prompt_id,
        columns.content_hash,
        columns.stale,
        (columns.state == SubmissionState.CANCELED) & columns.provider_run_id.is_(None),
    ).where(*of_night(change.night))
    table = _table(change)
    turned: dict[bool, list[str]] = {True: [], False: []}
    for key, prompt_id, content_hash, was_stale, never_bought in change.connection.execute(query):
        # What is neither in the table nor was ever bought is no picture of another text.
        gone = never_bought and prompt_id not in table
        stale = not gone and table.get(prompt_id) != content_hash
        if stale != was_stale:
            turned[stale].append(key)
    for stale, keys in turned.items():
        change.write(change.lock_submissions(keys), stale=stale)


def note_stale(change: NightChange) -> int:
    """Count what of the table the night does not show, by the newest generation of each row."""
    columns = submissions.c
    query = (
        select(columns.prompt_id, columns.copy, columns.stale)
        .where(*of_night(change.night))
        .order_by(columns.generation)
    )
    newest: dict[tuple[str, int], bool] = {
        (row[0], row[1]): row[2] for row in change.connection.execute(query)
    }
    total: int = sum(newest.values())
    if change.before["frozen_at"] is not None:
        total += len(_table(change).keys() - {prompt_id for prompt_id, _ in newest})
    change.set(stale=total)
    return total


def _regeneration(change: NightChange, requested_by: str) -> Regeneration | None:
    query = select(regenerations).where(
        *of_night(change.night, regenerations), regenerations.c.requested_by == requested_by
    )
    row = change.connection.execute(query).mappings().one_or_none()
    return None if row is None else to_regeneration(row)
