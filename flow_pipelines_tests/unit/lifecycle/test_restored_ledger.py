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
from flow_pipelines_tests.unit.lifecycle.conftest import Lab
from flow_pipelines_tests.unit.lifecycle.restoring import back_up, restore

CITIES = ("Rome", "Oslo", "Lima", "Kyiv", "Bern")


def collect(lab: Lab) -> None:
    wait_for_night(lab.ports, lab.night, owner="images", wait_seconds=60)
    collect_night(lab.night, lab.ports, owner="images")


def intents(lab: Lab) -> dict[str, int]:
    return dict(journal_of(lab.store, lab.night).listed().intents)


@pytest.mark.case(
    "back up in mid-night, buy the rest, restore, materialize: the rest was bought again",
    "the journal names what was sent: it is taken in, unresolved, and not bought again",
)
def test_what_was_bought_since_the_copy_is_not_bought_again(lab: Lab) -> None:
    lab.plan(*CITIES)
    lab.submit(limit=2)
    copy = back_up(lab)
    lab.submit()
    restore(lab, copy)
    with pytest.raises(LedgerBehind) as raised:
        lab.submit()
    said = str(raised.value)
    for word in ("names 3 submission(s)", lab.ledger.ledger_id, "Pauses, cancels and decisions"):
        assert word in said
    assert lab.states() == ["submitted"] * 2 + ["unresolved"] * 3
    assert lab.submit().stopped is None
    assert len(lab.provider.posts) == 5


def test_an_imported_row_is_the_one_that_was_sent(lab: Lab) -> None:
    lab.plan(*CITIES)
    copy = back_up(lab)
    lab.submit()
    wanted = lab.ledger.submissions(lab.night)
    reserved = lab.ledger.reserved_usd("floyo", lab.clock.now())
    restore(lab, copy)
    lab.clock.advance(timedelta(days=1).total_seconds())
    lab.plan(*(f"another {city}" for city in CITIES))
    with pytest.raises(LedgerBehind):
        lab.submit()
    of_intent = (
        *("submission_key", "prompt_id", "row_number", "copy", "generation", "prompt", "seed"),
        *("provider", "resource", "workflow", "workflow_version", "parameters", "content_hash"),
        *("request_hash", "planned_at", "submitting_at", "reserved_usd", "dagster_run_id"),
        *("intents", "intent_ledger_id", "body_sha256"),
    )
    for was, now in zip(wanted, lab.ledger.submissions(lab.night), strict=True):
        assert {name: getattr(was, name) for name in of_intent} == {
            name: getattr(now, name) for name in of_intent
        }
        assert now.stale
        assert now.provider_run_id is None
    yesterday = lab.clock.now() - timedelta(days=1)
    assert lab.ledger.reserved_usd("floyo", yesterday) == reserved > 0
    assert lab.ledger.reserved_usd("floyo", lab.clock.now()) == Decimal(0)


@pytest.mark.case(
    "after a restore, runs were submitted after they had finished: when they were attached again",
    "a late receipt has the time that the provider or the table tells, else that of the intent",
)
def test_a_run_that_is_found_again_was_submitted_when_it_was_sent(lab: Lab) -> None:
    lab.plan(*CITIES)
    copy = back_up(lab)
    lab.submit()
    restore(lab, copy)
    lab.clock.advance(900)
    collect_or_refuse(lab)
    open_night(lab.night, lab.ports, owner="images")
    found = lab.ledger.submissions(lab.night)
    assert [one.provider_run_id is None for one in found] == [False] * 5
    assert [one.submitted_at for one in found] == [one.submitting_at for one in found]


@pytest.mark.case(
    "a restored ledger does not know the night at all",
    "the night, its workflow and its rows are made from the journal; the rest can be planned",
)
def test_a_night_that_the_copy_predates_is_taken_in_whole(lab: Lab) -> None:
    copy = back_up(lab)
    lab.plan(*CITIES)
    lab.submit(limit=3)
    restore(lab, copy)
    collect_or_refuse(lab)
    assert lab.states() == ["unresolved"] * 3
    lab.plan(*CITIES)
    assert lab.states() == ["unresolved"] * 3 + ["planned"] * 2
    lab.submit()
    assert len(lab.provider.posts) == 5


def collect_or_refuse(lab: Lab) -> None:
    with pytest.raises(LedgerBehind):
        collect_night(lab.night, lab.ports, owner="images")


