"""Hosts of one ledger on PostgreSQL go by its time, however far off their own clocks are."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import replace
from datetime import timedelta

import pytest
import sqlalchemy as sa

from flow_pipelines.clock import SystemClock
from flow_pipelines.ledger import RunLedger, open_ledger
from flow_pipelines.ledger.database_clock import DatabaseClock
from flow_pipelines.lifecycle import submit_lease
from flow_pipelines.lifecycle.ports import LEASE_SECONDS
from flow_pipelines.provider import Purpose, TurnRequest
from flow_pipelines_tests.databases import PostgresServer
from flow_pipelines_tests.fakes import ManualClock
from flow_pipelines_tests.faults.processes.meanwhile import Skewed
from flow_pipelines_tests.unit.lifecycle.conftest import LifecycleHarness

OFF_SECONDS = (120.0, -120.0)
EXACT = timedelta(seconds=3)
"""Two readings on a busy machine."""
OpenHost = Callable[[float], RunLedger]


@pytest.fixture
def url(postgres_server: PostgresServer) -> Iterator[str]:
    url = postgres_server.ledger_database()
    yield url
    postgres_server.drop(url)


@pytest.fixture
def open_host(url: str) -> Iterator[OpenHost]:
    """Return what opens the ledger on a host whose clock is so many seconds ahead."""
    with ExitStack() as stack:
        yield lambda ahead: stack.enter_context(open_ledger(url, host=Skewed(SystemClock(), ahead)))


@pytest.mark.case(
    "a host whose clock was two minutes ahead took the live lease of another",
    "on PostgreSQL a lease is judged by the database's time, whatever the host's clock shows",
)
@pytest.mark.parametrize("off_seconds", OFF_SECONDS)
def test_a_live_lease_stays_its_holders_on_any_host(
    open_host: OpenHost, harness: LifecycleHarness, off_seconds: float
) -> None:
    name = submit_lease(harness.night)
    first, second = open_host(0.0), open_host(off_seconds)
    assert second.acquire_lease(name, "second", LEASE_SECONDS)
    assert not first.acquire_lease(name, "first", LEASE_SECONDS)
    second.release_lease(name, "second")
    assert first.acquire_lease(name, "first", LEASE_SECONDS)
    assert not second.acquire_lease(name, "second", LEASE_SECONDS)
    held = second.lease(name)
    assert held is not None
    assert held.owner == "first"


@pytest.mark.case(
    "of two hosts two minutes apart one took 120 turns in a minute of 60, and the other got none",
    "turns are counted in the database's time: both share one limit, and both have turns",
)
@pytest.mark.parametrize("off_seconds", OFF_SECONDS)
def test_hosts_that_are_minutes_apart_share_one_limit(
    open_host: OpenHost, off_seconds: float
) -> None:
    hosts = [open_host(0.0), open_host(off_seconds)]

    request = TurnRequest(
        interval_seconds=1.0, burst=10, patience_seconds=30.0, purpose=Purpose.SUBMIT
    )

    clock = SystemClock()
    began = clock.monotonic()
    given = [ledger.pace.reserve("floyo", request) for _ in range(30) for ledger in hosts]
    took = clock.monotonic() - began

    at_once = [wait for wait in given if wait is not None and wait < 1.0]
    assert 10 <= len(at_once) <= 10 + took + 1  # a turn comes back in each second
    assert all(wait is not None for wait in given[:30])
    of_each = [sum(wait is not None for wait in given[number::2]) for number in (0, 1)]
    assert abs(of_each[0] - of_each[1]) <= 1


@pytest.mark.case(
    "with the ledger's time for leases and its own for what stood still, a host two minutes ahead "
    "sends nothing",
    "the age of an intent is taken in the ledger's time, too",
)
@pytest.mark.parametrize("off_seconds", OFF_SECONDS)
def test_a_host_that_is_minutes_off_buys_and_reserves_by_the_ledgers_time(
    open_host: OpenHost, harness: LifecycleHarness, off_seconds: float
) -> None:
    ledger = open_host(off_seconds)
    away = replace(harness, ledger=ledger, clock=ledger.clock)
    away.plan("a cat", "a dog")

    summary = away.submit()

    assert (summary.submitted, summary.stopped) == (2, None)
    for sent in ledger.submissions(away.night):
        assert sent.submitting_at is not None
        assert abs(sent.submitting_at - SystemClock().now()) < timedelta(seconds=60)
        assert sent.next_poll_at is not None
        assert abs(sent.next_poll_at - ledger.now()) < timedelta(seconds=100)


@pytest.mark.parametrize("off_seconds", [0.0, *OFF_SECONDS])
def test_how_far_off_a_host_is_can_be_told(open_host: OpenHost, off_seconds: float) -> None:
    ledger = open_host(off_seconds)
    assert abs(ledger.skew() - timedelta(seconds=off_seconds)) < EXACT
    assert abs(ledger.clock.now() - open_host(0.0).now()) < EXACT


def test_time_goes_on_within_a_transaction(url: str) -> None:
    engine = sa.create_engine(url.replace("postgresql://", "postgresql+psycopg://"))
    clock = DatabaseClock(SystemClock())
    with engine.begin() as connection:
        clock.read(connection)
        began = clock.now()
        clock.read(connection)
        assert clock.now() > began
    engine.dispose()


@pytest.mark.case(
    "a host that was paused with its clocks sent what others had given up",
    "before a POST the ledger's time is read anew from the database",
)
def test_a_pause_that_stops_the_hosts_clocks_is_seen(url: str) -> None:
    paused = ManualClock()
    with open_ledger(url, host=paused) as ledger:
        before = ledger.clock.now()
        assert ledger.clock.now() == before  # counted on by a clock that stands still
        assert ledger.now() > before
        assert ledger.clock.now() > before


@pytest.mark.case(
    "after a pause of its host a process took a lease that had ended when it was written",
    "the time of a lease, a claim and a stop is read within their transaction",
)
def test_a_lease_taken_after_a_pause_lasts_as_long_as_any(url: str, open_host: OpenHost) -> None:
    paused = ManualClock()
    with open_ledger(url, host=paused) as ledger:
        paused.advance(-3600)  # an hour that the host has not noticed
        assert ledger.acquire_lease("a", "paused", 45)
        held = open_host(0.0).lease("a")
    assert held is not None
    assert held.owner == "paused"


def test_a_claim_taken_after_a_pause_lasts_as_long_as_any(
    url: str, open_host: OpenHost, harness: LifecycleHarness
) -> None:
    other, paused = open_host(0.0), ManualClock()
    away = replace(harness, ledger=other, clock=other.clock)
    away.plan("a cat")
    away.submit()
    [sent] = other.submissions(away.night)
    other.mark_due(sent.submission_key)
    account = {"provider": "floyo", "resource": "floyo"}
    with open_ledger(url, host=paused) as ledger:
        paused.advance(-3600)
        assert len(ledger.claim_due("paused", **account)) == 1
    assert other.claim_due("another", **account) == []


def test_a_stop_after_a_pause_of_its_host_is_one_of_now(url: str, open_host: OpenHost) -> None:
    other, paused = open_host(0.0), ManualClock()
    with open_ledger(url, host=paused) as ledger:
        paused.advance(-3600)
        ledger.stop_account("floyo", "401", "no such key")
        paused.advance(-3600)
        ledger.pause("ops", "an hour off")
    a_minute_ago = other.now() - timedelta(minutes=1)
    assert other.account_stop("floyo", since=a_minute_ago) is not None
    pause = other.paused()
    assert pause is not None
    assert pause.at >= a_minute_ago


def test_a_transaction_that_only_reads_renews_an_old_reading(url: str) -> None:
    host = ManualClock()
    with open_ledger(url, host=host) as ledger:
        true = ledger.clock.now()
        host.advance(3600)
        assert ledger.clock.now() == true + timedelta(hours=1)
        ledger.paused()
        assert abs(ledger.clock.now() - true) < timedelta(minutes=1)


def test_a_writing_transaction_reads_the_time_anew(url: str) -> None:
    with open_ledger(url, host=ManualClock()) as ledger:
        before = ledger.clock.now()
        ledger.acquire_lease("a", "somebody", 45)
        assert ledger.clock.now() > before


def test_time_is_counted_on_while_the_database_is_away(
    url: str, postgres_server: PostgresServer
) -> None:
    host = ManualClock()
    with open_ledger(url, host=host) as ledger:
        before = ledger.clock.now()
        postgres_server.drop(url)
        host.advance(3600)
        assert ledger.clock.now() == before + timedelta(hours=1)
