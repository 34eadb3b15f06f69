"""Before each POST the bucket names the submission; what cannot be named is not sent."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import pytest

from flow_pipelines.lifecycle.journal import Journal, journal_of
from flow_pipelines.lifecycle.journal_comparison import compare_night
from flow_pipelines.model import JournalEntry, Night, Receipt
from flow_pipelines.model.errors import StorageError, WrongLedger
from flow_pipelines.provider import SubmitRequest
from flow_pipelines_tests.unit.lifecycle.conftest import LifecycleHarness
from flow_pipelines_tests.unit.lifecycle.restoring import back_up, restore

Write = Callable[..., bool]


def intercept(
    harness: LifecycleHarness, monkeypatch: pytest.MonkeyPatch, write: Callable[[Write, str], bool]
) -> None:
    """Let `write` stand before every entry that is written; it is given the real writing."""
    put_once = harness.store.put_once

    def put(key: str, content: bytes, *, seconds: float) -> bool:
        def real() -> bool:
            return put_once(key, content, seconds=seconds)

        is_entry = key.count(".") == 2 and "workflow." not in key
        return write(real, key) if is_entry else real()

    monkeypatch.setattr(harness.store, "put_once", put)


def listed(harness: LifecycleHarness) -> Mapping[str, int]:
    return journal_of(harness.store, harness.night).listed().intents


def test_the_bucket_names_a_submission_while_its_post_is_under_way(
    harness: LifecycleHarness,
) -> None:
    harness.plan("Rome", "Oslo")
    named = []

    def look(request: SubmitRequest, _number: int) -> Receipt | None:
        named.append(listed(harness).get(request.submission_key))
        return None

    harness.provider.on_submit = look
    harness.submit()
    assert named == [1, 1]


def test_an_entry_is_read_back_as_it_was_written(harness: LifecycleHarness) -> None:
    harness.plan("naïve \U0001f5fc {", "Oslo")
    harness.submit(limit=1)
    sent = harness.ledger.submissions(harness.night)[0]
    entry = journal_of(harness.store, harness.night).read(sent.submission_key, 1)
    assert JournalEntry.from_json(entry.to_json()) == entry
    assert entry.sent.parameters == sent.parameters
    assert (entry.sent.seed, entry.sent.prompt) == (sent.seed, sent.prompt)
    assert entry.run_timeout_seconds == 3600.0


def test_no_key_address_or_link_is_in_an_entry(harness: LifecycleHarness) -> None:
    harness.plan("Rome")
    ports = replace(harness.ports, callback_url=lambda *_: "https://callbacks.example/secret-token")
    from flow_pipelines.lifecycle import submit_night

    submit_night(harness.settings, harness.night, ports, owner="run-1")
    (key,) = listed(harness)
    text = journal_of(harness.store, harness.night).read(key, 1).to_json()
    assert "secret-token" not in text
    assert "https://" not in text


@pytest.mark.case(
    "the bucket refuses, or does not answer, between intent and POST",
    "nothing is sent, the row is planned again, and a sensor goes on later",
)
@pytest.mark.parametrize("stored", [False, True], ids=["never", "late"])
def test_what_the_journal_does_not_take_is_not_sent(
    harness: LifecycleHarness, monkeypatch: pytest.MonkeyPatch, stored: bool
) -> None:
    harness.plan("Rome", "Oslo")

    def fail(real: Write, _key: str) -> bool:
        if stored:
            real()
        raise StorageError("the bucket did not answer within 10 s")

    with monkeypatch.context() as patch:
        intercept(harness, patch, fail)
        summary = harness.submit()
    assert (harness.provider.posts, summary.needs_person) == ([], False)
    assert "did not answer" in str(summary.stopped)
    assert harness.states() == ["planned", "planned"]
    assert harness.submit().submitted == 2
    assert sorted(listed(harness).values()) == [1, 2]
    assert len(harness.provider.posts) == 2


def test_an_intent_grown_old_while_its_entry_was_written_is_not_sent(
    harness: LifecycleHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    harness.plan("Rome")

    def slow(real: Write, _key: str) -> bool:
        harness.clock.advance(61)
        return real()

    with monkeypatch.context() as patch:
        intercept(harness, patch, slow)
        assert "stood still for 61 s" in str(harness.submit().stopped)
    assert (harness.provider.posts, harness.states()) == ([], ["planned"])


@pytest.mark.parametrize("written", [False, True], ids=["before it", "after it"])
def test_an_interrupt_at_the_journal_leaves_the_row_planned(
    harness: LifecycleHarness, monkeypatch: pytest.MonkeyPatch, written: bool
) -> None:
    harness.plan("Rome")

    def interrupt(real: Write, _key: str) -> bool:
        if written:
            real()
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        intercept(harness, patch, interrupt)
        with pytest.raises(KeyboardInterrupt):
            harness.submit()
    assert (harness.provider.posts, harness.states()) == ([], ["planned"])
    harness.submit()
    assert len(harness.provider.posts) == 1


@pytest.mark.case(
    "two copies of one ledger buy for one night at the same time",
    "where the store can tell, the second one stops before its POST",
)
def test_an_entry_of_another_copy_stops_this_one(
    harness: LifecycleHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    harness.plan("Rome")
    copy = back_up(harness)
    restore(harness, copy)
    original = {}

    def be_late(real: Write, key: str) -> bool:
        original[key] = b'{"of": "the other copy"}'
        harness.store.put(key, original[key], media_type="application/json")
        return real()

    with monkeypatch.context() as patch:
        intercept(harness, patch, be_late)
        with pytest.raises(WrongLedger, match="another copy of this ledger is at work"):
            harness.submit()
    assert (harness.provider.posts, harness.states()) == ([], ["planned"])
    assert {key: harness.store.get(key) for key in original} == original


@dataclass(frozen=True)
class BusyLedger:
    """A ledger to which somebody else's intent is written just when it was read."""

    ledger: Any
    meanwhile: Callable[[], object]

    def intents(self, night: Night) -> Mapping[str, int]:
        known: Mapping[str, int] = self.ledger.intents(night)
        self.meanwhile()
        return known

    def import_intents(self, *_: object) -> None:
        raise AssertionError("nothing is behind")

    def __getattr__(self, name: str) -> Any:
        return getattr(self.ledger, name)


