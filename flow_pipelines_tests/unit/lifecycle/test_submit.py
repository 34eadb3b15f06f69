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
from flow_pipelines_tests.unit.lifecycle.conftest import Lab

FACTS = {"provider": "floyo", "operation": "create_run"}


def test_every_planned_row_is_sent_once(lab: Lab) -> None:
    lab.plan("a cat", "a dog", "a bird")
    summary = lab.submit()
    assert (summary.submitted, summary.stopped) == (3, None)
    assert len(lab.provider.posts) == 3
    assert [post.parameters["6::text"] for post in lab.provider.posts] == [
        "a cat",
        "a dog",
        "a bird",
    ]
    assert lab.states() == ["submitted"] * 3


def test_submitting_again_sends_nothing(lab: Lab) -> None:
    lab.plan("a cat", "a dog")
    lab.submit()
    lab.plan()
    assert lab.submit(owner="run-2").submitted == 0
    assert len(lab.provider.posts) == 2


def test_the_intent_is_in_the_ledger_while_the_post_is_under_way(lab: Lab) -> None:
    lab.plan("a cat")
    seen: list[list[str]] = []
    lab.provider.on_submit = lambda _request, _n: seen.append(lab.states())
    lab.submit()
    assert seen == [["submitting"]]


def test_a_submit_whose_answer_is_lost_is_not_resent(lab: Lab) -> None:
    def lose(request, number):
        if number == 1:
            lab.provider.accept(request)
            raise SubmitOutcomeUnknown("connection lost", **FACTS)

    lab.provider.on_submit = lose
    lab.plan("a cat", "a dog")
    assert lab.submit().unresolved == 1
    lab.submit(owner="run-2")
    assert [post.parameters["6::text"] for post in lab.provider.posts] == ["a cat", "a dog"]
    assert lab.states() == ["unresolved", "submitted"]


@pytest.mark.parametrize(
    "error", [SubmitOutcomeUnknown("lost", **FACTS), UnexpectedAnswer("<html>", **FACTS)]
)
def test_three_lost_answers_in_a_row_stop_the_batch(lab: Lab, error: Exception) -> None:
    def lose(request, number):
        raise error

    lab.provider.on_submit = lose
    lab.plan(*[f"cat {n}" for n in range(6)])
    summary = lab.submit()
    assert lab.states() == ["unresolved"] * 3 + ["planned"] * 3
    assert summary.needs_person
    assert "in a row" in (summary.stopped or "")
    assert summary.left_planned == 3


def test_lost_answers_with_successes_between_do_not_stop_it(lab: Lab) -> None:
    def lose(request, number):
        if number % 2:
            raise SubmitOutcomeUnknown("lost", **FACTS)

    lab.provider.on_submit = lose
    lab.plan(*[f"cat {n}" for n in range(8)])
    assert lab.submit().stopped is None
    assert lab.states().count("unresolved") == 4


@pytest.mark.parametrize(
    "error",
    [
        AccountRejected("no such key", status=401, code="unauthorized", **FACTS),
        AccountRejected("no credit", status=402, **FACTS),
        NotFound("no such workflow", status=404, **FACTS),
    ],
)
def test_an_account_level_answer_stops_the_batch_at_once(lab: Lab, error: Exception) -> None:
    def refuse(request, number):
        raise error

    lab.provider.on_submit = refuse
    lab.plan("a cat", "a dog", "a bird")
    summary = lab.submit()
    assert len(lab.provider.posts) == 1
    assert lab.states() == ["planned"] * 3
    assert summary.needs_person
    assert "stays planned" in (summary.stopped or "")


def test_a_row_at_fault_fails_alone_and_costs_nothing(lab: Lab) -> None:
    def reject(request, number):
        if number == 2:
            raise RequestRejected("bad node", status=400, code="invalid", **FACTS)

    lab.provider.on_submit = reject
    lab.plan("a cat", "a dog", "a bird")
    lab.submit()
    assert lab.states() == ["submitted", "failed", "submitted"]
    failed = lab.ledger.submissions(lab.night, states={SubmissionState.FAILED})[0]
    assert (failed.error_code, failed.reserved_usd) == ("invalid", Decimal(0))


def test_a_refused_connection_is_tried_again_because_nothing_was_accepted(lab: Lab) -> None:
    def refuse(request, number):
        if number <= 2:
            raise ProviderUnavailable("connection refused", **FACTS)

    lab.provider.on_submit = refuse
    lab.plan("a cat")
    assert lab.submit().submitted == 1
    assert len(lab.provider.runs) == 1


