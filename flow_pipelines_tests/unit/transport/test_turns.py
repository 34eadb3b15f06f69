"""Lanes share an account's turns: neither submits nor polls starve, and backfills give way."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from datetime import timedelta
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flow_pipelines.model.errors import AccountHeld
from flow_pipelines.provider import Purpose, RateLimit, TurnRequest
from flow_pipelines.provider.turns import TurnSheet
from flow_pipelines.transport import MemoryPaceStore
from flow_pipelines.transport.pacing import Pacing, pace_of
from flow_pipelines_tests.fakes import ManualClock

LIMIT = RateLimit(requests=100, per_seconds=60.0)
BETWEEN_TICKS = [(at + 32.0, at + 38.0) for at in range(0, 1200, 38)]
"""When no poll is made by a sensor whose ticks last half a minute."""


def crowd(
    purposes: list[Purpose], seconds: float, no_polls: Sequence[tuple[float, float]] = ()
) -> list[tuple[float, Purpose]]:
    """Let users ask for a turn again as soon as theirs has come; give who had one when.

    Nobody asks for one to poll during the times in `no_polls`.
    """
    clock, pace = ManualClock(), pace_of(LIMIT)
    store, had = MemoryPaceStore(clock), []
    waiting = dict.fromkeys(range(len(purposes)), 0.0)
    while clock.monotonic() < seconds:
        user = min(waiting, key=lambda one: (waiting[one], one))
        clock.advance(max(waiting[user] - clock.monotonic(), 0.0))
        purpose = purposes[user]
        pause = next((end for begin, end in no_polls if begin <= clock.monotonic() < end), None)
        if purpose is Purpose.POLL and pause is not None:
            waiting[user] = pause
            continue
        patience = 2 * pace.interval_seconds if purpose is Purpose.BACKFILL else 300.0
        ask = TurnRequest(**pace._asdict(), patience_seconds=patience, purpose=purpose)
        wait = store.reserve("key", ask)
        if wait is None:
            waiting[user] = clock.monotonic() + 2 * pace.interval_seconds
        else:
            had.append((clock.monotonic() + wait, purpose))
            waiting[user] = clock.monotonic() + wait + 0.01
    return sorted(had)


def pacing_of(limit: RateLimit, clock: ManualClock, store: MemoryPaceStore) -> Pacing:
    return Pacing("acme", store=store, key="key", limit=limit, patience_seconds=60.0, clock=clock)


def shares(had: list[tuple[float, Purpose]]) -> dict[Purpose, float]:
    counted = Counter(purpose for _, purpose in had)
    return {purpose: count / len(had) for purpose, count in counted.items()}


@pytest.mark.parametrize(("submits", "polls"), [(1, 1), (9, 1), (1, 9)])
def test_submits_and_polls_have_half_of_the_turns_each(submits: int, polls: int) -> None:
    had = crowd([Purpose.SUBMIT] * submits + [Purpose.POLL] * polls, 300.0)
    assert shares(had)[Purpose.SUBMIT] == pytest.approx(0.5, abs=0.05)
    assert len(had) >= 0.95 * 500


@pytest.mark.parametrize("submits", [1, 5, 20])
def test_polls_that_come_in_ticks_have_half_of_the_turns_all_the_same(submits: int) -> None:
    had = crowd([Purpose.SUBMIT] * submits + [Purpose.POLL], 1200.0, BETWEEN_TICKS)
    assert shares(had)[Purpose.POLL] == pytest.approx(0.5, abs=0.03)
    assert len(had) >= 0.95 * 2000


def test_what_is_owed_to_polls_never_stops_submits() -> None:
    had = crowd([Purpose.SUBMIT, Purpose.POLL, Purpose.POLL], 1200.0, BETWEEN_TICKS)
    submits = [at for at, purpose in had if purpose is Purpose.SUBMIT]
    longest = max(after - before for before, after in pairwise(submits))
    assert longest <= 10 * pace_of(LIMIT).interval_seconds


@pytest.mark.parametrize(("polls", "every"), [(1, 5.0), (1, 10.0), (1, 30.0), (3, 30.0)])
@pytest.mark.parametrize("requests", [60, 100])
def test_no_turn_is_kept_for_polls_that_are_few(requests: int, polls: int, every: float) -> None:
    """One night is submitted, a request after the other; of it, few runs end at a time."""
    clock, limit = ManualClock(), RateLimit(requests=requests, per_seconds=60.0)
    pacing = pacing_of(limit, clock, MemoryPaceStore(clock))
    taken, tick = Counter[Purpose](), every
    while clock.monotonic() < 1800:
        if clock.monotonic() >= tick:
            tick += every
            for _ in range(polls):
                pacing.take_turn(Purpose.POLL)
                taken[Purpose.POLL] += 1
        pacing.take_turn(Purpose.SUBMIT)
        taken[Purpose.SUBMIT] += 1
        clock.advance(0.3)
    assert taken.total() >= 0.95 * 30 * requests


def test_nothing_is_owed_to_polls_that_nobody_made_for_a_while() -> None:
    had = crowd([Purpose.SUBMIT] * 5 + [Purpose.POLL], 340.0, no_polls=[(10.0, 310.0)])
    after = shares([(at, purpose) for at, purpose in had if 310 <= at < 340])
    assert after[Purpose.POLL] == pytest.approx(0.5, abs=0.05)


@pytest.mark.parametrize("purpose", list(Purpose))
def test_who_is_alone_has_all_turns(purpose: Purpose) -> None:
    assert len(crowd([purpose], 300.0)) >= 0.95 * 500


def test_backfills_leave_nine_turns_in_ten_to_tonight_and_are_not_starved() -> None:
    had = shares(crowd([Purpose.SUBMIT] * 2 + [Purpose.BACKFILL] * 8, 300.0))
    assert 0.05 <= had[Purpose.BACKFILL] <= 0.15


def test_a_backfill_takes_what_a_slow_night_leaves() -> None:
    clock = ManualClock()
    store = MemoryPaceStore(clock)
    backfill = pacing_of(LIMIT, clock, store)
    tonight = pacing_of(LIMIT, clock, store)
    taken = 0
    while clock.monotonic() < 120:
        tonight.take_turn(Purpose.SUBMIT)
        begun = clock.monotonic()
        while clock.monotonic() < begun + 2.5:
            backfill.take_turn(Purpose.BACKFILL)
            taken += 1
    assert taken >= 100


def test_a_backfill_s_patience_ends() -> None:
    clock = ManualClock()
    store = MemoryPaceStore(clock)
    store.hold_until("key", clock.now() + timedelta(hours=1))
    backfill = pacing_of(LIMIT, clock, store)
    with pytest.raises(AccountHeld):
        backfill.take_turn(Purpose.BACKFILL)
    assert clock.monotonic() <= 61


@settings(deadline=None, max_examples=25)
@given(
    users=st.lists(st.sampled_from(list(Purpose)), min_size=1, max_size=6),
)
def test_whoever_asks_no_window_is_overdrawn(users: list[Purpose]) -> None:
    times = [at for at, _ in crowd(users, 150.0)]
    for begin in times:
        assert sum(begin <= at < begin + 60.0 for at in times) <= 100


def test_a_429_slows_the_pace_for_hours_and_no_longer() -> None:
    clock = ManualClock()
    store, pace = MemoryPaceStore(clock), pace_of(LIMIT)

    def turns_of_a_minute() -> int:
        begun, count = clock.monotonic(), 0
        while clock.monotonic() < begun + 60:
            wait = store.reserve("key", TurnRequest(**pace._asdict(), patience_seconds=60.0))
            clock.advance(wait or 0.0)
            count += 1
        return count

    before = turns_of_a_minute()
    store.slow_down("key")
    store.slow_down("key")
    clock.advance(60)
    slowed = turns_of_a_minute()
    clock.advance(3600)
    assert slowed < 0.9 * before
    assert turns_of_a_minute() >= before - 1


def test_answers_that_tell_the_limit_are_believed_where_they_are_to_be() -> None:
    def turns(limit: RateLimit) -> int:
        clock, count = ManualClock(), 0
        pacing = pacing_of(limit, clock, MemoryPaceStore(clock))
        pacing.learn(300)
        while clock.monotonic() < 60:
            pacing.take_turn(Purpose.POLL)
            count += 1
        return count

    assert turns(RateLimit(requests=60, per_seconds=60.0, told_by_answers=True)) > 280
    assert turns(RateLimit(requests=60, per_seconds=60.0)) <= 61


def test_a_sheet_that_a_later_version_wrote_is_read() -> None:
    sheet = TurnSheet(anchor=5, turns=[(1, 2)], asked={"poll": 3})
    assert TurnSheet.read({**sheet.stored(), "something": "new"}) == sheet
