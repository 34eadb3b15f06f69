"""Hosts whose clocks differ. What is guaranteed, and what only costs time.

Leases are counted on each host's own clock. A holder renews every 15 s what lasts for 45 s, so a
host whose clock is less than 30 s ahead never takes the lease of a living one. Beyond that it may:
the first host then ends its submitting with a message. Money does not depend on clocks at all. A
submission leaves `planned` once, in a transaction, so two that believe in the same lease cannot
both send it; and the answer to a request that somebody gave up for lost is still written.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

import pytest

from flow_pipelines.lifecycle import recover, submit_lease, submit_night
from flow_pipelines.lifecycle.ports import LEASE_SECONDS
from flow_pipelines.lifecycle.replay import CLAIM_SECONDS, EARLIEST
from flow_pipelines.provider import SubmitRequest
from flow_pipelines.transport import Timeouts
from flow_pipelines_tests.faults.processes import jobs
from flow_pipelines_tests.faults.processes.meanwhile import another_host
from flow_pipelines_tests.faults.processes.shared_setup import ROWS, Host, SharedSetup
from flow_pipelines_tests.faults.processes.verdict import assert_bought_once
from flow_pipelines_tests.faults.processes.worker_process import WorkerProcesses
from flow_pipelines_tests.unit.lifecycle.conftest import LifecycleHarness

AHEAD_SECONDS = (0.0, 40.0, -40.0, 90.0)
"""Of the hosts that fight for one night; a lease lasts 45 s."""
SKEW_SECONDS = 30.0


@pytest.mark.parametrize("ahead_seconds", [-300.0, -29.0, 29.0])
def test_a_host_less_than_half_a_minute_ahead_never_takes_a_living_lease(
    harness: LifecycleHarness, ahead_seconds: float
) -> None:
    name = submit_lease(harness.night)
    with another_host(harness, ahead_seconds=ahead_seconds) as ports:
        for second in range(120):
            if second % (LEASE_SECONDS / 3) == 0:
                assert harness.ledger.acquire_lease(name, "first", LEASE_SECONDS)
            assert not ports.ledger.acquire_lease(name, "second", LEASE_SECONDS)
            harness.clock.advance(1)


def test_a_host_that_is_behind_waits_longer_for_the_lease_of_a_dead_one(
    harness: LifecycleHarness,
) -> None:
    name = submit_lease(harness.night)
    harness.ledger.acquire_lease(name, "dead", LEASE_SECONDS)
    with another_host(harness, ahead_seconds=-SKEW_SECONDS) as ports:
        harness.clock.advance(LEASE_SECONDS + SKEW_SECONDS - 1)
        assert not ports.ledger.acquire_lease(name, "second", LEASE_SECONDS)
        harness.clock.advance(1)
        assert ports.ledger.acquire_lease(name, "second", LEASE_SECONDS)


@pytest.mark.parametrize("holder", ["run-1", "run-2"])
def test_a_host_far_ahead_takes_the_lease_within_a_post_and_nothing_is_sent_twice(
    harness: LifecycleHarness, holder: str
) -> None:
    """Whether the first gets its lease back by renewing it, or the second still has it."""
    harness.plan("a cat", "a dog", "a bird")
    told: list[tuple[int, int]] = []

    def meanwhile(_request: SubmitRequest, number: int) -> None:
        if number != 2:
            return
        harness.clock.advance(14)
        with another_host(harness, ahead_seconds=40) as ports:
            parked = recover(ports).parked
            summary = submit_night(harness.settings, harness.night, ports, owner="run-2")
            told.append((parked, summary.submitted))
        assert harness.ledger.acquire_lease(submit_lease(harness.night), holder, LEASE_SECONDS)

    harness.provider.on_submit = meanwhile
    summary = harness.submit()

    assert told == [(1, 1)]
    assert summary.submitted == 2
    assert harness.states() == ["submitted"] * 3
    sent = [request.submission_key for request in harness.provider.posts]
    assert len(sent) == len(set(sent)) == 3


def test_a_submitter_whose_lease_was_taken_stops_before_its_next_post(
    harness: LifecycleHarness,
) -> None:
    harness.plan("a cat", "a dog")

    def meanwhile(_request: SubmitRequest, _number: int) -> None:
        harness.clock.advance(14)
        with another_host(harness, ahead_seconds=40) as ports:
            assert ports.ledger.acquire_lease(submit_lease(harness.night), "run-2", LEASE_SECONDS)

    harness.provider.on_submit = meanwhile
    summary = harness.submit()

    assert summary.submitted == summary.left_planned == 1
    assert "held by run-2, not by run-1" in str(summary.stopped)
    assert not summary.needs_person


def test_hosts_that_disagree_about_the_time_fight_for_a_night_and_it_is_billed_once(
    setup: SharedSetup, host: Host, workers: WorkerProcesses, names: Sequence[str]
) -> None:
    each = [[name, ahead] for name, ahead in zip(names, AHEAD_SECONDS, strict=False)]

    fighting = workers.together(jobs.go_on_buying, setup, each)
    outcomes = [worker.outcome() for worker in fighting]

    assert [outcome.error for outcome in outcomes] == [""] * len(names)
    assert_bought_once(host, runs=ROWS)


def test_a_copy_is_sent_only_once_the_first_has_surely_ended_on_any_host() -> None:
    timeouts = Timeouts()
    longest = timedelta(seconds=timeouts.connect_seconds + timeouts.read_seconds)
    skew = timedelta(seconds=SKEW_SECONDS)
    assert longest + skew < EARLIEST
    assert longest + skew < timedelta(seconds=CLAIM_SECONDS)
