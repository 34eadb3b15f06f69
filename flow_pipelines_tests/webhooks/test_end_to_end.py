"""Nights whose provider tells of its runs, with callbacks that come, fail, repeat and are late."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from flow_pipelines.lifecycle import collect_night
from flow_pipelines.providers import profile, provider_names
from flow_pipelines.sandbox.server import Sandbox
from flow_pipelines.sandbox.settings import SandboxSettings, Tuning
from flow_pipelines_tests.fakes import ManualClock
from flow_pipelines_tests.webhooks.webhook_harness import NIGHT, WebhookHarness, eventually

CALL_BACK = [name for name in provider_names() if profile(name).read_callback is not None]


@pytest.fixture(scope="module")
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture(scope="module")
def sandbox(clock: ManualClock) -> Iterator[Sandbox]:
    tuning = Tuning(slots=8, median_seconds=2.0, max_picture_side=64)
    settings = SandboxSettings(port=0, bucket_port=0, tuning=tuning)
    with Sandbox(settings, now=lambda: clock.now().timestamp()) as running:
        yield running


@pytest.fixture(params=CALL_BACK)
def webhook_harness(
    request: pytest.FixtureRequest, sandbox: Sandbox, clock: ManualClock, tmp_path: Path
) -> Iterator[WebhookHarness]:
    sandbox.reset()
    clock.advance(120)
    with WebhookHarness(request.param, sandbox, clock, tmp_path) as webhook_harness:
        yield webhook_harness


def test_a_run_is_asked_after_once_when_its_callback_has_come(
    webhook_harness: WebhookHarness,
) -> None:
    webhook_harness.open_receiver()
    webhook_harness.buy(2)
    before = webhook_harness.asked()
    assert webhook_harness.poll() == 0  # nothing is due: nothing was asked
    assert webhook_harness.asked() == before

    webhook_harness.clock.advance(20)
    assert eventually(lambda: webhook_harness.due() == 2)
    assert webhook_harness.poll() == 2

    assert webhook_harness.states() == ["succeeded", "succeeded"]
    assert (webhook_harness.asked() - before).total() <= 2 + 1  # a token may have to be renewed
    assert {one.status for one in webhook_harness.control.deliveries()} == {204}
    assert webhook_harness.billed() == (2, 0)
    collect_night(NIGHT, webhook_harness.ports, owner="tick")
    assert all(row.collected_at for row in webhook_harness.rows())


def test_polling_alone_does_it_while_the_receiver_is_down(webhook_harness: WebhookHarness) -> None:
    webhook_harness.close_receiver()
    webhook_harness.buy(2)

    webhook_harness.clock.advance(20)
    assert eventually(lambda: len(webhook_harness.control.deliveries()) >= 2)
    assert webhook_harness.due() == 0
    webhook_harness.clock.advance(10)

    assert webhook_harness.poll() == 2
    assert webhook_harness.billed() == (2, 0)
    assert {one.status for one in webhook_harness.control.deliveries()} == {0}


@pytest.mark.parametrize("action", ["lost_callback", "duplicate_callback", "slow_callback"])
def test_lost_doubled_and_late_callbacks_change_nothing_but_the_time(
    webhook_harness: WebhookHarness, action: str
) -> None:
    webhook_harness.open_receiver()
    webhook_harness.control.add_fault(
        webhook_harness.provider, "callback", action, count=2, seconds=600
    )
    webhook_harness.buy(2)
    webhook_harness.clock.advance(31)  # from here on polls are due by themselves
    assert webhook_harness.poll() == 2
    rows = webhook_harness.rows()
    expected = 0 if action == "lost_callback" else 2
    if action == "duplicate_callback":
        # Signed with their time: read ten minutes later they would be refused as stale.
        assert eventually(lambda: len(webhook_harness.control.deliveries()) >= expected)
    webhook_harness.clock.advance(600)
    assert eventually(lambda: len(webhook_harness.control.deliveries()) >= expected)

    assert webhook_harness.rows() == rows
    assert webhook_harness.states() == ["succeeded", "succeeded"]
    assert webhook_harness.billed() == (2, 0)
    told = {one.status for one in webhook_harness.control.deliveries()}
    assert told <= {204, 503}  # one that met its run's poll is to come again


def test_a_callback_tells_whose_a_run_is_when_the_answer_was_lost(
    webhook_harness: WebhookHarness,
) -> None:
    webhook_harness.open_receiver()
    submit = webhook_harness.account.case["calls"]["submit"]
    webhook_harness.control.add_fault(
        webhook_harness.provider, submit, "drop_after_accept", count=1
    )

    summary = webhook_harness.buy(1)

    assert summary.unresolved == 1
    webhook_harness.clock.advance(20)
    assert eventually(lambda: webhook_harness.states() == ["submitted"])
    assert webhook_harness.poll() == 1
    assert webhook_harness.states() == ["succeeded"]
    assert webhook_harness.billed() == (1, 0)
    assert webhook_harness.asked()[submit] == 1
    [row] = webhook_harness.rows()
    assert webhook_harness.ledger.settlements(row.submission_key)[0].who == "callback"


def test_no_token_gets_into_what_the_ledger_keeps_or_people_read(
    webhook_harness: WebhookHarness,
) -> None:
    webhook_harness.open_receiver()
    webhook_harness.buy(1)
    webhook_harness.clock.advance(20)
    assert eventually(lambda: webhook_harness.due() == 1)
    webhook_harness.poll()

    [row] = webhook_harness.rows()
    address = webhook_harness.ports.callback_url(row.submission_key, row.intent_ledger_id)
    assert address is not None
    token = address.rpartition("/")[2]
    assert token in webhook_harness.control.deliveries()[0].url
    webhook_harness.ledger.close()
    kept = b"".join(file.read_bytes() for file in webhook_harness.folder.iterdir())
    assert row.submission_key.encode() in kept
    assert token.encode() not in kept
    assert webhook_harness.lines
    assert token not in "\n".join(webhook_harness.lines)
