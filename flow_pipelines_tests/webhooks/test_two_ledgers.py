"""Two ledgers, one account, one batch and night, one secret: nobody takes the other's run."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from flow_pipelines.lifecycle import recover
from flow_pipelines.provider.callbacks import Callback
from flow_pipelines.providers import profile
from flow_pipelines.sandbox.server import Sandbox
from flow_pipelines.sandbox.settings import SandboxSettings, Tuning
from flow_pipelines.webhooks.handler import Reply
from flow_pipelines_tests.fakes import ManualClock
from flow_pipelines_tests.webhooks.webhook_harness import WebhookHarness, eventually

Pair = tuple[WebhookHarness, WebhookHarness]


@pytest.fixture(scope="module")
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture(scope="module")
def sandbox(clock: ManualClock) -> Iterator[Sandbox]:
    tuning = Tuning(slots=8, median_seconds=2.0, max_picture_side=64)
    settings = SandboxSettings(port=0, bucket_port=0, tuning=tuning)
    with Sandbox(settings, now=lambda: clock.now().timestamp()) as running:
        yield running


@pytest.fixture(params=["flora", "floyo"])
def pair(
    request: pytest.FixtureRequest, sandbox: Sandbox, clock: ManualClock, tmp_path: Path
) -> Iterator[Pair]:
    sandbox.reset()
    clock.advance(86_400)
    folders = [tmp_path / name for name in ("ours", "staging")]
    for folder in folders:
        folder.mkdir()
    ours, staging = (WebhookHarness(request.param, sandbox, clock, folder) for folder in folders)
    with ours, staging:
        yield ours, staging


def lose_answers(webhook_harness: WebhookHarness, count: int) -> None:
    operation = webhook_harness.account.case["calls"]["submit"]
    webhook_harness.control.add_fault(
        webhook_harness.provider, operation, "drop_after_accept", count=count
    )


def recover_all(pair: Pair) -> None:
    for webhook_harness in pair:
        recover(webhook_harness.ports)


def check_each_has_its_own(pair: Pair) -> None:
    ours, _ = pair
    labels = {run.id: run.label for run in ours.control.runs(ours.provider)}
    for webhook_harness in pair:
        for row in webhook_harness.rows():
            assert row.provider_run_id is not None
            name = f"{row.submission_key}.{webhook_harness.ledger.ledger_id}"
            assert labels[row.provider_run_id].endswith(name)
    keys = [{row.submission_key for row in webhook_harness.rows()} for webhook_harness in pair]
    assert keys[0] == keys[1], "or the two would not be alike"
    assert ours.billed()[0] == len(labels) == 4


@pytest.mark.case(
    "two ledgers with one batch name shared idempotency keys and labels on one account",
    "each buys its own runs and finds its own, by names that hold the ledger's id",
)
@pytest.mark.parametrize("lost", [0, 4])
def test_each_ledger_buys_and_finds_its_own_runs(pair: Pair, lost: int) -> None:
    if lost:
        lose_answers(pair[0], lost)
    assert [webhook_harness.buy(2).unresolved for webhook_harness in pair] == [lost // 2, lost // 2]
    for _ in range(12):
        pair[0].clock.advance(60)
        recover_all(pair)
    check_each_has_its_own(pair)


def test_callbacks_go_to_the_ledger_whose_run_it_is(pair: Pair) -> None:
    if profile(pair[0].provider).read_callback is None:
        pytest.skip("calls nobody back")
    ours, _ = pair
    for webhook_harness in pair:
        webhook_harness.open_receiver()
    lose_answers(ours, 4)
    for webhook_harness in pair:
        webhook_harness.buy(2)
    ours.clock.advance(20)
    assert all(
        eventually(lambda one=webhook_harness: one.states() == ["submitted"] * 2)
        for webhook_harness in pair
    )
    check_each_has_its_own(pair)


def test_a_callback_that_goes_to_the_other_ledger_changes_nothing_there(pair: Pair) -> None:
    if profile(pair[0].provider).read_callback is None:
        pytest.skip("calls nobody back")
    ours, staging = pair
    lose_answers(ours, 2)
    ours.buy(1)
    staging.buy(1)
    before = staging.rows()
    name = f"{ours.rows()[0].submission_key}.{ours.ledger.ledger_id}"
    run_id = ours.control.runs(ours.provider)[-1].id

    told = staging.handler.take(
        staging.provider, name, Callback(provider_run_id=run_id, ended=True)
    )

    assert told is Reply.UNKNOWN
    assert staging.rows() == before
