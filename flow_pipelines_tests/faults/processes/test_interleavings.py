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
from flow_pipelines_tests.faults.processes.meanwhile import Meanwhile
from flow_pipelines_tests.unit.lifecycle.conftest import LifecycleHarness

AFTER_THE_LEASE = 46.0


def running(run: str) -> RunReport:
    return RunReport(
        provider_run_id=run, state=SubmissionState.RUNNING, provider_status="processing"
    )


def wait(harness: LifecycleHarness) -> None:
    wait_for_night(harness.ports, harness.night, owner="waits", wait_seconds=600)


def test_a_slow_poller_does_not_ask_after_runs_that_another_has_taken_over(
    harness: LifecycleHarness,
) -> None:
    harness.plan("a cat", "a dog", "a bird")
    harness.submit()
    harness.clock.advance(10)
    asked: list[tuple[str, float]] = []

    def poll(owner: str) -> None:
        poll_due(harness.ports, owner=owner, budget_seconds=300)

    def slowly(run: str) -> RunReport:
        asked.append((run, harness.clock.monotonic()))
        if len(asked) <= 2:
            harness.clock.advance(31)
            if len(asked) == 2:
                poll("another")
        return running(run)

    harness.provider.on_poll = slowly
    poll("slow")

    assert len(asked) > 3
    for run in harness.provider.runs:
        times = [at for name, at in asked if name == run]
        assert all(later - sooner >= 6 for sooner, later in pairwise(times)), (run, times)


def test_a_night_that_was_collected_while_it_was_looked_at_is_not_asked_for_again(
    harness: LifecycleHarness,
) -> None:
    harness.plan("a cat")
    harness.submit()
    wait(harness)

    def finish() -> None:
        collect_night(harness.night, harness.ports, owner="run-1")

    found = agenda(
        Meanwhile(harness.ledger, "nights_to_do", finish),
        harness.clock,
        batches=[harness.night.batch],
    )

    assert found.todos == ()


def test_a_night_that_was_bought_while_it_was_looked_at_is_not_asked_for_again(
    harness: LifecycleHarness,
) -> None:
    harness.plan("a cat", "a dog")
    harness.submit(limit=1)
    harness.ledger.note_submitter(harness.night, None, None)

    found = agenda(
        Meanwhile(harness.ledger, "nights_to_do", harness.submit),
        harness.clock,
        batches=[harness.night.batch],
    )

    assert found.todos == ()
    assert len(harness.provider.runs) == 2


def test_a_night_that_another_began_just_now_is_no_other_ledgers(harness: LifecycleHarness) -> None:
    harness.plan("a cat", "a dog")

    def begin() -> None:
        harness.submit("another", limit=1)

    ports = replace(harness.ports, ledger=Meanwhile(harness.ledger, "night", begin))
    summary = submit_night(harness.settings, harness.night, ports, owner="run")

    assert summary.submitted == 1
    assert len(harness.provider.runs) == 2


@pytest.mark.parametrize("scope", ["failed", "all"])
def test_of_two_regenerations_at_once_one_plans_the_rows(
    harness: LifecycleHarness, scope: str
) -> None:
    harness.plan("a cat", "a dog")
    harness.provider.on_poll = lambda run: replace(running(run), state=SubmissionState.FAILED)
    harness.submit()
    wait(harness)

    def ask(requested_by: str, ledger: Any = harness.ledger) -> int:
        ports = replace(harness.ports, ledger=ledger)
        asked = {"requested_by": requested_by, "scope": scope}
        return regenerate(harness.settings, harness.night, ports, **asked).rows

    second: list[int] = []
    first = ask(
        "backfill-1",
        Meanwhile(harness.ledger, "save_workflow", lambda: second.append(ask("backfill-2"))),
    )

    assert (first, second) == (0, [2])
    harness.submit()
    assert len(harness.provider.runs) == 4


def test_tables_of_a_collector_that_slept_never_hide_what_came_later(
    harness: LifecycleHarness,
) -> None:
    harness.plan("a cat", "a dog")
    harness.submit()
    harness.provider.on_poll = lambda run: running(run) if run == "run_0002" else None
    harness.clock.advance(10)
    poll_due(harness.ports, owner="sensor", budget_seconds=30)

    def sleep_too_long() -> None:
        harness.clock.advance(AFTER_THE_LEASE)
        harness.provider.on_poll = lambda _run: None
        wait(harness)
        collect_night(harness.night, harness.ports, owner="second")

    store = Meanwhile(harness.store, "put", sleep_too_long, before=True)
    collect_night(harness.night, replace(harness.ports, store=store), owner="first")

    def rows(table: str) -> list[dict[str, Any]]:
        content = harness.store.get(harness.store.key(*harness.night, f"{table}.parquet"))
        return pq.read_table(pa.BufferReader(content)).to_pylist()

    assert [row["status"] for row in rows("runs")] == ["succeeded", "succeeded"]
    assert len(rows("manifest")) == 2
    assert agenda(harness.ledger, harness.clock, batches=[harness.night.batch]).todos == ()
