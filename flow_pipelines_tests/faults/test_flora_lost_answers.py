"""A lost answer at FLORA ends with one bill, whichever of its accounts of idempotency is true."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest

from flow_pipelines.lifecycle import collect_night, recover, wait_for_night
from flow_pipelines.model import Receipt, SubmissionState
from flow_pipelines.sandbox.server import Sandbox
from flow_pipelines.sandbox.settings import SandboxSettings, Tuning
from flow_pipelines_tests.buckets import bucket_process, bucket_server  # noqa: F401 - fixtures
from flow_pipelines_tests.conformance.providers.account import Account
from flow_pipelines_tests.fakes import ManualClock
from flow_pipelines_tests.unit.lifecycle.conftest import LifecycleHarness, harness  # noqa: F401 - fixture

ACCOUNTS = ("replay_current", "replay_stored", "duplicate_409")
CREATE, LIST = "create_technique_run", "list_technique_runs"


@pytest.fixture(scope="module")
def sandbox_clock() -> ManualClock:
    return ManualClock()


@pytest.fixture(scope="module")
def sandbox(sandbox_clock: ManualClock) -> Iterator[Sandbox]:
    settings = SandboxSettings(port=0, bucket_port=0, tuning=Tuning(max_picture_side=64))
    with Sandbox(settings, now=lambda: sandbox_clock.now().timestamp()) as running:
        yield running


class FloraNight:
    """A night at FLORA: what to buy, and the stand-in that bills it."""

    def __init__(self, harness: LifecycleHarness, account: Account) -> None:  # noqa: F811 - the fixture's type
        self.lab, self.account = harness, account
        harness.clock, harness.provider = account.clock, account.provider
        harness.ledger._database.clock = account.clock
        harness.with_settings(
            provider="flora",
            resource="flora",
            workflow="city-poster",
            parameters={"prompt": "{prompt}"},
        )

    def buy(self, *prompts: str) -> list[str]:
        self.lab.plan(*prompts)
        self.lab.submit()
        return self.lab.states()

    def look_after(self, minutes: int) -> list[str]:
        for _ in range(minutes * 2):
            self.lab.clock.advance(30)
            recover(self.lab.ports)
        return self.lab.states()

    def lose(self, action: str = "drop_after_accept", **details: Any) -> None:
        self.account.fault(CREATE, action, **details)

    def bills(self) -> tuple[int, int]:
        meter = self.account.meter()
        return meter.runs_billed, meter.duplicate_bills

    def copies(self) -> int:
        return self.account.meter().requests.get(CREATE, 0) - 1


@pytest.fixture
def night(harness: LifecycleHarness, sandbox: Sandbox, sandbox_clock: ManualClock) -> FloraNight:  # noqa: F811 - the fixture's type
    sandbox_clock.advance(86_400)
    account = Account("flora", sandbox, sandbox_clock)
    account.control.reset()
    account.control.configure(flora_idempotency_lag_seconds=0.0)
    return FloraNight(harness, account)


@pytest.mark.parametrize("idempotency", ACCOUNTS)
@pytest.mark.parametrize("action", ["drop_after_accept", "drop_before_accept", "bad_json"])
def test_a_lost_answer_ends_with_one_bill(night: FloraNight, idempotency: str, action: str) -> None:
    night.account.control.configure(flora_idempotency=idempotency)
    night.lose(action)
    assert night.buy("a cat") == ["unresolved"]
    told = action == "drop_before_accept" or idempotency != "duplicate_409"
    assert night.look_after(8) == ["submitted" if told else "unresolved"]
    assert night.bills() == (1, 0)
    assert night.copies() == 1
    [row] = night.lab.ledger.submissions(night.lab.night)
    [run] = night.account.control.runs("flora")
    assert row.provider_run_id == (run.id if told else None)
    assert told or f"1 provider run may be its ({run.id})" in (row.reason or "")


@pytest.mark.parametrize("idempotency", ACCOUNTS)
def test_a_lost_answer_ends_with_one_bill_when_no_list_tells(
    night: FloraNight, idempotency: str
) -> None:
    night.account.control.configure(
        flora_idempotency=idempotency, flora_idempotency_lag_seconds=90.0
    )
    night.account.fault(LIST, "status", status=503, count=None)
    night.lose()
    assert night.buy("a cat") == ["unresolved"]
    replays = idempotency != "duplicate_409"
    assert night.look_after(8) == ["submitted" if replays else "unresolved"]
    assert night.copies() >= 1
    night.account.control.clear_faults()
    assert night.look_after(30) == ["submitted" if replays else "unresolved"]
    assert night.bills() == (1, 0)


@pytest.mark.case(
    "three rows at FLORA, one POST dropped before it was accepted: two ticks later the row had a "
    "stranger's run, picture and cost",
    "its copy makes its own run; without one it stays unresolved, the stranger's a candidate",
)
@pytest.mark.parametrize("copies_lost", [False, True])
def test_a_strangers_run_of_the_same_technique_is_never_taken(
    night: FloraNight, copies_lost: bool
) -> None:
    night.lose("drop_before_accept", contains="a dog", count=None if copies_lost else 1)
    assert night.buy("a cat", "a dog", "a bird") == ["submitted", "unresolved", "submitted"]
    workflow = night.account.provider.read_workflow("city-poster", lambda _: b"")
    strangers = replace(night.account.order(workflow), parameters={"prompt": "a stranger"})
    stranger = night.account.buy(strangers)

    states = night.look_after(200)

    assert states == ["submitted", "unresolved" if copies_lost else "submitted", "submitted"]
    rows = night.lab.ledger.submissions(night.lab.night)
    assert stranger not in {row.provider_run_id for row in rows}
    assert night.bills() == (3 if copies_lost else 4, 0)
    if copies_lost:
        assert f"1 provider run may be its ({stranger})" in (rows[1].reason or "")


@pytest.mark.parametrize("idempotency", ACCOUNTS)
def test_two_lost_answers_end_with_two_bills_and_no_mix_up(
    night: FloraNight, idempotency: str
) -> None:
    night.account.control.configure(flora_idempotency=idempotency)
    night.lose(count=2)
    assert night.buy("a cat", "a dog") == ["unresolved", "unresolved"]
    told = idempotency != "duplicate_409"
    assert night.look_after(100) == (["submitted", "submitted"] if told else ["unresolved"] * 2)
    assert night.bills() == (2, 0)
    labels = {run.id: run.label for run in night.account.control.runs("flora")}
    for submission in night.lab.ledger.submissions(night.lab.night):
        run_id = submission.provider_run_id
        assert run_id is None or labels[run_id].startswith(submission.submission_key)


@pytest.mark.parametrize("idempotency", ACCOUNTS)
def test_answers_that_stay_lost_never_buy_again(night: FloraNight, idempotency: str) -> None:
    night.account.control.configure(flora_idempotency=idempotency)
    night.account.fault(LIST, "status", status=503, count=None)
    night.lose(count=None)
    assert night.buy("a cat") == ["unresolved"]
    assert night.look_after(200) == ["unresolved"]
    assert night.bills() == (1, 0)
    assert 3 <= night.copies() <= 8


def test_a_copy_within_the_time_that_keys_need_would_have_bought_twice(night: FloraNight) -> None:
    night.account.control.configure(flora_idempotency_lag_seconds=90.0)
    order = night.account.order()
    night.account.buy(order)
    night.account.buy(order)
    assert night.bills() == (2, 1)


def test_a_night_is_stored_with_its_texts_and_its_exact_charge(night: FloraNight) -> None:
    night.lab.with_settings(workflow="captioned-art")
    night.account.fault(CREATE, "run_fails", error="safety_blocked", contains="a dog")
    night.buy("a cat", "a dog")
    assert wait_for_night(night.lab.ports, night.lab.night, owner="w", wait_seconds=600) == 0
    summary = collect_night(night.lab.night, night.lab.ports, owner="c")
    assert (summary.succeeded, summary.failed, summary.images) == (1, 1, 1)
    cat, dog = night.lab.ledger.submissions(night.lab.night)
    assert (cat.cost_usd, cat.cost_basis) == (Decimal("0.05"), "charged")
    assert (dog.cost_usd, dog.cost_basis, dog.error_code) == (0, "free", "safety_blocked")
    picture, caption = night.lab.ledger.outputs(night.lab.night)[cat.submission_key]
    assert picture.stored is not None
    assert caption.stored is not None
    assert (picture.kind, caption.kind) == ("file", "text")
    assert summary.pictures == [picture.stored]
    assert night.lab.store.get(caption.stored.s3_key) == b"What this shows: a cat"


def test_outputs_are_fetched_without_the_key(night: FloraNight) -> None:
    night.buy("a cat")
    wait_for_night(night.lab.ports, night.lab.night, owner="w", wait_seconds=600)
    collect_night(night.lab.night, night.lab.ports, owner="c")
    seen = [one for one in night.account.control.requests() if one.operation == "download_output"]
    assert [(one.key, one.status) for one in seen] == [("", 200)]


@pytest.mark.case(
    "a stranger's run that was attached by hand could not be undone, and the true callback was "
    "refused",
    "`resolve --detach` undoes it; the true run's pictures get indexes, and keys, of their own",
)
def test_a_strangers_run_is_detached_and_the_true_ones_bytes_are_the_rows(
    night: FloraNight,
) -> None:
    night.account.control.configure(flora_idempotency="duplicate_409")
    night.lose()
    assert night.buy("a cat") == ["unresolved"]
    ledger = night.lab.ledger
    [true] = night.account.control.runs("flora")
    workflow = night.account.provider.read_workflow("city-poster", lambda _: b"")
    order = replace(night.account.order(workflow), parameters={"prompt": "a stranger"})
    stranger = night.account.buy(order)
    [key] = night.lab.keys(SubmissionState.UNRESOLVED)

    stored = []
    for run_id in (stranger, true.id):
        ledger.attach(key, Receipt(provider_run_id=run_id), who="ann", why="it fits")
        assert wait_for_night(night.lab.ports, night.lab.night, owner="w", wait_seconds=600) == 0
        summary = collect_night(night.lab.night, night.lab.ports, owner="c")
        assert (summary.succeeded, summary.images) == (1, 1)
        [output] = ledger.outputs(night.lab.night)[key]
        assert output.stored is not None
        stored.append(output)
        if run_id == stranger:
            ledger.detach(key, who="ann", why="a stranger's")

    [detached] = ledger.detached_outputs(key)
    row = ledger.submission(key)
    assert (row.state, row.provider_run_id) == (SubmissionState.SUCCEEDED, true.id)
    assert [one.output_index for one in stored] == [0, 1]
    assert (detached.output_index, detached.s3_key) == (0, stored[0].stored.s3_key)
    assert night.lab.store.get(stored[1].stored.s3_key) == picture_of(night, true.id)
    assert night.lab.store.get(stored[0].stored.s3_key) == picture_of(night, stranger), "it stays"


def picture_of(night: FloraNight, run_id: str) -> bytes:
    """Draw what the stand-in drew for a run."""
    world = night.account.sandbox.world
    [run] = [one for one in world.life.runs("flora") if one.id == run_id]
    return world.studio.png(run.outputs[0].picture)
