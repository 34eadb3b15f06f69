"""Comparing many nights: by a sensor bit by bit, by a person all of them."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta

import pytest

from flow_pipelines.assets.journal_rounds import AGAIN, EVERY, compare_in_a_tick
from flow_pipelines.assets.sensor_tick import SensorCursor
from flow_pipelines.lifecycle.journal import journal_of
from flow_pipelines.lifecycle.journal_scan import RECENT, compare_batch, compare_recent, own_batches
from flow_pipelines.model import Night
from flow_pipelines.model.errors import LedgerBehind, StorageError
from flow_pipelines.storage.receipts import adopt_owner
from flow_pipelines_tests.unit.lifecycle.conftest import NIGHT, LifecycleHarness
from flow_pipelines_tests.unit.lifecycle.restoring import back_up, restore

SECOND = Night("posters", "2026-11-22|second")
"""Its folder in the bucket is a hash."""


def buy(harness: LifecycleHarness, night: Night) -> None:
    harness.night = night
    harness.plan("Rome", "Oslo")
    harness.submit()


def lose(harness: LifecycleHarness, *nights: Night) -> None:
    """Buy nights, and restore a ledger of before."""
    copy = back_up(harness)
    restore(harness, copy)
    for night in nights:
        buy(harness, night)
    restore(harness, copy)


@pytest.mark.case(
    "a restored ledger does not know nights of batches that are defined nowhere any more",
    "each sensor compares every batch folder that names this ledger, and takes them in",
)
def test_nights_that_the_ledger_does_not_know_are_found_by_their_journals(
    harness: LifecycleHarness,
) -> None:
    lose(harness, NIGHT, SECOND)
    found = compare_recent(harness.ports, "", seconds=60)
    assert (len(found.words), found.after) == (2, "")
    for night in (NIGHT, SECOND):
        assert [one.state.value for one in harness.ledger.submissions(night)] == ["unresolved"] * 2
    assert compare_recent(harness.ports, "", seconds=60).words == []


def test_what_the_time_does_not_suffice_for_is_left_to_the_next_tick(
    harness: LifecycleHarness,
) -> None:
    lose(harness, NIGHT, SECOND)
    memory, now, rounds = SensorCursor(), harness.clock.now(), 0
    words: list[str] = []
    while memory.compared_at is None:
        rounds += 1
        found = compare_recent(harness.ports, memory.compare_after, seconds=0)
        words += found.words
        memory.compare_after = found.after
        memory.compared_at = None if found.after else now
        assert rounds < 10
    assert (len(words), rounds > 2) == (2, True)


def test_a_night_that_has_been_still_for_long_is_left_to_whoever_works_on_it(
    harness: LifecycleHarness,
) -> None:
    harness.plan("Rome", "Oslo")
    copy = back_up(harness)
    restore(harness, copy)
    harness.submit()
    restore(harness, copy)
    harness.clock.advance((RECENT + timedelta(hours=1)).total_seconds())
    assert compare_recent(harness.ports, "", seconds=60).words == []
    with pytest.raises(LedgerBehind):
        harness.submit()


def test_batches_of_another_ledger_are_left_alone(harness: LifecycleHarness) -> None:
    lose(harness, NIGHT)
    adopt_owner(harness.store, NIGHT.batch, "another-ledger")
    assert compare_recent(harness.ports, "", seconds=60).words == []
    assert list(own_batches(harness.ports)) == []
    assert harness.ledger.night(NIGHT) is None


def test_a_person_compares_all_nights_also_at_the_places_of_before(
    harness: LifecycleHarness,
) -> None:
    copy = back_up(harness)
    restore(harness, copy)
    buy(harness, NIGHT)
    harness.store = harness.store.at(harness.store.bucket, "elsewhere")
    buy(harness, SECOND)
    restore(harness, copy)
    ((batch, note),) = own_batches(harness.ports)
    taken = {night: number for night, number in compare_batch(harness.ports, batch, note) if number}
    assert taken == {NIGHT: 2, SECOND: 2}


def test_an_entry_that_cannot_be_read_does_not_hide_the_others(harness: LifecycleHarness) -> None:
    lose(harness, NIGHT, SECOND)
    journal = journal_of(harness.store, NIGHT)
    (name, *_) = journal.listed().intents
    key = harness.store.key(NIGHT.batch, "_journal", NIGHT.partition_key, f"{name}.1.json")
    harness.store.put(key, b"[]", media_type="application/json")
    words = compare_recent(harness.ports, "", seconds=60).words
    assert any("does not say" in line or "cannot be read" in line for line in words)
    assert len(harness.ledger.submissions(SECOND)) == 2


def test_a_sensor_compares_at_first_and_then_hourly(harness: LifecycleHarness) -> None:
    memory = SensorCursor()
    opened = []

    def open_books() -> object:
        opened.append(harness.clock.now())
        return harness.ports

    def tick() -> int:
        compare_in_a_tick(memory, harness.clock.now(), open_books)
        return len(opened)

    assert [tick(), tick()] == [1, 1]
    harness.clock.advance(EVERY.total_seconds())
    assert [tick(), tick()] == [2, 2]
    memory = SensorCursor.read(memory.write([]))
    assert tick() == 2


def test_a_bucket_that_does_not_answer_is_told_and_tried_again_later(
    harness: LifecycleHarness,
) -> None:
    memory = SensorCursor()

    def refuse() -> object:
        raise StorageError("HTTP 503")

    (told,) = compare_in_a_tick(memory, harness.clock.now(), refuse)
    assert "HTTP 503" in told
    assert compare_in_a_tick(memory, harness.clock.now(), refuse) == ()
    harness.clock.advance(AGAIN.total_seconds())
    assert len(compare_in_a_tick(memory, harness.clock.now(), refuse)) == 1


class HangingStore:
    """A bucket that answers nothing until it is told to."""

    def __init__(self, answers: threading.Event) -> None:
        self._answers = answers

    def __getattr__(self, name: str) -> object:
        self._answers.wait(5.0)  # real seconds; only a test that fails waits for them
        raise StorageError(f"{name} came too late")


@pytest.fixture
def hanging() -> Iterator[HangingStore]:
    answers = threading.Event()
    yield HangingStore(answers)
    answers.set()


def test_a_bucket_that_hangs_ends_the_comparison_in_time_and_is_tried_again_later(
    harness: LifecycleHarness, hanging: HangingStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("flow_pipelines.assets.journal_rounds.LONGEST_SECONDS", 0.05)
    memory, books = SensorCursor(), replace(harness.ports, store=hanging)  # type: ignore[arg-type]
    (told,) = compare_in_a_tick(memory, harness.clock.now(), lambda: books)
    assert "the bucket does not answer" in told
    assert compare_in_a_tick(memory, harness.clock.now(), lambda: books) == ()
    harness.clock.advance(AGAIN.total_seconds())
    assert len(compare_in_a_tick(memory, harness.clock.now(), lambda: books)) == 1
