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
from flow_pipelines_tests.unit.lifecycle.conftest import Lab
from flow_pipelines_tests.unit.lifecycle.restoring import back_up, restore

Write = Callable[..., bool]


def intercept(
    lab: Lab, monkeypatch: pytest.MonkeyPatch, write: Callable[[Write, str], bool]
) -> None:
    """Let `write` stand before every entry that is written; it is given the real writing."""
    put_once = lab.store.put_once

    def put(key: str, content: bytes, *, seconds: float) -> bool:
        def real() -> bool:
            return put_once(key, content, seconds=seconds)

        is_entry = key.count(".") == 2 and "workflow." not in key
        return write(real, key) if is_entry else real()

    monkeypatch.setattr(lab.store, "put_once", put)


def listed(lab: Lab) -> Mapping[str, int]:
    return journal_of(lab.store, lab.night).listed().intents


def test_the_bucket_names_a_submission_while_its_post_is_under_way(lab: Lab) -> None:
    lab.plan("Rome", "Oslo")
    named = []

    def look(request: SubmitRequest, _number: int) -> Receipt | None:
        named.append(listed(lab).get(request.submission_key))
        return None

    lab.provider.on_submit = look
    lab.submit()
    assert named == [1, 1]


def test_an_entry_is_read_back_as_it_was_written(lab: Lab) -> None:
    lab.plan("naïve \U0001f5fc {", "Oslo")
    lab.submit(limit=1)
    sent = lab.ledger.submissions(lab.night)[0]
    entry = journal_of(lab.store, lab.night).read(sent.submission_key, 1)
    assert JournalEntry.from_json(entry.to_json()) == entry
    assert entry.sent.parameters == sent.parameters
    assert (entry.sent.seed, entry.sent.prompt) == (sent.seed, sent.prompt)
    assert entry.run_timeout_seconds == 3600.0


def test_no_key_address_or_link_is_in_an_entry(lab: Lab) -> None:
    lab.plan("Rome")
    ports = replace(lab.ports, callback_url=lambda *_: "https://callbacks.example/secret-token")
    from flow_pipelines.lifecycle import submit_night

    submit_night(lab.settings, lab.night, ports, owner="run-1")
    (key,) = listed(lab)
    text = journal_of(lab.store, lab.night).read(key, 1).to_json()
    assert "secret-token" not in text
    assert "https://" not in text


@pytest.mark.case(
    "the bucket refuses, or does not answer, between intent and POST",
    "nothing is sent, the row is planned again, and a sensor goes on later",
)
@pytest.mark.parametrize("stored", [False, True], ids=["never", "late"])
def test_what_the_journal_does_not_take_is_not_sent(
    lab: Lab, monkeypatch: pytest.MonkeyPatch, stored: bool
) -> None:
    lab.plan("Rome", "Oslo")

    def fail(real: Write, _key: str) -> bool:
        if stored:
            real()
        raise StorageError("the bucket did not answer within 10 s")

    with monkeypatch.context() as patch:
        intercept(lab, patch, fail)
        summary = lab.submit()
    assert (lab.provider.posts, summary.needs_person) == ([], False)
    assert "did not answer" in str(summary.stopped)
    assert lab.states() == ["planned", "planned"]
    assert lab.submit().submitted == 2
    assert sorted(listed(lab).values()) == [1, 2]
    assert len(lab.provider.posts) == 2


def test_an_intent_grown_old_while_its_entry_was_written_is_not_sent(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    lab.plan("Rome")

    def slow(real: Write, _key: str) -> bool:
        lab.clock.advance(61)
        return real()

    with monkeypatch.context() as patch:
        intercept(lab, patch, slow)
        assert "stood still for 61 s" in str(lab.submit().stopped)
    assert (lab.provider.posts, lab.states()) == ([], ["planned"])


@pytest.mark.parametrize("written", [False, True], ids=["before it", "after it"])
def test_an_interrupt_at_the_journal_leaves_the_row_planned(
    lab: Lab, monkeypatch: pytest.MonkeyPatch, written: bool
) -> None:
    lab.plan("Rome")

    def interrupt(real: Write, _key: str) -> bool:
        if written:
            real()
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        intercept(lab, patch, interrupt)
        with pytest.raises(KeyboardInterrupt):
            lab.submit()
    assert (lab.provider.posts, lab.states()) == ([], ["planned"])
    lab.submit()
    assert len(lab.provider.posts) == 1


@pytest.mark.case(
    "two copies of one ledger buy for one night at the same time",
    "where the store can tell, the second one stops before its POST",
)
def test_an_entry_of_another_copy_stops_this_one(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    lab.plan("Rome")
    copy = back_up(lab)
    restore(lab, copy)
    original = {}

    def be_late(real: Write, key: str) -> bool:
        original[key] = b'{"of": "the other copy"}'
        lab.store.put(key, original[key], media_type="application/json")
        return real()

    with monkeypatch.context() as patch:
        intercept(lab, patch, be_late)
        with pytest.raises(WrongLedger, match="another copy of this ledger is at work"):
            lab.submit()
    assert (lab.provider.posts, lab.states()) == ([], ["planned"])
    assert {key: lab.store.get(key) for key in original} == original


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
def test_an_intent_written_during_a_comparison_is_no_restore(lab: Lab) -> None:
    lab.plan("Rome", "Oslo")
    lab.submit(limit=1)
    busy = BusyLedger(lab.ledger, lambda: lab.submit(limit=1))
    assert compare_night(lab.night, replace(lab.ports, ledger=busy)).taken == 0
    assert lab.states() == ["submitted", "submitted"]


def test_a_night_of_more_than_a_thousand_entries_is_compared_whole(lab: Lab) -> None:
    journal = journal_of(lab.store, lab.night)
    folder = lab.store.key(lab.night.batch, "_journal", lab.night.partition_key)
    for number in range(1005):
        lab.store.put(f"{folder}/{number:032x}.1.json", b"{}", media_type="application/json")
    lab.store.put(f"{folder}/{0:032x}.2.json", b"{}", media_type="application/json")
    found = journal.listed().intents
    assert (len(found), found[f"{0:032x}"], found[f"{1004:032x}"]) == (1005, 2, 1)


def test_entries_of_before_that_were_written_already_are_as_good(lab: Lab) -> None:
    lab.plan("Rome", "Oslo")
    lab.submit()
    before = {key: lab.store.get(key) for key in lab.store.list_keys("flow/posters/_journal/")}
    Journal(lab.ports, lab.night).begin(complete=False)
    assert {key: lab.store.get(key) for key in before} == before


def test_a_journal_that_somebody_deleted_is_written_again_before_the_next_post(lab: Lab) -> None:
    lab.plan("Rome", "Oslo")
    lab.submit(limit=1)
    for key in list(lab.store.list_keys("flow/posters/_journal/")):
        lab.store.delete(key)
    lab.submit()
    assert sorted(listed(lab).values()) == [1, 1]
    assert journal_of(lab.store, lab.night).listed().complete


def test_an_entry_that_cannot_be_read_lets_nobody_buy(lab: Lab) -> None:
    lab.plan("Rome")
    lab.submit()
    name = f"_journal/{lab.night.partition_key}/{0:032x}.1.json"
    lab.store.put(lab.store.key("posters", name), b'{"format": 2}', media_type="application/json")
    with pytest.raises(WrongLedger, match="format 2 is of another version"):
        lab.submit()
