"""Moments at which somebody else acts, one at a time and to the instant."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from flow_pipelines.lifecycle import (
    agenda,
    collect_night,
    poll_due,
    regenerate,
    submit_night,
    wait_for_night,
)
from flow_pipelines.model import RunReport, SubmissionState
from flow_pipelines_tests.faults.hands.meanwhile import Meanwhile
from flow_pipelines_tests.unit.lifecycle.conftest import Lab

AFTER_THE_LEASE = 46.0


def running(run: str) -> RunReport:
    return RunReport(
        provider_run_id=run, state=SubmissionState.RUNNING, provider_status="processing"
    )


def wait(lab: Lab) -> None:
    wait_for_night(lab.ports, lab.night, owner="waits", wait_seconds=600)


def test_a_slow_poller_does_not_ask_after_runs_that_another_has_taken_over(lab: Lab) -> None:
    lab.plan("a cat", "a dog", "a bird")
    lab.submit()
    lab.clock.advance(10)
    asked: list[tuple[str, float]] = []

    def poll(owner: str) -> None:
        poll_due(lab.ports, owner=owner, budget_seconds=300)

    def slowly(run: str) -> RunReport:
        asked.append((run, lab.clock.monotonic()))
        if len(asked) <= 2:
            lab.clock.advance(31)
            if len(asked) == 2:
                poll("another")
        return running(run)

    lab.provider.on_poll = slowly
    poll("slow")

    assert len(asked) > 3
    for run in lab.provider.runs:
        times = [at for name, at in asked if name == run]
        assert all(later - sooner >= 6 for sooner, later in pairwise(times)), (run, times)


def test_a_night_that_was_collected_while_it_was_looked_at_is_not_asked_for_again(
    lab: Lab,
) -> None:
    lab.plan("a cat")
    lab.submit()
    wait(lab)

    def finish() -> None:
        collect_night(lab.night, lab.ports, owner="run-1")

    found = agenda(
        Meanwhile(lab.ledger, "nights_to_do", finish), lab.clock, batches=[lab.night.batch]
    )

    assert found.todos == ()


def test_a_night_that_was_bought_while_it_was_looked_at_is_not_asked_for_again(lab: Lab) -> None:
    lab.plan("a cat", "a dog")
    lab.submit(limit=1)
    lab.ledger.note_submitter(lab.night, None, None)

    found = agenda(
        Meanwhile(lab.ledger, "nights_to_do", lab.submit), lab.clock, batches=[lab.night.batch]
    )

    assert found.todos == ()
    assert len(lab.provider.runs) == 2


def test_a_night_that_another_began_just_now_is_no_other_ledgers(lab: Lab) -> None:
    lab.plan("a cat", "a dog")

    def begin() -> None:
        lab.submit("another", limit=1)

    ports = replace(lab.ports, ledger=Meanwhile(lab.ledger, "night", begin))
    summary = submit_night(lab.settings, lab.night, ports, owner="run")

    assert summary.submitted == 1
    assert len(lab.provider.runs) == 2


@pytest.mark.parametrize("scope", ["failed", "all"])
def test_of_two_regenerations_at_once_one_plans_the_rows(lab: Lab, scope: str) -> None:
    lab.plan("a cat", "a dog")
    lab.provider.on_poll = lambda run: replace(running(run), state=SubmissionState.FAILED)
    lab.submit()
    wait(lab)

    def ask(requested_by: str, ledger: Any = lab.ledger) -> int:
        ports = replace(lab.ports, ledger=ledger)
        asked = {"requested_by": requested_by, "scope": scope}
        return regenerate(lab.settings, lab.night, ports, **asked).rows

    second: list[int] = []
    first = ask(
        "backfill-1",
        Meanwhile(lab.ledger, "save_workflow", lambda: second.append(ask("backfill-2"))),
    )

    assert (first, second) == (0, [2])
    lab.submit()
    assert len(lab.provider.runs) == 4


def test_tables_of_a_collector_that_slept_never_hide_what_came_later(lab: Lab) -> None:
    lab.plan("a cat", "a dog")
    lab.submit()
    lab.provider.on_poll = lambda run: running(run) if run == "run_0002" else None
    lab.clock.advance(10)
    poll_due(lab.ports, owner="sensor", budget_seconds=30)

    def sleep_too_long() -> None:
        lab.clock.advance(AFTER_THE_LEASE)
        lab.provider.on_poll = lambda _run: None
        wait(lab)
        collect_night(lab.night, lab.ports, owner="second")

    store = Meanwhile(lab.store, "put", sleep_too_long, before=True)
    collect_night(lab.night, replace(lab.ports, store=store), owner="first")

    def rows(table: str) -> list[dict[str, Any]]:
        content = lab.store.get(lab.store.key(*lab.night, f"{table}.parquet"))
        return pq.read_table(pa.BufferReader(content)).to_pylist()

    assert [row["status"] for row in rows("runs")] == ["succeeded", "succeeded"]
    assert len(rows("manifest")) == 2
    assert agenda(lab.ledger, lab.clock, batches=[lab.night.batch]).todos == ()
