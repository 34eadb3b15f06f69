"""How long runs take is measured, and what an account has before it is counted."""

from __future__ import annotations

from datetime import timedelta

import pytest

from flow_pipelines.ledger.records import RunTime, Workload
from flow_pipelines.ledger.timing import KEPT
from flow_pipelines_tests.conformance.ledger.desk import PROVIDER, Desk, S, key_of, new_night


def _times(desk: Desk) -> list[tuple[float, float]]:
    found = desk.ledger.run_times(PROVIDER, "version-1")
    return [(one.at_least_seconds, one.at_most_seconds) for one in found]


def test_a_run_took_from_the_last_poll_at_work_to_the_one_that_found_its_end(desk: Desk) -> None:
    night = new_night()
    desk.plan(night)
    key = key_of(night, 0)
    desk.submit(key)

    desk.clock.advance(20)
    desk.poll(key, S.RUNNING)
    desk.clock.advance(15)
    desk.poll(key, S.SUCCEEDED)

    assert desk.ledger.run_times(PROVIDER, "version-1") == [
        RunTime(at_least_seconds=20, at_most_seconds=35)
    ]
    assert desk.ledger.run_times(PROVIDER, "version-2") == []


@pytest.mark.parametrize(
    ("said", "bounds"),
    [
        ({"flotime_ms": 12_000}, (12, 30)),
        ({"run_ms": 90_000}, (30, 30)),
        ({}, (0, 30)),
    ],
)
def test_what_the_provider_says_narrows_the_bounds(desk: Desk, said, bounds) -> None:
    night = new_night()
    desk.plan(night)
    desk.submit(key_of(night, 0))
    desk.clock.advance(30)

    desk.poll(key_of(night, 0), S.SUCCEEDED, **said)

    assert _times(desk) == [bounds]


@pytest.mark.parametrize(("ended_after", "bounds"), [(25, (25, 25)), (-500, (0, 30))])
def test_an_end_that_is_told_is_exact_unless_clocks_disagree(
    desk: Desk, ended_after: float, bounds: tuple[float, float]
) -> None:
    night = new_night()
    desk.plan(night)
    desk.submit(key_of(night, 0))
    ended_at = desk.clock.now() + timedelta(seconds=ended_after)
    desk.clock.advance(30)

    desk.poll(key_of(night, 0), S.SUCCEEDED, finished_at=ended_at)

    assert _times(desk) == [bounds]


def test_failed_runs_teach_nothing_about_good_ones(desk: Desk) -> None:
    night = new_night()
    desk.plan(night)
    desk.submit(key_of(night, 0))

    desk.poll(key_of(night, 0), S.FAILED)

    assert _times(desk) == []


def test_a_workflow_keeps_a_bounded_number_of_run_times(desk: Desk) -> None:
    night, rows = new_night(), range(40)
    desk.plan(night, rows)
    for number in rows:
        desk.submit(key_of(night, number))
        desk.poll(key_of(night, number), S.SUCCEEDED)

    assert 30 <= len(_times(desk)) <= min(len(rows), KEPT)


def test_what_waits_counts_only_while_somebody_submits(desk: Desk) -> None:
    night, other = new_night(), new_night()
    desk.plan(night, range(3))
    desk.plan(other, range(5))
    assert desk.ledger.workload("floyo") == Workload(waiting=0, in_flight=0)

    desk.submit(key_of(night, 0))

    assert desk.ledger.workload("floyo") == Workload(waiting=2, in_flight=1)
    assert desk.ledger.workload("another") == Workload(waiting=0, in_flight=0)
    desk.clock.advance(61)
    assert desk.ledger.workload("floyo") == Workload(waiting=0, in_flight=1)


def test_what_is_in_flight_is_listed_and_claimed_by_nobody(desk: Desk) -> None:
    night = new_night()
    desk.plan(night, range(3))
    for number, delay in enumerate((30, 10)):
        desk.submit(key_of(night, number), poll_in=delay)
    asked = {"provider": PROVIDER, "resource": PROVIDER}

    listed = [one.submission_key for one in desk.ledger.in_flight(**asked)]

    assert listed == [key_of(night, 1), key_of(night, 0)]
    assert len(desk.ledger.in_flight(**asked, limit=1)) == 1
    desk.clock.advance(30)
    assert len(desk.ledger.claim_due("one", **asked)) == 2


def test_a_poll_is_brought_forward_and_never_put_off(desk: Desk) -> None:
    night = new_night()
    desk.plan(night)
    key, now = key_of(night, 0), desk.clock.now()
    desk.submit(key, poll_in=60)

    desk.ledger.mark_due(key, now + timedelta(seconds=20))
    desk.ledger.mark_due(key, now + timedelta(seconds=40))

    assert desk.ledger.submission(key).next_poll_at == now + timedelta(seconds=20)
