"""Tokens end in the middle of a night: no row is lost, none bought twice, no secret shown."""

from __future__ import annotations

import logging
from concurrent.futures import ThreadPoolExecutor

import pytest

from flow_pipelines.model import SubmissionState
from flow_pipelines.model.errors import AccountRejected
from flow_pipelines.provider import Purpose
from flow_pipelines.sandbox.server import Sandbox
from flow_pipelines.sandbox.settings import Tuning
from flow_pipelines_tests.conformance.providers.account import POLLS, Account
from flow_pipelines_tests.fakes import ManualClock

ROWS = 12


@pytest.fixture
def comflowy(sandbox: Sandbox, sandbox_clock: ManualClock) -> Account:
    """An account of the one provider that wants its key exchanged."""
    sandbox_clock.advance(120)
    found = Account("comflowy", sandbox, sandbox_clock)
    found.control.reset()
    sandbox.world.configure(
        **{
            name: getattr(Tuning(), name)
            for name in ("comflowy_token_seconds", "comflowy_token_is_jwt", "slots")
        }
    )
    return found


def statuses(account: Account, operation: str, expected: int = 0) -> list[int]:
    """What every request of this kind was answered, in order; notes may come after answers."""
    seen: list[int] = []
    for _ in range(POLLS):
        records = [one for one in account.control.requests() if one.provider == account.name]
        seen = [one.status for one in records if one.operation == operation]
        if len(seen) >= expected:
            break
    return seen


@pytest.mark.parametrize("jwt", [False, True])
def test_a_token_that_ends_within_a_batch_costs_no_row_and_no_second_bill(
    comflowy: Account, jwt: bool
) -> None:
    comflowy.control.configure(comflowy_token_seconds=40, comflowy_token_is_jwt=jwt, slots=ROWS)
    runs = []
    for _ in range(ROWS):
        runs.append(comflowy.buy_in_time())
        comflowy.clock.advance(10)
    for run_id in runs:
        assert comflowy.wait_for(run_id, SubmissionState.SUCCEEDED).outputs
    assert (comflowy.meter().runs_billed, comflowy.meter().duplicate_bills) == (ROWS, 0)
    assert len(set(runs)) == ROWS
    answers = statuses(comflowy, "run", ROWS) + statuses(comflowy, "check", ROWS)
    refused, tokens = answers.count(401), len(statuses(comflowy, "get_token"))
    if jwt:
        # It says when it ends, so no request goes out with a dead one.
        assert refused == 0
    else:
        assert refused == tokens - 1
    assert 3 <= tokens <= 6


def test_many_threads_with_a_dead_token_fetch_one_new_one(comflowy: Account) -> None:
    comflowy.control.configure(comflowy_token_seconds=40)
    run_id = comflowy.buy()
    comflowy.clock.advance(41)
    with ThreadPoolExecutor(6) as pool:
        reports = list(pool.map(lambda _: comflowy.poll(run_id), range(6)))
    assert {report.provider_run_id for report in reports} == {run_id}
    assert statuses(comflowy, "get_token", 2) == [200, 200]
    assert statuses(comflowy, "check", 7).count(200) == 6


def test_a_token_that_is_refused_at_once_is_the_accounts_problem(comflowy: Account) -> None:
    comflowy.control.configure(comflowy_token_seconds=0)
    with pytest.raises(AccountRejected):
        comflowy.provider.submit(comflowy.order())
    assert statuses(comflowy, "run", 1) == [401]
    assert statuses(comflowy, "get_token") == [200]
    assert comflowy.meter().runs_billed == 0


def test_between_intent_and_paid_request_no_token_is_fetched(comflowy: Account) -> None:
    comflowy.provider.take_turn(Purpose.SUBMIT)
    assert statuses(comflowy, "get_token", 1) == [200]
    comflowy.provider.submit(comflowy.order())
    assert statuses(comflowy, "run", 1) == [200]
    assert statuses(comflowy, "get_token") == [200]


def test_no_log_line_shows_a_key_or_a_token(
    comflowy: Account, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    caplog.set_level("DEBUG")
    # The stand-in's own log, in this very process, may show what it was sent.
    monkeypatch.setattr(logging.getLogger("uvicorn.access"), "disabled", True)
    transport = comflowy.provider.client._transport  # type: ignore[attr-defined]
    comflowy.control.configure(comflowy_token_seconds=15)
    for _ in range(3):
        comflowy.buy_in_time()
        comflowy.clock.advance(20)
    secrets = [comflowy.secret, *(token.reveal() for token in transport._tokens.latest())]
    assert len(secrets) == 4
    shown = caplog.text + repr(comflowy.provider) + repr(vars(transport))
    assert [one for one in secrets if one in shown] == []
    assert "auth/token?ppt=***" in caplog.text