@pytest.mark.case(
    "`images` of an old copy rewrote runs.parquet, the evidence of what was bought",
    "it takes in what the journal knows first, with the receipts that runs.parquet has",
)
def test_receipts_in_the_bucket_are_attached_before_any_table_is_written(lab: Lab) -> None:
    lab.plan(*CITIES)
    lab.submit(limit=2)
    copy = back_up(lab)
    lab.submit()
    collect(lab)
    table = lab.store.key(lab.night.batch, lab.night.partition_key, "runs.parquet")
    bought, evidence = set(lab.provider.runs), lab.store.get(table)
    times = [one.submitted_at for one in lab.ledger.submissions(lab.night)]
    restore(lab, copy)
    lab.clock.advance(900)
    collect_or_refuse(lab)
    assert lab.store.get(table) == evidence
    found = lab.ledger.submissions(lab.night)
    assert {one.provider_run_id for one in found} == bought
    assert [one.submitted_at for one in found] == times
    collect(lab)
    assert lab.states() == ["succeeded"] * 5
    assert len(lab.provider.posts) == 5
    assert all(one.collected_at for one in lab.ledger.submissions(lab.night))


def refuse_once(lab: Lab) -> None:
    def first(_request: SubmitRequest, number: int) -> Receipt | None:
        if number == 1:
            raise ProviderUnavailable("slow down", provider="floyo", operation="create_run")
        return None

    lab.provider.on_submit = first


def test_a_row_that_was_refused_with_429_is_sent_again(lab: Lab) -> None:
    lab.plan("Rome")
    refuse_once(lab)
    assert lab.submit().submitted == 1
    assert list(intents(lab).values()) == [2]


@pytest.mark.case(
    "a row was refused with 429, then sent again, and the ledger restored from in between",
    "its second intent is in the journal: it is not sent a third time",
)
def test_a_restore_between_a_429_and_the_second_intent_is_seen(lab: Lab) -> None:
    lab.plan("Rome", "Oslo")
    refuse_once(lab)
    copies = []

    def between(seconds: float) -> None:
        copies.append(back_up(lab))
        lab.clock.advance(seconds)

    lab.clock.sleep = between  # type: ignore[method-assign]  # the pause after the 429
    lab.submit()
    restore(lab, copies[0])
    assert [one.intents for one in lab.ledger.submissions(lab.night)] == [1, 0]
    lab.clock.advance(60)
    with pytest.raises(LedgerBehind):
        lab.submit()
    lab.submit()
    assert len(lab.provider.runs) == 2


def lost(_request: SubmitRequest, _number: int) -> Receipt:
    raise SubmitOutcomeUnknown("reset", provider="floyo", operation="create_run")


def not_created(lab: Lab) -> str:
    lab.plan("Rome")
    lab.provider.on_submit = lost
    lab.submit()
    lab.clock.advance(3600)
    (key,) = lab.keys(SubmissionState.UNRESOLVED)
    lab.ledger.settle_not_created(key, who="ann", why="looked")
    lab.provider.on_submit = lambda _request, _number: None
    return key


def test_a_row_that_was_not_created_is_sent_again(lab: Lab) -> None:
    key = not_created(lab)
    assert lab.submit().submitted == 1
    assert intents(lab) == {key: 2}


def test_a_restore_between_not_created_and_the_second_intent_is_seen(lab: Lab) -> None:
    key = not_created(lab)
    copy = back_up(lab)
    lab.submit()
    restore(lab, copy)
    with pytest.raises(LedgerBehind):
        lab.submit()
    assert lab.states() == ["unresolved"]
    assert [one.action for one in lab.ledger.settlements(key)] == ["settle_not_created"]


def test_a_restore_from_before_not_created_keeps_the_decision_with_the_row(lab: Lab) -> None:
    lab.plan("Rome")
    copy = back_up(lab)
    key = not_created(lab)
    lab.submit()
    restore(lab, copy)
    with pytest.raises(LedgerBehind):
        lab.submit()
    assert lab.ledger.submission(key).intents == 2
    assert [one.who for one in lab.ledger.settlements(key)] == ["ann"]