def test_a_provider_that_stays_away_leaves_the_rest_planned_for_a_later_run(lab: Lab) -> None:
    def refuse(request, number):
        raise ProviderUnavailable("connection refused", **FACTS)

    lab.provider.on_submit = refuse
    lab.plan("a cat", "a dog")
    summary = lab.submit()
    assert lab.states() == ["planned", "planned"]
    assert summary.stopped
    assert not summary.needs_person


@pytest.mark.case(
    "a 429 that asks for a day held a run for a minute, five times over",
    "the run ends at once with the 429 and the time in its message; its rows stay planned",
)
def test_a_wait_longer_than_for_a_turn_ends_the_run_at_once(lab: Lab) -> None:
    def refuse(request, number):
        raise RateLimited("slow down", status=429, retry_after_seconds=86_400.0, **FACTS)

    lab.provider.on_submit = refuse
    lab.plan("a cat", "a dog")
    began = lab.clock.now()
    summary = lab.submit()
    assert (lab.clock.now(), len(lab.provider.posts)) == (began, 1)
    assert lab.states() == ["planned", "planned"]
    assert not summary.needs_person
    assert summary.stopped is not None
    assert "HTTP 429" in summary.stopped
    assert f"{began + timedelta(days=1):%Y-%m-%d %H:%M:%S} UTC" in summary.stopped


def test_a_wait_as_long_as_for_a_turn_is_waited_for(lab: Lab) -> None:
    def refuse(request, number):
        if number == 1:
            raise RateLimited("slow down", status=429, retry_after_seconds=40.0, **FACTS)

    lab.provider.on_submit = refuse
    lab.plan("a cat")
    began = lab.clock.monotonic()
    assert lab.submit().submitted == 1
    assert lab.clock.monotonic() - began >= 40.0


def test_a_known_key_waits_for_a_person_instead_of_being_sent_again(lab: Lab) -> None:
    def known(request, number):
        lab.provider.accept(request)
        raise KeyAlreadyKnown("duplicate", status=409, **FACTS)

    lab.provider.on_submit = known
    lab.plan("a cat")
    assert lab.submit().unresolved == 1
    lab.submit(owner="run-2")
    assert (lab.states(), len(lab.provider.posts)) == (["unresolved"], 1)


def test_an_interrupt_inside_the_post_parks_the_submission(lab: Lab) -> None:
    def interrupt(request, number):
        raise KeyboardInterrupt

    lab.provider.on_submit = interrupt
    lab.plan("a cat", "a dog")
    with pytest.raises(KeyboardInterrupt):
        lab.submit()
    assert lab.states() == ["unresolved", "planned"]
    assert lab.ledger.lease(submit_lease(lab.night)) is None


def test_a_busy_ledger_is_offered_the_receipt_again(lab: Lab, monkeypatch) -> None:
    write, busy = lab.ledger.record_receipt, iter([True, True, False])

    def sometimes(*args: object, **named: object) -> object:
        if next(busy):
            raise LedgerBusy("locked")
        return write(*args, **named)

    monkeypatch.setattr(lab.ledger, "record_receipt", sometimes)
    lab.plan("a cat")
    assert lab.submit().submitted == 1
    assert lab.states() == ["submitted"]


def test_a_receipt_that_cannot_be_written_leaves_its_run_id_in_the_log(
    lab: Lab, monkeypatch
) -> None:
    def never(*args: object, **named: object) -> None:
        raise LedgerBusy("locked")

    monkeypatch.setattr(lab.ledger, "record_receipt", never)
    lab.plan("a cat", "a dog")
    with pytest.raises(LedgerBusy):
        lab.submit()
    assert any("run_0001" in line and "--attach" in line for line in lab.lines)
    assert len(lab.provider.posts) == 1


def test_a_budget_leaves_rows_out_with_the_reason(lab: Lab) -> None:
    lab.with_settings(budget_usd=Decimal("0.02"), price_usd_per_run=Decimal("0.01"))
    lab.plan("a cat", "a dog", "a bird", "a fish")
    summary = lab.submit()
    assert lab.states() == ["submitted", "submitted", "skipped", "skipped"]
    assert summary.skipped == 2
    skipped = lab.ledger.submissions(lab.night, states={SubmissionState.SKIPPED})[0]
    assert "budget" in (skipped.reason or "").lower()


@pytest.fixture
def small_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(submit, "PAGE", 2)


