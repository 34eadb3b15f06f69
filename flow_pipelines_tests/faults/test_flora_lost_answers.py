"""A lost answer at FLORA ends with one bill, whichever of its accounts of idempotency is true."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import pytest

from flow_pipelines.lifecycle import collect_night, recover, wait_for_night
from flow_pipelines.sandbox.server import Sandbox
from flow_pipelines.sandbox.settings import SandboxSettings, Tuning
from flow_pipelines_tests.buckets import bucket_process, bucket_server  # noqa: F401 - fixtures
from flow_pipelines_tests.conformance.providers.account import Account
from flow_pipelines_tests.fakes import ManualClock
from flow_pipelines_tests.unit.lifecycle.conftest import Lab, lab  # noqa: F401 - fixture

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

    def __init__(self, lab: Lab, account: Account) -> None:  # noqa: F811 - the fixture's type
        self.lab, self.account = lab, account
        lab.clock, lab.provider = account.clock, account.provider
        lab.ledger._database.clock = account.clock
        lab.with_settings(
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
def night(lab: Lab, sandbox: Sandbox, sandbox_clock: ManualClock) -> FloraNight:  # noqa: F811 - the fixture's type
    sandbox_clock.advance(86_400)
    account = Account("flora", sandbox, sandbox_clock)
    account.control.reset()
    account.control.configure(flora_idempotency_lag_seconds=0.0)
    return FloraNight(lab, account)


@pytest.mark.parametrize("idempotency", ACCOUNTS)
@pytest.mark.parametrize("action", ["drop_after_accept", "drop_before_accept", "bad_json"])
def test_a_lost_answer_ends_with_one_bill(night: FloraNight, idempotency: str, action: str) -> None:
    night.account.control.configure(flora_idempotency=idempotency)
    night.lose(action)
    assert night.buy("a cat") == ["unresolved"]
    assert night.look_after(8) == ["submitted"]
    assert night.bills() == (1, 0)
    assert night.copies() == (1 if action == "drop_before_accept" else 0)


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
    assert night.look_after(30) == ["submitted"]
    assert night.bills() == (1, 0)


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
    assert (dog.cost_usd, dog.cost_basis, dog.error_code) == (0, "charged", "safety_blocked")
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
