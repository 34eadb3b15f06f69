"""Replan a night: add, rewrite or drop rows that no provider accepted; leave accepted ones."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from sqlalchemy import ColumnElement, RowMapping, Select, exists, func, select

from flow_pipelines.ledger.changing import NightChange, of_night
from flow_pipelines.ledger.column_types import storable
from flow_pipelines.ledger.contract import OURSELVES
from flow_pipelines.ledger.rows import plan_values, planned_values
from flow_pipelines.ledger.schema import settlements, submissions
from flow_pipelines.model import NightPlan, PlannedRow, SubmissionState

Render = Callable[[int], Sequence[PlannedRow]]
_S = SubmissionState
_s = submissions.c
_LEFT = "its row left the prompt table before anything was accepted for it"
_MENDED = "its request has changed since it was refused"
_REQUEST = ("request_hash", "provider", "resource", "workflow")
"""A planned row that differs in one of these is another purchase than the one asked for."""
_COMPARED = (*_REQUEST, "workflow_version", "content_hash", "row_number", "prompt", "seed")
_REFUSED_FOR = ("request_hash", "provider")
"""A refused row that differs in none of these would be refused again."""
_OF_THE_ROW = ("content_hash", "row_number", "prompt")
_PERSONS_WORD = "on_a_persons_word"
_KEPT_TRUE = ("submission_key", *_OF_THE_ROW)


def follow_table(
    change: NightChange, plan: NightPlan, planned: Sequence[PlannedRow], render: Render | None
) -> int:
    """Update never accepted rows from the table; return how many rows are to be sent anew.

    Nothing happens to a night that has sent something and has no such row. `render` gives the
    table's rows for another generation than 0, whose rows are left as they are without it.
    """
    frozen = change.before["frozen_at"] is not None
    loose: Sequence[RowMapping] = list(_never_accepted(change))
    if frozen and not loose:
        return 0
    change.set(**plan_values(plan))
    if not frozen:
        loose = _forget(change, loose, {row.submission_key for row in planned})
    table = _Table(change, plan, planned, render, loose)
    kept = sum(new is not None for _, new in table.loose[_S.PLANNED])
    mended = _mend_planned(change, table)
    others = _mend_refused(change, table) + _plan_new(change, table)
    return others + (mended if frozen else kept)


class _Table:
    """Submissions that may still change, each with the values that the table has for it now."""

    def __init__(
        self,
        change: NightChange,
        plan: NightPlan,
        planned: Sequence[PlannedRow],
        render: Render | None,
        loose: Sequence[RowMapping],
    ) -> None:
        self.plan, self.planned = plan_values(plan), planned
        asked = change.before["marked_at"] is not None or change.before["asks"] > 0
        self.next_ask: int = change.before["asks"] + asked
        wanted = {row.submission_key: row for row in planned}
        rendered = {0}
        for generation in {row["generation"] for row in loose} - {0} if render else ():
            wanted |= {row.submission_key: row for row in render(generation)} if render else {}
            rendered.add(generation)
        self.loose: Mapping[SubmissionState, list[tuple[RowMapping, dict[str, Any] | None]]]
        self.loose = defaultdict(list)
        for row in (row for row in loose if row["generation"] in rendered):
            new = wanted.get(row["submission_key"])
            if new is not None and row[_PERSONS_WORD]:
                continue
            values = None if new is None else planned_values(new, self.plan)
            self.loose[_S(row["state"])].append((row, values))


def _never_accepted(change: NightChange) -> Iterator[RowMapping]:
    """Yield, locked, planned rows and refused rows that no newer generation replaced.

    What a person said was not created may have been, and its answer may come yet: such a row keeps
    what its last intent was sent with, while it is in the table.
    """
    query: Select[Any] = (
        select(submissions, _on_a_persons_word().label(_PERSONS_WORD))
        .where(*of_night(change.night), _s.state.in_((_S.FAILED, _S.PLANNED)))
        .where(_s.provider_run_id.is_(None))
        .order_by(_s.submission_key)
        .with_for_update()
    )
    rows = change.connection.execute(query).mappings().all()
    newest = _newest(change) if any(row["state"] == _S.FAILED for row in rows) else {}
    for row in rows:
        known = (row["prompt_id"], row["copy"])
        if row["state"] == _S.PLANNED or newest[known] == row["generation"]:
            yield row


def _on_a_persons_word() -> ColumnElement[bool]:
    columns = settlements.c
    return exists().where(
        columns.submission_key == _s.submission_key,
        columns.action == "settle_not_created",
        columns.who != OURSELVES,
    )


def _newest(change: NightChange) -> dict[tuple[str, int], int]:
    """Return the highest generation of each row and copy."""
    query = (
        select(_s.prompt_id, _s.copy, func.max(_s.generation))
        .where(*of_night(change.night))
        .group_by(_s.prompt_id, _s.copy)
    )
    return {(row[0], row[1]): row[2] for row in change.connection.execute(query)}


def _forget(
    change: NightChange, loose: Sequence[RowMapping], wanted: set[str]
) -> Sequence[RowMapping]:
    """Take out of generation 0 what is not in the table, and what was skipped or canceled.

    Of a night that never sent anything: what a person asked to regenerate stays, it is bought.
    """
    gone = {
        row["submission_key"]: row
        for row in loose
        if not row["generation"] and not row["intents"] and row["submission_key"] not in wanted
    }
    dropped = select(_s.submission_key).where(
        *of_night(change.night),
        _s.generation == 0,
        _s.state.in_((_S.SKIPPED, _S.CANCELED)),
        _s.intents == 0,
    )
    keys = change.connection.execute(dropped).scalars().all()
    change.remove([*gone.values(), *change.lock_submissions(keys)])
    return [row for row in loose if row["submission_key"] not in gone]


def _mend_planned(change: NightChange, table: _Table) -> int:
    planned = table.loose[_S.PLANNED]
    change.move([row for row, new in planned if new is None], _S.CANCELED, reason=_LEFT)
    changed = [(row, new) for row, new in planned if new and _differs(row, new, _COMPARED)]
    anew = [row for row, new in changed if _differs(row, new, _REQUEST)]
    change.write(anew, waits_for=table.next_ask)
    change.rewrite([new for _, new in changed])
    return len(anew)


def _mend_refused(change: NightChange, table: _Table) -> int:
    refused = table.loose[_S.FAILED]
    cleared = {"error_code": None, "error_message": None}
    gone = [row for row, new in refused if new is None]
    change.move(gone, _S.PLANNED, **cleared)
    keys = [row["submission_key"] for row in gone]
    change.move(change.lock_submissions(keys), _S.CANCELED, reason=_LEFT)
    in_table = [(row, new) for row, new in refused if new]
    mended = [(row, new) for row, new in in_table if _differs(row, new, _REFUSED_FOR)]
    rows = [row for row, _ in mended]
    change.move(rows, _S.PLANNED, reason=_MENDED, waits_for=table.next_ask, **cleared)
    change.lower_goal(len(gone) + len(rows))
    change.rewrite([new for _, new in mended])
    same = [(row, new) for row, new in in_table if not _differs(row, new, _REFUSED_FOR)]
    retold = [new for row, new in same if _differs(row, new, _OF_THE_ROW)]
    change.rewrite([{name: new[name] for name in _KEPT_TRUE} for new in retold])
    return len(mended)


def _plan_new(change: NightChange, table: _Table) -> int:
    known = _newest(change).keys()
    new = [row for row in table.planned if (storable(row.prompt_id), row.copy) not in known]
    values = (planned_values(row, table.plan) for row in new)
    change.add(values, waits_for=table.next_ask)
    return len(new)


def _differs(row: RowMapping, new: dict[str, Any], names: Sequence[str]) -> bool:
    return any(row[name] != _kept(new[name]) for name in names)


def _kept(value: Any) -> Any:
    return storable(value) if isinstance(value, str) else value
