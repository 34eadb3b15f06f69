"""A ledger that is an older copy of itself buys nothing again."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from decimal import Decimal

import pytest

from flow_pipelines.lifecycle import collect_night, open_night, regenerate, wait_for_night
from flow_pipelines.lifecycle.journal import journal_of
from flow_pipelines.model import Receipt, SubmissionState
from flow_pipelines.model.errors import (
    LedgerBehind,
    ProviderUnavailable,
    SubmitOutcomeUnknown,
    WrongLedger,
)
from flow_pipelines.provider import SubmitRequest
from flow_pipelines.storage import S3ImageStore
from flow_pipelines_tests.unit.lifecycle.conftest import LifecycleHarness
from flow_pipelines_tests.unit.lifecycle.restoring import back_up, restore

CITIES = ("Rome", "Oslo", "Lima", "Kyiv", "Bern")


def collect(harness: LifecycleHarness) -> None:
    wait_for_night(harness.ports, harness.night, owner="images", wait_seconds=60)
    collect_night(harness.night, harness.ports, owner="images")


def intents(harness: LifecycleHarness) -> dict[str, int]:
    return dict(journal_of(harness.store, harness.night).listed().intents)


@pytest.mark.case(
    "back up in mid-night, buy the rest, restore, materialize: the rest was bought again",
    "the journal names what was sent: it is taken in, unresolved, and not bought again",
)
def test_what_was_bought_since_the_copy_is_not_bought_again(harness: LifecycleHarness) -> None:
    harness.plan(*CITIES)
    harness.submit(limit=2)
    copy = back_up(harness)
    harness.submit()
    restore(harness, copy)
    with pytest.raises(LedgerBehind) as raised:
        harness.submit()
    said = str(raised.value)
    for word in (
        "names 3 submission(s)",
        harness.ledger.ledger_id,
        "Pauses, cancels and decisions",
    ):
        assert word in said
    assert harness.states() == ["submitted"] * 2 + ["unresolved"] * 3
    assert harness.submit().stopped is None
    assert len(harness.provider.posts) == 5


def test_an_imported_row_is_the_one_that_was_sent(harness: LifecycleHarness) -> None:
    harness.plan(*CITIES)
    copy = back_up(harness)
    harness.submit()
    wanted = harness.ledger.submissions(harness.night)
    reserved = harness.ledger.reserved_usd("floyo", harness.clock.now())
    restore(harness, copy)
    harness.clock.advance(timedelta(days=1).total_seconds())
    harness.plan(*(f"another {city}" for city in CITIES))
    with pytest.raises(LedgerBehind):
        harness.submit()
    of_intent = (
        *("submission_key", "prompt_id", "row_number", "copy", "generation", "prompt", "seed"),
        *("provider", "resource", "workflow", "workflow_version", "parameters", "content_hash"),
        *("request_hash", "planned_at", "submitting_at", "reserved_usd", "dagster_run_id"),
        *("intents", "intent_ledger_id", "body_sha256"),
    )
    for was, now in zip(wanted, harness.ledger.submissions(harness.night), strict=True):
        assert {name: getattr(was, name) for name in of_intent} == {
            name: getattr(now, name) for name in of_intent
        }
        assert now.stale
        assert now.provider_run_id is None
    yesterday = harness.clock.now() - timedelta(days=1)
    assert harness.ledger.reserved_usd("floyo", yesterday) == reserved > 0
    assert harness.ledger.reserved_usd("floyo", harness.clock.now()) == Decimal(0)


@pytest.mark.case(
    "after a restore, runs were submitted after they had finished: when they were attached again",
    "a late receipt has the time that the provider or the table tells, else that of the intent",
)
def test_a_run_that_is_found_again_was_submitted_when_it_was_sent(
    harness: LifecycleHarness,
) -> None:
    harness.plan(*CITIES)
    copy = back_up(harness)
    harness.submit()
    restore(harness, copy)
    harness.clock.advance(900)
    collect_or_refuse(harness)
    open_night(harness.night, harness.ports, owner="images")
    found = harness.ledger.submissions(harness.night)
    assert [one.provider_run_id is None for one in found] == [False] * 5
    assert [one.submitted_at for one in found] == [one.submitting_at for one in found]


@pytest.mark.case(
    "a restored ledger does not know the night at all",
    "the night, its workflow and its rows are made from the journal; the rest can be planned",
)
def test_a_night_that_the_copy_predates_is_taken_in_whole(harness: LifecycleHarness) -> None:
    copy = back_up(harness)
    harness.plan(*CITIES)
    harness.submit(limit=3)
    restore(harness, copy)
    collect_or_refuse(harness)
    assert harness.states() == ["unresolved"] * 3
    harness.plan(*CITIES)
    assert harness.states() == ["unresolved"] * 3 + ["planned"] * 2
    harness.submit()
    assert len(harness.provider.posts) == 5


def collect_or_refuse(harness: LifecycleHarness) -> None:
    with pytest.raises(LedgerBehind):
        collect_night(harness.night, harness.ports, owner="images")


@pytest.mark.case(
    "`images` of an old copy rewrote runs.parquet, the evidence of what was bought",
    "it takes in what the journal knows first, with the receipts that runs.parquet has",
)
def test_receipts_in_the_bucket_are_attached_before_any_table_is_written(
    harness: LifecycleHarness,
) -> None:
    harness.plan(*CITIES)
    harness.submit(limit=2)
    copy = back_up(harness)
    harness.submit()
    collect(harness)
    table = harness.store.key(harness.night.batch, harness.night.partition_key, "runs.parquet")
    bought, evidence = set(harness.provider.runs), harness.store.get(table)
    times = [one.submitted_at for one in harness.ledger.submissions(harness.night)]
    restore(harness, copy)
    harness.clock.advance(900)
    collect_or_refuse(harness)
    assert harness.store.get(table) == evidence
    found = harness.ledger.submissions(harness.night)
    assert {one.provider_run_id for one in found} == bought
    assert [one.submitted_at for one in found] == times
    collect(harness)
    assert harness.states() == ["succeeded"] * 5
    assert len(harness.provider.posts) == 5
    assert all(one.collected_at for one in harness.ledger.submissions(harness.night))


def refuse_once(harness: LifecycleHarness) -> None:
    def first(_request: SubmitRequest, number: int) -> Receipt | None:
        if number == 1:
            raise ProviderUnavailable("slow down", provider="floyo", operation="create_run")
        return None

    harness.provider.on_submit = first


def test_a_row_that_was_refused_with_429_is_sent_again(harness: LifecycleHarness) -> None:
    harness.plan("Rome")
    refuse_once(harness)
    assert harness.submit().submitted == 1
    assert list(intents(harness).values()) == [2]


@pytest.mark.case(
    "a row was refused with 429, then sent again, and the ledger restored from in between",
    "its second intent is in the journal: it is not sent a third time",
)
def test_a_restore_between_a_429_and_the_second_intent_is_seen(harness: LifecycleHarness) -> None:
    harness.plan("Rome", "Oslo")
    refuse_once(harness)
    copies = []

    def between(seconds: float) -> None:
        copies.append(back_up(harness))
        harness.clock.advance(seconds)

    harness.clock.sleep = between  # type: ignore[method-assign]  # the pause after the 429
    harness.submit()
    restore(harness, copies[0])
    assert [one.intents for one in harness.ledger.submissions(harness.night)] == [1, 0]
    harness.clock.advance(60)
    with pytest.raises(LedgerBehind):
        harness.submit()
    harness.submit()
    assert len(harness.provider.runs) == 2


def lost(_request: SubmitRequest, _number: int) -> Receipt:
    raise SubmitOutcomeUnknown("reset", provider="floyo", operation="create_run")


def not_created(harness: LifecycleHarness) -> str:
    harness.plan("Rome")
    harness.provider.on_submit = lost
    harness.submit()
    harness.clock.advance(3600)
    (key,) = harness.keys(SubmissionState.UNRESOLVED)
    harness.ledger.settle_not_created(key, who="ann", why="looked")
    harness.provider.on_submit = lambda _request, _number: None
    return key


def test_a_row_that_was_not_created_is_sent_again(harness: LifecycleHarness) -> None:
    key = not_created(harness)
    assert harness.submit().submitted == 1
    assert intents(harness) == {key: 2}


def test_a_restore_between_not_created_and_the_second_intent_is_seen(
    harness: LifecycleHarness,
) -> None:
    key = not_created(harness)
    copy = back_up(harness)
    harness.submit()
    restore(harness, copy)
    with pytest.raises(LedgerBehind):
        harness.submit()
    assert harness.states() == ["unresolved"]
    assert [one.action for one in harness.ledger.settlements(key)] == ["settle_not_created"]


def test_a_restore_from_before_not_created_keeps_the_decision_with_the_row(
    harness: LifecycleHarness,
) -> None:
    harness.plan("Rome")
    copy = back_up(harness)
    key = not_created(harness)
    harness.submit()
    restore(harness, copy)
    with pytest.raises(LedgerBehind):
        harness.submit()
    assert harness.ledger.submission(key).intents == 2
    assert [one.who for one in harness.ledger.settlements(key)] == ["ann"]


@pytest.mark.case(
    "a restore lost a regeneration",
    "its rows and itself are taken in; the next generation is above it",
)
def test_a_regeneration_that_was_lost_is_taken_in(harness: LifecycleHarness) -> None:
    harness.plan("Rome", "Oslo")
    harness.submit()
    collect(harness)
    copy = back_up(harness)

    def again(by: str) -> None:
        regenerate(harness.settings, harness.night, harness.ports, requested_by=by, scope="all")

    harness.submit(regeneration=lambda: again("run-2"))
    (was,) = harness.ledger.regenerations(harness.night)
    restore(harness, copy)
    with pytest.raises(LedgerBehind):
        harness.submit(regeneration=lambda: again("run-3"))
    assert list(harness.ledger.regenerations(harness.night)) == [was]
    harness.submit(regeneration=lambda: again("run-2"))
    assert len(harness.provider.posts) == 4
    record = harness.ledger.night(harness.night)
    assert record is not None
    assert record.generation == 1


@pytest.mark.case(
    "a sensor went on buying for a restored night, whose cancels were lost",
    "it waits until somebody asks for the rest",
)
def test_no_sensor_goes_on_with_a_restored_night(harness: LifecycleHarness) -> None:
    from flow_pipelines.lifecycle import agenda

    harness.plan(*CITIES)
    harness.submit(limit=1)
    copy = back_up(harness)
    harness.submit(limit=1)
    restore(harness, copy)
    with pytest.raises(LedgerBehind):
        harness.submit()
    harness.clock.advance(7200)
    found = agenda(harness.ledger, harness.clock, batches=[harness.night.batch])
    assert [todo.kind for todo in found.todos] == ["collect"]


@pytest.mark.case(
    "the bucket was changed in mid-night, then the ledger restored",
    "the journal at the new place has every intent, also those of before",
)
def test_a_new_bucket_has_every_intent_of_before(harness: LifecycleHarness) -> None:
    harness.plan(*CITIES)
    copy = back_up(harness)
    harness.submit(limit=2)
    harness.store = harness.store.at(harness.store.bucket, "elsewhere")
    harness.submit()
    assert len(intents(harness)) == 5
    restore(harness, copy)
    with pytest.raises(LedgerBehind, match="names 5 submission"):
        harness.submit()
    harness.submit()
    assert len(harness.provider.posts) == 5


def test_the_place_of_before_is_looked_at_as_well(harness: LifecycleHarness) -> None:
    harness.plan(*CITIES)
    copy = back_up(harness)
    harness.submit(limit=2)
    first: S3ImageStore = harness.store
    other = type(harness.night)("posters", "2026-11-22")
    harness.store = first.at(first.bucket, "elsewhere")
    harness.night, night = other, harness.night
    harness.plan(*CITIES)
    harness.submit(limit=1)
    restore(harness, copy)
    harness.night = night
    with pytest.raises(LedgerBehind, match="names 2 submission"):
        harness.submit()


def test_a_half_journal_of_an_unknown_night_is_not_trusted(harness: LifecycleHarness) -> None:
    copy = back_up(harness)
    harness.plan(*CITIES)
    harness.submit()
    harness.store.delete(
        harness.store.key("posters", "_journal", harness.night.partition_key, "complete.json")
    )
    restore(harness, copy)
    harness.plan(*CITIES)
    with pytest.raises(WrongLedger, match="was bought before") as raised:
        harness.submit()
    assert not isinstance(raised.value, LedgerBehind)
    with pytest.raises(WrongLedger, match="was bought before"):
        collect_night(harness.night, harness.ports, owner="images")
    assert harness.states() == ["planned"] * 5


@pytest.mark.case(
    "a run died before its night's first POST, and the ledger was restored: refused for ever",
    "a complete journal that names nothing says that nothing was bought: the night is bought",
)
@pytest.mark.parametrize("died_at", ["_receipts.json", "complete.json", "workflow."])
def test_a_night_of_which_nothing_was_sent_is_bought_after_a_restore(
    harness: LifecycleHarness, monkeypatch: pytest.MonkeyPatch, died_at: str
) -> None:
    harness.plan(*CITIES)
    copy = back_up(harness)
    restore(harness, copy)
    with monkeypatch.context() as dying:
        for name in ("put_once", "create_json"):
            dying.setattr(S3ImageStore, name, _dies_at(died_at, getattr(S3ImageStore, name)))
        with pytest.raises(KeyboardInterrupt):
            harness.submit()
    assert harness.provider.posts == []
    restore(harness, copy)
    harness.submit()
    assert harness.states() == ["submitted"] * 5


def _dies_at(word: str, write: Callable[..., bool]) -> Callable[..., bool]:
    def dying(store: S3ImageStore, key: str, *rest: object, **named: object) -> bool:
        if word in key:
            raise KeyboardInterrupt
        return write(store, key, *rest, **named)

    return dying