@pytest.mark.usefixtures("small_pages")
def test_a_night_of_several_pages_is_sent_once_and_in_order(lab: Lab) -> None:
    prompts = [f"cat {number}" for number in range(5)]
    lab.plan(*prompts)
    assert lab.submit(limit=3).left_planned == 2
    assert lab.submit().submitted == 2
    assert [post.parameters["6::text"] for post in lab.provider.posts] == prompts


@pytest.mark.usefixtures("small_pages")
def test_a_budget_leaves_out_the_rows_of_every_page_but_none_beyond_the_limit(lab: Lab) -> None:
    lab.with_settings(budget_usd=Decimal("0.01"), price_usd_per_run=Decimal("0.01"))
    lab.plan(*(f"cat {number}" for number in range(8)))
    assert lab.submit(limit=6).skipped == 5
    assert lab.states() == ["submitted", *["skipped"] * 5, *["planned"] * 2]


def test_the_daily_budget_counts_every_batch_of_the_account(lab: Lab) -> None:
    lab.with_settings(daily_budget_usd=Decimal("0.03"), price_usd_per_run=Decimal("0.01"))
    lab.plan("a cat", "a dog")
    lab.submit()
    lab.night = lab.night._replace(partition_key="2026-11-20")
    lab.plan()
    lab.submit()
    assert lab.states() == ["submitted", "skipped"]


@pytest.mark.parametrize("price", [Decimal(0), Decimal("0.02"), None])
def test_the_price_of_a_run_is_kept_beside_its_reservation(lab: Lab, price: Decimal | None) -> None:
    lab.with_settings(price_usd_per_run=price)
    lab.provider.price = None
    lab.plan("a cat")
    lab.submit()
    (sent,) = lab.ledger.submissions(lab.night)
    assert (sent.estimate_usd, sent.reserved_usd) == (price, price or Decimal(0))


def test_a_budget_without_a_price_is_refused_before_anything_is_sent(lab: Lab) -> None:
    lab.provider.price = None
    lab.with_settings(budget_usd=Decimal(5))
    lab.plan("a cat")
    with pytest.raises(ConfigurationError, match="price_usd_per_run"):
        lab.submit()
    assert lab.provider.posts == []


def test_limit_leaves_the_other_rows_planned(lab: Lab) -> None:
    lab.plan("a cat", "a dog", "a bird")
    summary = lab.submit(limit=2)
    assert lab.states() == ["submitted", "submitted", "planned"]
    assert (summary.stopped, summary.left_planned) == (None, 1)


def test_pause_stops_before_the_next_post(lab: Lab) -> None:
    def pause(request, number):
        if number == 1:
            lab.ledger.pause("ann", "looks odd")

    lab.provider.on_submit = pause
    lab.plan("a cat", "a dog")
    lab.submit()
    assert lab.states() == ["submitted", "planned"]


def test_only_the_holder_of_the_lease_may_submit(lab: Lab) -> None:
    lab.plan("a cat")
    assert lab.ledger.acquire_lease(submit_lease(lab.night), "run-0", 60)
    with pytest.raises(LeaseLost, match="run-0"):
        lab.submit(owner="run-1")
    assert lab.provider.posts == []


def test_a_holder_that_lost_its_lease_between_turn_and_intent_sends_nothing(lab: Lab) -> None:
    def steal() -> None:
        lab.clock.advance(3600)
        lab.ledger.acquire_lease(submit_lease(lab.night), "run-2", 60)

    lab.plan("a cat")
    lab.provider.before_turn = steal
    summary = lab.submit(owner="run-1")
    assert summary.stopped
    assert lab.provider.posts == []


def test_a_bucket_owned_by_another_ledger_stops_everything(lab: Lab) -> None:
    lab.plan("a cat")
    lab.store.create_json(lab.store.key(lab.night.batch, "_ledger.json"), {"ledger_id": "other"})
    with pytest.raises(WrongLedger, match="adopt"):
        lab.submit()
    assert lab.provider.posts == []


def test_a_ledger_that_lost_its_rows_does_not_buy_a_night_again(lab: Lab) -> None:
    lab.plan("a cat")
    folder = lab.store.key(lab.night.batch, lab.night.partition_key)
    lab.store.put(f"{folder}/runs.parquet", b"PAR1", media_type="application/octet-stream")
    with pytest.raises(WrongLedger, match="bought before"):
        lab.submit()
    assert lab.provider.posts == []


def test_a_missing_bucket_is_found_before_anything_is_sent(lab: Lab) -> None:
    lab.plan("a cat")
    lab.store = S3ImageStore("no-such-bucket", "flow", make_client(), lab.clock)
    with pytest.raises(ConfigurationError, match="no-such-bucket"):
        lab.submit()
    assert lab.provider.posts == []
