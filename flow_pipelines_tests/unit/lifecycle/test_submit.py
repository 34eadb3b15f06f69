"""Intent, POST, receipt: what each answer of a provider leads to."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal

import pytest

from flow_pipelines.lifecycle import submit, submit_lease
from flow_pipelines.model import SubmissionState
from flow_pipelines.model.errors import (
    AccountRejected,
    ConfigurationError,
    KeyAlreadyKnown,
    LeaseLost,
    LedgerBusy,
    NotFound,
    ProviderUnavailable,
    RateLimited,
    RequestRejected,
    SubmitOutcomeUnknown,
    UnexpectedAnswer,
    WrongLedger,
)
from flow_pipelines.storage import S3ImageStore, make_client
from flow_pipelines_tests.unit.lifecycle.conftest import LifecycleHarness

FACTS = {"provider": "floyo", "operation": "create_run"}


def test_every_planned_row_is_sent_once(harness: LifecycleHarness) -> None:
    harness.plan("a cat", "a dog", "a bird")
    summary = harness.submit()
    assert (summary.submitted, summary.stopped) == (3, None)
    assert len(harness.provider.posts) == 3
    assert [post.parameters["6::text"] for post in harness.provider.posts] == [
        "a cat",
        "a dog",
        "a bird",
    ]
    assert harness.states() == ["submitted"] * 3


def test_submitting_again_sends_nothing(harness: LifecycleHarness) -> None:
    harness.plan("a cat", "a dog")
    harness.submit()
    harness.plan()
    assert harness.submit(owner="run-2").submitted == 0
    assert len(harness.provider.posts) == 2


def test_the_intent_is_in_the_ledger_while_the_post_is_under_way(harness: LifecycleHarness) -> None:
    harness.plan("a cat")
    seen: list[list[str]] = []
    harness.provider.on_submit = lambda _request, _n: seen.append(harness.states())
    harness.submit()
    assert seen == [["submitting"]]


def test_a_submit_whose_answer_is_lost_is_not_resent(harness: LifecycleHarness) -> None:
    def lose(request, number):
        if number == 1:
            harness.provider.accept(request)
            raise SubmitOutcomeUnknown("connection lost", **FACTS)

    harness.provider.on_submit = lose
    harness.plan("a cat", "a dog")
    assert harness.submit().unresolved == 1
    harness.submit(owner="run-2")
    assert [post.parameters["6::text"] for post in harness.provider.posts] == ["a cat", "a dog"]
    assert harness.states() == ["unresolved", "submitted"]


@pytest.mark.parametrize(
    "error", [SubmitOutcomeUnknown("lost", **FACTS), UnexpectedAnswer("<html>", **FACTS)]
)
def test_three_lost_answers_in_a_row_stop_the_batch(
    harness: LifecycleHarness, error: Exception
) -> None:
    def lose(request, number):
        raise error

    harness.provider.on_submit = lose
    harness.plan(*[f"cat {n}" for n in range(6)])
    summary = harness.submit()
    assert harness.states() == ["unresolved"] * 3 + ["planned"] * 3
    assert summary.needs_person
    assert "in a row" in (summary.stopped or "")
    assert summary.left_planned == 3


def test_lost_answers_with_successes_between_do_not_stop_it(harness: LifecycleHarness) -> None:
    def lose(request, number):
        if number % 2:
            raise SubmitOutcomeUnknown("lost", **FACTS)

    harness.provider.on_submit = lose
    harness.plan(*[f"cat {n}" for n in range(8)])
    assert harness.submit().stopped is None
    assert harness.states().count("unresolved") == 4


@pytest.mark.parametrize(
    "error",
    [
        AccountRejected("no such key", status=401, code="unauthorized", **FACTS),
        AccountRejected("no credit", status=402, **FACTS),
        NotFound("no such workflow", status=404, **FACTS),
    ],
)
def test_an_account_level_answer_stops_the_batch_at_once(
    harness: LifecycleHarness, error: Exception
) -> None:
    def refuse(request, number):
        raise error

    harness.provider.on_submit = refuse
    harness.plan("a cat", "a dog", "a bird")
    summary = harness.submit()
    assert len(harness.provider.posts) == 1
    assert harness.states() == ["planned"] * 3
    assert summary.needs_person
    assert "stays planned" in (summary.stopped or "")


def test_a_row_at_fault_fails_alone_and_costs_nothing(harness: LifecycleHarness) -> None:
    def reject(request, number):
        if number == 2:
            raise RequestRejected("bad node", status=400, code="invalid", **FACTS)

    harness.provider.on_submit = reject
    harness.plan("a cat", "a dog", "a bird")
    harness.submit()
    assert harness.states() == ["submitted", "failed", "submitted"]
    failed = harness.ledger.submissions(harness.night, states={SubmissionState.FAILED})[0]
    assert (failed.error_code, failed.reserved_usd) == ("invalid", Decimal(0))


def test_a_refused_connection_is_tried_again_because_nothing_was_accepted(
    harness: LifecycleHarness,
) -> None:
    def refuse(request, number):
        if number <= 2:
            raise ProviderUnavailable("connection refused", **FACTS)

    harness.provider.on_submit = refuse
    harness.plan("a cat")
    assert harness.submit().submitted == 1
    assert len(harness.provider.runs) == 1


def test_a_provider_that_stays_away_leaves_the_rest_planned_for_a_later_run(
    harness: LifecycleHarness,
) -> None:
    def refuse(request, number):
        raise ProviderUnavailable("connection refused", **FACTS)

    harness.provider.on_submit = refuse
    harness.plan("a cat", "a dog")
    summary = harness.submit()
    assert harness.states() == ["planned", "planned"]
    assert summary.stopped
    assert not summary.needs_person


@pytest.mark.case(
    "a 429 that asks for a day held a run for a minute, five times over",
    "the run ends at once with the 429 and the time in its message; its rows stay planned",
)
def test_a_wait_longer_than_for_a_turn_ends_the_run_at_once(harness: LifecycleHarness) -> None:
    def refuse(request, number):
        raise RateLimited("slow down", status=429, retry_after_seconds=86_400.0, **FACTS)

    harness.provider.on_submit = refuse
    harness.plan("a cat", "a dog")
    began = harness.clock.now()
    summary = harness.submit()
    assert (harness.clock.now(), len(harness.provider.posts)) == (began, 1)
    assert harness.states() == ["planned", "planned"]
    assert not summary.needs_person
    assert summary.stopped is not None
    assert "HTTP 429" in summary.stopped
    assert f"{began + timedelta(days=1):%Y-%m-%d %H:%M:%S} UTC" in summary.stopped


def test_a_wait_as_long_as_for_a_turn_is_waited_for(harness: LifecycleHarness) -> None:
    def refuse(request, number):
        if number == 1:
            raise RateLimited("slow down", status=429, retry_after_seconds=40.0, **FACTS)

    harness.provider.on_submit = refuse
    harness.plan("a cat")
    began = harness.clock.monotonic()
    assert harness.submit().submitted == 1
    assert harness.clock.monotonic() - began >= 40.0


def test_a_known_key_waits_for_a_person_instead_of_being_sent_again(
    harness: LifecycleHarness,
) -> None:
    def known(request, number):
        harness.provider.accept(request)
        raise KeyAlreadyKnown("duplicate", status=409, **FACTS)

    harness.provider.on_submit = known
    harness.plan("a cat")
    assert harness.submit().unresolved == 1
    harness.submit(owner="run-2")
    assert (harness.states(), len(harness.provider.posts)) == (["unresolved"], 1)


def test_an_interrupt_inside_the_post_parks_the_submission(harness: LifecycleHarness) -> None:
    def interrupt(request, number):
        raise KeyboardInterrupt

    harness.provider.on_submit = interrupt
    harness.plan("a cat", "a dog")
    with pytest.raises(KeyboardInterrupt):
        harness.submit()
    assert harness.states() == ["unresolved", "planned"]
    assert harness.ledger.lease(submit_lease(harness.night)) is None


def test_a_busy_ledger_is_offered_the_receipt_again(harness: LifecycleHarness, monkeypatch) -> None:
    write, busy = harness.ledger.record_receipt, iter([True, True, False])

    def sometimes(*args: object, **named: object) -> object:
        if next(busy):
            raise LedgerBusy("locked")
        return write(*args, **named)

    monkeypatch.setattr(harness.ledger, "record_receipt", sometimes)
    harness.plan("a cat")
    assert harness.submit().submitted == 1
    assert harness.states() == ["submitted"]


def test_a_receipt_that_cannot_be_written_leaves_its_run_id_in_the_log(
    harness: LifecycleHarness, monkeypatch
) -> None:
    def never(*args: object, **named: object) -> None:
        raise LedgerBusy("locked")

    monkeypatch.setattr(harness.ledger, "record_receipt", never)
    harness.plan("a cat", "a dog")
    with pytest.raises(LedgerBusy):
        harness.submit()
    assert any("run_0001" in line and "--attach" in line for line in harness.lines)
    assert len(harness.provider.posts) == 1


def test_a_budget_leaves_rows_out_with_the_reason(harness: LifecycleHarness) -> None:
    harness.with_settings(budget_usd=Decimal("0.02"), price_usd_per_run=Decimal("0.01"))
    harness.plan("a cat", "a dog", "a bird", "a fish")
    summary = harness.submit()
    assert harness.states() == ["submitted", "submitted", "skipped", "skipped"]
    assert summary.skipped == 2
    skipped = harness.ledger.submissions(harness.night, states={SubmissionState.SKIPPED})[0]
    assert "budget" in (skipped.reason or "").lower()


@pytest.fixture
def small_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(submit, "PAGE", 2)


@pytest.mark.usefixtures("small_pages")
def test_a_night_of_several_pages_is_sent_once_and_in_order(harness: LifecycleHarness) -> None:
    prompts = [f"cat {number}" for number in range(5)]
    harness.plan(*prompts)
    assert harness.submit(limit=3).left_planned == 2
    assert harness.submit().submitted == 2
    assert [post.parameters["6::text"] for post in harness.provider.posts] == prompts


@pytest.mark.usefixtures("small_pages")
def test_a_budget_leaves_out_the_rows_of_every_page_but_none_beyond_the_limit(
    harness: LifecycleHarness,
) -> None:
    harness.with_settings(budget_usd=Decimal("0.01"), price_usd_per_run=Decimal("0.01"))
    harness.plan(*(f"cat {number}" for number in range(8)))
    assert harness.submit(limit=6).skipped == 5
    assert harness.states() == ["submitted", *["skipped"] * 5, *["planned"] * 2]


def test_the_daily_budget_counts_every_batch_of_the_account(harness: LifecycleHarness) -> None:
    harness.with_settings(daily_budget_usd=Decimal("0.03"), price_usd_per_run=Decimal("0.01"))
    harness.plan("a cat", "a dog")
    harness.submit()
    harness.night = harness.night._replace(partition_key="2026-11-20")
    harness.plan()
    harness.submit()
    assert harness.states() == ["submitted", "skipped"]


@pytest.mark.parametrize("price", [Decimal(0), Decimal("0.02"), None])
def test_the_price_of_a_run_is_kept_beside_its_reservation(
    harness: LifecycleHarness, price: Decimal | None
) -> None:
    harness.with_settings(price_usd_per_run=price)
    harness.provider.price = None
    harness.plan("a cat")
    harness.submit()
    (sent,) = harness.ledger.submissions(harness.night)
    assert (sent.estimate_usd, sent.reserved_usd) == (price, price or Decimal(0))


def test_a_budget_without_a_price_is_refused_before_anything_is_sent(
    harness: LifecycleHarness,
) -> None:
    harness.provider.price = None
    harness.with_settings(budget_usd=Decimal(5))
    harness.plan("a cat")
    with pytest.raises(ConfigurationError, match="price_usd_per_run"):
        harness.submit()
    assert harness.provider.posts == []


def test_limit_leaves_the_other_rows_planned(harness: LifecycleHarness) -> None:
    harness.plan("a cat", "a dog", "a bird")
    summary = harness.submit(limit=2)
    assert harness.states() == ["submitted", "submitted", "planned"]
    assert (summary.stopped, summary.left_planned) == (None, 1)


def test_pause_stops_before_the_next_post(harness: LifecycleHarness) -> None:
    def pause(request, number):
        if number == 1:
            harness.ledger.pause("ann", "looks odd")

    harness.provider.on_submit = pause
    harness.plan("a cat", "a dog")
    harness.submit()
    assert harness.states() == ["submitted", "planned"]


def test_only_the_holder_of_the_lease_may_submit(harness: LifecycleHarness) -> None:
    harness.plan("a cat")
    assert harness.ledger.acquire_lease(submit_lease(harness.night), "run-0", 60)
    with pytest.raises(LeaseLost, match="run-0"):
        harness.submit(owner="run-1")
    assert harness.provider.posts == []


def test_a_holder_that_lost_its_lease_between_turn_and_intent_sends_nothing(
    harness: LifecycleHarness,
) -> None:
    def steal() -> None:
        harness.clock.advance(3600)
        harness.ledger.acquire_lease(submit_lease(harness.night), "run-2", 60)

    harness.plan("a cat")
    harness.provider.before_turn = steal
    summary = harness.submit(owner="run-1")
    assert summary.stopped
    assert harness.provider.posts == []


def test_a_bucket_owned_by_another_ledger_stops_everything(harness: LifecycleHarness) -> None:
    harness.plan("a cat")
    harness.store.create_json(
        harness.store.key(harness.night.batch, "_ledger.json"), {"ledger_id": "other"}
    )
    with pytest.raises(WrongLedger, match="adopt"):
        harness.submit()
    assert harness.provider.posts == []


def test_a_ledger_that_lost_its_rows_does_not_buy_a_night_again(harness: LifecycleHarness) -> None:
    harness.plan("a cat")
    folder = harness.store.key(harness.night.batch, harness.night.partition_key)
    harness.store.put(f"{folder}/runs.parquet", b"PAR1", media_type="application/octet-stream")
    with pytest.raises(WrongLedger, match="bought before"):
        harness.submit()
    assert harness.provider.posts == []


def test_a_missing_bucket_is_found_before_anything_is_sent(harness: LifecycleHarness) -> None:
    harness.plan("a cat")
    harness.store = S3ImageStore("no-such-bucket", "flow", make_client(), harness.clock)
    with pytest.raises(ConfigurationError, match="no-such-bucket"):
        harness.submit()
    assert harness.provider.posts == []