@pytest.mark.case(
    "somebody else's new intent is taken for a restore",
    "the journal is listed before the ledger is read, so the ledger knows what was listed",
)
def test_an_intent_written_during_a_comparison_is_no_restore(harness: LifecycleHarness) -> None:
    harness.plan("Rome", "Oslo")
    harness.submit(limit=1)
    busy = BusyLedger(harness.ledger, lambda: harness.submit(limit=1))
    assert compare_night(harness.night, replace(harness.ports, ledger=busy)).taken == 0
    assert harness.states() == ["submitted", "submitted"]


def test_a_night_of_more_than_a_thousand_entries_is_compared_whole(
    harness: LifecycleHarness,
) -> None:
    journal = journal_of(harness.store, harness.night)
    folder = harness.store.key(harness.night.batch, "_journal", harness.night.partition_key)
    for number in range(1005):
        harness.store.put(f"{folder}/{number:032x}.1.json", b"{}", media_type="application/json")
    harness.store.put(f"{folder}/{0:032x}.2.json", b"{}", media_type="application/json")
    found = journal.listed().intents
    assert (len(found), found[f"{0:032x}"], found[f"{1004:032x}"]) == (1005, 2, 1)


def test_entries_of_before_that_were_written_already_are_as_good(harness: LifecycleHarness) -> None:
    harness.plan("Rome", "Oslo")
    harness.submit()
    before = {
        key: harness.store.get(key) for key in harness.store.list_keys("flow/posters/_journal/")
    }
    Journal(harness.ports, harness.night).begin(complete=False)
    assert {key: harness.store.get(key) for key in before} == before


def test_a_journal_that_somebody_deleted_is_written_again_before_the_next_post(
    harness: LifecycleHarness,
) -> None:
    harness.plan("Rome", "Oslo")
    harness.submit(limit=1)
    for key in list(harness.store.list_keys("flow/posters/_journal/")):
        harness.store.delete(key)
    harness.submit()
    assert sorted(listed(harness).values()) == [1, 1]
    assert journal_of(harness.store, harness.night).listed().complete


def test_an_entry_that_cannot_be_read_lets_nobody_buy(harness: LifecycleHarness) -> None:
    harness.plan("Rome")
    harness.submit()
    name = f"_journal/{harness.night.partition_key}/{0:032x}.1.json"
    harness.store.put(
        harness.store.key("posters", name), b'{"format": 2}', media_type="application/json"
    )
    with pytest.raises(WrongLedger, match="format 2 is of another version"):
        harness.submit()
