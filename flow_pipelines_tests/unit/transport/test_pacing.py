"""No window of a rate limit is ever overdrawn, and nearly all of it can be used."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flow_pipelines.model.errors import AccountHeld, RateLimited
from flow_pipelines.provider import Purpose, RateLimit, Resend, TurnRequest
from flow_pipelines.transport import HttpTransport, MemoryPaceStore
from flow_pipelines.transport.pacing import Pacing, pace_of
from flow_pipelines_tests.fakes import ManualClock
from flow_pipelines_tests.unit.transport.conftest import request
from flow_pipelines_tests.unit.transport.wire import Wire, answer

Make = Callable[..., HttpTransport]


def paced(clock: ManualClock, limit: RateLimit, patience_seconds: float = 1e9) -> Pacing:
    return Pacing(
        "acme",
        store=MemoryPaceStore(clock),
        key="acme",
        limit=limit,
        patience_seconds=patience_seconds,
        clock=clock,
    )


def busiest(turns: list[float], seconds: float) -> int:
    """Count the turns of the fullest window, wherever it begins."""
    return max(sum(begin <= t < begin + seconds - 1e-6 for t in turns) for begin in turns)


@settings(deadline=None)
@given(
    requests=st.integers(1, 400),
    rests=st.lists(st.floats(0, 90), max_size=4),
)
def test_no_window_ever_holds_more_than_the_limit(requests: int, rests: list[float]) -> None:
    clock, limit = ManualClock(), RateLimit(requests=requests, per_seconds=60.0)
    pacing, turns = paced(clock, limit), []
    for rest in [0.0, *rests]:
        clock.advance(rest)
        for _ in range(min(requests, 60) + 5):
            pacing.take_turn(Purpose.SUBMIT)
            turns.append(clock.monotonic())
    assert busiest(turns, 60.0) <= requests


@pytest.mark.parametrize("requests", [1, 2, 10, 19, 20, 60, 100, 300, 3000])
def test_at_least_95_percent_of_a_limit_can_be_used(requests: int) -> None:
    pace = pace_of(RateLimit(requests=requests, per_seconds=60.0))
    assert 60.0 / pace.interval_seconds >= 0.95 * requests - 1e-9
    assert pace.burst >= 1


def test_the_published_limit_of_100_a_minute_leaves_room_for_a_late_request() -> None:
    clock = ManualClock()
    pacing, turns = paced(clock, RateLimit(requests=100, per_seconds=60.0)), []
    for _ in range(400):
        pacing.take_turn(Purpose.POLL)
        turns.append(clock.monotonic())
    assert busiest(turns, 60.0) <= 99


def test_a_turn_beyond_patience_is_refused_and_not_used_up() -> None:
    clock = ManualClock()
    pacing = paced(clock, RateLimit(requests=1, per_seconds=60.0), patience_seconds=30.0)
    pacing.take_turn(Purpose.SUBMIT)
    for _ in range(3):
        with pytest.raises(RateLimited, match="no turn within 30 s"):
            pacing.take_turn(Purpose.SUBMIT)
    clock.advance(60)
    pacing.take_turn(Purpose.SUBMIT)
    assert clock.monotonic() < 65


def test_a_turn_without_a_published_limit_comes_at_once(
    transport: Make, clock: ManualClock
) -> None:
    sender = transport("http://127.0.0.1:1")
    for _ in range(50):
        sender.take_turn(Purpose.SUBMIT)
    assert clock.monotonic() == 0.0


def test_a_429_holds_everybody_who_shares_the_account(transport: Make, clock: ManualClock) -> None:
    shared = MemoryPaceStore(clock)
    with Wire(answer(429, "", retry_after="40"), answer()) as wire:
        first, second = (transport(wire.url, pace=shared) for _ in range(2))
        with pytest.raises(RateLimited):
            first.send(replace(request(Resend.NEVER), url=f"{wire.url}/runs"))
        second.take_turn(Purpose.SUBMIT)
    assert clock.monotonic() == 40.0


DAY = 86_400.0


@pytest.mark.case(
    "Retry-After of a day was cut to 900 s: POSTs went out early, and the error named the pace",
    "the account is held for all of it; every run ends at once, with the 429 and the time in words",
)
@pytest.mark.parametrize("purpose", list(Purpose))
def test_a_hold_longer_than_one_may_wait_ends_every_run_at_once(
    transport: Make, clock: ManualClock, purpose: Purpose
) -> None:
    shared, limit = MemoryPaceStore(clock), RateLimit(requests=100, per_seconds=60.0)
    with Wire(answer(429, "", retry_after="86400"), answer()) as wire:
        first, other = (transport(wire.url, pace=shared, rate_limit=limit) for _ in range(2))
        with pytest.raises(RateLimited, match="429"):
            first.send(replace(request(Resend.NEVER), url=f"{wire.url}/runs"))
        until = f"{clock.now() + timedelta(seconds=DAY):%Y-%m-%d %H:%M:%S} UTC"
        for sender in (first, other):
            with pytest.raises(AccountHeld, match=f"held until {until}.*HTTP 429") as caught:
                sender.take_turn(purpose)
            assert caught.value.retry_after_seconds == DAY
        assert clock.monotonic() == 0.0
        clock.advance(DAY - 60)
        other.take_turn(purpose)
        assert clock.monotonic() >= DAY
    assert wire.methods() == ["POST"]


def test_a_turn_given_before_the_429_of_another_process_is_none_any_more() -> None:
    class Interrupted(ManualClock):
        """The 429 of another process comes while this one sleeps."""

        def sleep(self, seconds: float) -> None:
            super().sleep(seconds)
            store.hold_until("acme", self.now() + timedelta(seconds=DAY))

    clock = Interrupted()
    store = MemoryPaceStore(clock)
    pacing = Pacing(
        "acme",
        store=store,
        key="acme",
        limit=RateLimit(requests=1, per_seconds=60.0),
        patience_seconds=120.0,
        clock=clock,
    )
    store.reserve("acme", TurnRequest(interval_seconds=60.0, burst=1, patience_seconds=0.0))
    with pytest.raises(AccountHeld):
        pacing.take_turn(Purpose.SUBMIT)
    assert clock.monotonic() <= 62


def test_a_turn_given_before_a_429_is_waited_out_as_well(clock: ManualClock) -> None:
    pacing = paced(clock, RateLimit(requests=100, per_seconds=60.0))

    class Interrupted(ManualClock):
        """The 429 of another thread comes while this one sleeps."""

        def sleep(self, seconds: float) -> None:
            super().sleep(seconds)
            if len(self.slept) == 1:
                pacing.hold(20.0)

    pacing._clock = interrupted = Interrupted()
    pacing.take_turn(Purpose.SUBMIT)
    assert interrupted.monotonic() == 20.0


def test_what_the_limit_does_not_cover_takes_no_turn(transport: Make, clock: ManualClock) -> None:
    limit = RateLimit(requests=1, per_seconds=60.0)
    with Wire() as wire:
        sender = transport(wire.url, rate_limit=limit)
        for _ in range(5):
            sender.send(replace(request(paced=False), url=f"{wire.url}/file"))
    assert clock.monotonic() == 0.0


def test_each_repetition_takes_a_turn_of_its_own(transport: Make, clock: ManualClock) -> None:
    limit = RateLimit(requests=1, per_seconds=19.0)
    with Wire(answer(503, ""), answer(503, ""), answer()) as wire:
        transport(wire.url, rate_limit=limit).send(replace(request(), url=f"{wire.url}/x"))
    assert clock.monotonic() == pytest.approx(2 * 19.0 * 1.02)