@pytest.mark.case(
    "a restore lost a regeneration",
    "its rows and itself are taken in; the next generation is above it",
)
def test_a_regeneration_that_was_lost_is_taken_in(lab: Lab) -> None:
    lab.plan("Rome", "Oslo")
    lab.submit()
    collect(lab)
    copy = back_up(lab)

    def again(by: str) -> None:
        regenerate(lab.settings, lab.night, lab.ports, requested_by=by, scope="all")

    lab.submit(regeneration=lambda: again("run-2"))
    (was,) = lab.ledger.regenerations(lab.night)
    restore(lab, copy)
    with pytest.raises(LedgerBehind):
        lab.submit(regeneration=lambda: again("run-3"))
    assert list(lab.ledger.regenerations(lab.night)) == [was]
    lab.submit(regeneration=lambda: again("run-2"))
    assert len(lab.provider.posts) == 4
    record = lab.ledger.night(lab.night)
    assert record is not None
    assert record.generation == 1


@pytest.mark.case(
    "a sensor went on buying for a restored night, whose cancels were lost",
    "it waits until somebody asks for the rest",
)
def test_no_sensor_goes_on_with_a_restored_night(lab: Lab) -> None:
    from flow_pipelines.lifecycle import agenda

    lab.plan(*CITIES)
    lab.submit(limit=1)
    copy = back_up(lab)
    lab.submit(limit=1)
    restore(lab, copy)
    with pytest.raises(LedgerBehind):
        lab.submit()
    lab.clock.advance(7200)
    found = agenda(lab.ledger, lab.clock, batches=[lab.night.batch])
    assert [todo.kind for todo in found.todos] == ["collect"]


@pytest.mark.case(
    "the bucket was changed in mid-night, then the ledger restored",
    "the journal at the new place has every intent, also those of before",
)
def test_a_new_bucket_has_every_intent_of_before(lab: Lab) -> None:
    lab.plan(*CITIES)
    copy = back_up(lab)
    lab.submit(limit=2)
    lab.store = lab.store.at(lab.store.bucket, "elsewhere")
    lab.submit()
    assert len(intents(lab)) == 5
    restore(lab, copy)
    with pytest.raises(LedgerBehind, match="names 5 submission"):
        lab.submit()
    lab.submit()
    assert len(lab.provider.posts) == 5


def test_the_place_of_before_is_looked_at_as_well(lab: Lab) -> None:
    lab.plan(*CITIES)
    copy = back_up(lab)
    lab.submit(limit=2)
    first: S3ImageStore = lab.store
    other = type(lab.night)("posters", "2026-11-22")
    lab.store = first.at(first.bucket, "elsewhere")
    lab.night, night = other, lab.night
    lab.plan(*CITIES)
    lab.submit(limit=1)
    restore(lab, copy)
    lab.night = night
    with pytest.raises(LedgerBehind, match="names 2 submission"):
        lab.submit()


def test_a_half_journal_of_an_unknown_night_is_not_trusted(lab: Lab) -> None:
    copy = back_up(lab)
    lab.plan(*CITIES)
    lab.submit()
    lab.store.delete(lab.store.key("posters", "_journal", lab.night.partition_key, "complete.json"))
    restore(lab, copy)
    lab.plan(*CITIES)
    with pytest.raises(WrongLedger, match="was bought before") as raised:
        lab.submit()
    assert not isinstance(raised.value, LedgerBehind)
    with pytest.raises(WrongLedger, match="was bought before"):
        collect_night(lab.night, lab.ports, owner="images")
    assert lab.states() == ["planned"] * 5


@pytest.mark.case(
    "a run died before its night's first POST, and the ledger was restored: refused for ever",
    "a complete journal that names nothing says that nothing was bought: the night is bought",
)
@pytest.mark.parametrize("died_at", ["_receipts.json", "complete.json", "workflow."])
def test_a_night_of_which_nothing_was_sent_is_bought_after_a_restore(
    lab: Lab, monkeypatch: pytest.MonkeyPatch, died_at: str
) -> None:
    lab.plan(*CITIES)
    copy = back_up(lab)
    restore(lab, copy)
    with monkeypatch.context() as dying:
        for name in ("put_once", "create_json"):
            dying.setattr(S3ImageStore, name, _dies_at(died_at, getattr(S3ImageStore, name)))
        with pytest.raises(KeyboardInterrupt):
            lab.submit()
    assert lab.provider.posts == []
    restore(lab, copy)
    lab.submit()
    assert lab.states() == ["submitted"] * 5


def _dies_at(word: str, write: Callable[..., bool]) -> Callable[..., bool]:
    def dying(store: S3ImageStore, key: str, *rest: object, **named: object) -> bool:
        if word in key:
            raise KeyboardInterrupt
        return write(store, key, *rest, **named)

    return dying
