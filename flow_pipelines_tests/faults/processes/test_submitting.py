"""Several processes that would buy the same night: one does, and nothing is billed twice."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pytest

from flow_pipelines.clock import SystemClock
from flow_pipelines.lifecycle import plan_night, submit_night
from flow_pipelines.model import Night
from flow_pipelines_tests.faults.processes import jobs
from flow_pipelines_tests.faults.processes.shared_setup import (
    NIGHT,
    PROVIDER,
    ROWS,
    Host,
    SharedSetup,
)
from flow_pipelines_tests.faults.processes.verdict import assert_bought_once, bills
from flow_pipelines_tests.faults.processes.worker_process import WorkerProcesses

AFTER_THE_LEASE = 60.0
"""Seconds by which a later worker's clock has gone on: the lease of the dead has ended."""


def wait_until(told: Callable[[], bool]) -> None:
    """Wait for something that another process does."""
    clock = SystemClock()
    deadline = clock.monotonic() + 30
    while not told():
        assert clock.monotonic() < deadline, "it never happened"
        clock.sleep(0.02)


def slow_answer(setup: SharedSetup, seconds: float, **when: int) -> None:
    """Have the answer to a POST take long; the run is accepted, and billed, at once."""
    setup.control.add_fault(PROVIDER, "create_run", "slow_answer", seconds=seconds, **when)


def test_of_many_submitters_one_buys_and_the_others_say_so(
    setup: SharedSetup, host: Host, workers: WorkerProcesses, names: Sequence[str]
) -> None:
    slow_answer(setup, 2.0)

    started = workers.together(jobs.buy, setup, [[name] for name in names])
    outcomes = [worker.outcome() for worker in started]

    bought = [outcome.gave for outcome in outcomes if outcome.gave]
    refused = [outcome for outcome in outcomes if outcome.error]
    assert [(one["submitted"], one["stopped"]) for one in bought] == [(ROWS, None)]
    assert len(refused) == len(names) - 1
    assert {one.error for one in refused} == {"LeaseLost"}
    assert all("that run does this work, nothing was done here" in one.message for one in refused)
    assert_bought_once(host, runs=ROWS)


def test_when_the_winner_dies_in_a_post_another_goes_on_once_its_lease_has_ended(
    setup: SharedSetup, host: Host, workers: WorkerProcesses
) -> None:
    slow_answer(setup, 30.0, after=2)
    winner = workers.start(jobs.buy, setup, None, "winner")
    wait_until(lambda: bills(host) == 3)
    winner.kill()

    early = workers.start(jobs.buy, setup, None, "early").outcome()
    later = workers.start(jobs.recover_and_buy, setup, "later", AFTER_THE_LEASE).outcome()

    assert early.error == "LeaseLost"
    assert "held by winner" in early.message
    assert later.gave["parked"] == later.gave["found"] == 1
    assert later.gave["submitted"] == ROWS - 3
    assert_bought_once(host, runs=ROWS)


@pytest.mark.parametrize("crowd", ["postgresql"], indirect=True)
def test_a_winner_that_was_only_frozen_buys_nothing_more_when_it_wakes(
    setup: SharedSetup, host: Host, workers: WorkerProcesses
) -> None:
    slow_answer(setup, 3.0, after=1)
    winner = workers.start(jobs.buy, setup, None, "winner")
    wait_until(lambda: bills(host) == 2)
    winner.stop()

    later = workers.start(jobs.recover_and_buy, setup, "later", AFTER_THE_LEASE).outcome()
    winner.go_on()
    woken = winner.outcome()

    assert later.gave["submitted"] == ROWS - 2
    assert woken.gave["submitted"] == 2
    assert woken.gave["unresolved"] == 0
    assert_bought_once(host, runs=ROWS)


def test_pausing_from_another_process_stops_every_submitter_before_its_next_post(
    setup: SharedSetup, host: Host, workers: WorkerProcesses, names: Sequence[str]
) -> None:
    nights = [Night(NIGHT.batch, f"2026-11-{day:02}") for day, _ in enumerate(names, 1)]
    for night in nights:
        plan_night(setup.settings, night.partition_key, host.ports)
    slow_answer(setup, 2.0, count=len(names))
    gate = workers.gate(2)
    pausing = workers.start(jobs.press_pause, setup, gate)
    each = [[name, night] for name, night in zip(names, nights, strict=True)]
    buying = workers.together(jobs.buy, setup, each)
    wait_until(lambda: bills(host) == len(names))
    gate.wait(jobs.GATE_SECONDS)

    paused_at = pausing.outcome().gave
    summaries = [worker.outcome().gave for worker in buying]
    sent = [one for night in nights for one in host.ledger.submissions(night) if one.submitting_at]
    host.ledger.resume()
    for night in nights:
        submit_night(setup.settings, night, host.ports, owner="afterwards")

    assert all("paused by somebody" in str(summary["stopped"]) for summary in summaries)
    assert [summary["submitted"] for summary in summaries] == [1] * len(names)
    assert len(sent) == len(names)
    assert all(one.submitting_at <= paused_at for one in sent)
    assert_bought_once(host, *nights, runs=ROWS * len(names))
