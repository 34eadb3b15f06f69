"""An account whose answers say that its window is used up sends nothing until the next one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from flow_pipelines.model.errors import RateLimited
from flow_pipelines.provider import ApiAnswer, ApiRequest, Purpose, Quota, Resend
from flow_pipelines.transport import HttpTransport
from flow_pipelines.transport.verdicts import LONGEST_ADVICE_SECONDS
from flow_pipelines_tests.fakes import ManualClock
from flow_pipelines_tests.unit.transport.conftest import request
from flow_pipelines_tests.unit.transport.wire import Step, Wire, answer

Make = Callable[..., HttpTransport]


def read_quota(found: ApiAnswer) -> Quota:
    resets_at = datetime.fromtimestamp(int(found.headers["x-reset"]), UTC)
    return Quota(remaining=int(found.headers["x-remaining"]), resets_at=resets_at)


def asked(wire: Wire, resend: Resend = Resend.SAFE, *, paced: bool = True) -> ApiRequest:
    made = request(resend, paced=paced, read_quota=read_quota)
    return replace(made, url=f"{wire.url}/thing")


def told(clock: ManualClock, remaining: int | str, seconds: float, status: int = 200) -> Step:
    reset = str(int(clock.now().timestamp() + seconds))
    return answer(status, x_remaining=str(remaining), x_reset=reset)


def waited(transport: HttpTransport, clock: ManualClock) -> float:
    before = clock.monotonic()
    transport.take_turn(Purpose.SUBMIT)
    return clock.monotonic() - before


@pytest.mark.parametrize("resend", [Resend.SAFE, Resend.NEVER])
def test_the_last_request_of_a_window_is_answered_and_the_next_one_waits(
    transport: Make, clock: ManualClock, resend: Resend
) -> None:
    with Wire(told(clock, 0, 42)) as wire:
        account = transport(wire.url)
        assert account.send(asked(wire, resend)).status == 200
        assert waited(account, clock) == 42


@pytest.mark.parametrize(
    ("remaining", "seconds"),
    [(1, 42), (0, -5), (0, 0), ("none", 42), ("", 42), (0, 1e14)],
    ids=str,
)
def test_an_answer_that_tells_of_no_used_up_window_holds_nobody(
    transport: Make, clock: ManualClock, remaining: int | str, seconds: float
) -> None:
    with Wire(told(clock, remaining, seconds)) as wire:
        account = transport(wire.url)
        account.send(asked(wire))
        assert waited(account, clock) == 0


def test_answers_without_the_headers_hold_nobody(transport: Make, clock: ManualClock) -> None:
    with Wire() as wire:
        account = transport(wire.url)
        account.send(asked(wire))
        assert waited(account, clock) == 0


def test_a_window_of_days_is_not_believed(transport: Make, clock: ManualClock) -> None:
    with Wire(told(clock, 0, 86_400)) as wire:
        account = transport(wire.url, patience_seconds=1e9)
        account.send(asked(wire))
        assert waited(account, clock) == LONGEST_ADVICE_SECONDS


def test_a_host_outside_the_rate_limit_holds_nobody(transport: Make, clock: ManualClock) -> None:
    with Wire(told(clock, 0, 42)) as wire:
        account = transport(wire.url)
        account.send(asked(wire, paced=False))
        assert waited(account, clock) == 0


def test_a_429_that_names_no_wait_lasts_until_the_window_ends(
    transport: Make, clock: ManualClock
) -> None:
    with Wire(told(clock, 0, 42, status=429)) as wire, pytest.raises(RateLimited) as caught:
        transport(wire.url).send(asked(wire, Resend.NEVER))
    assert caught.value.retry_after_seconds == 42


def test_a_429_that_names_its_wait_is_believed_over_the_window(
    transport: Make, clock: ManualClock
) -> None:
    reset = str(int(clock.now().timestamp()) + 42)
    step = answer(429, x_remaining="0", x_reset=reset, retry_after="9")
    with Wire(step) as wire:
        account = transport(wire.url)
        with pytest.raises(RateLimited) as caught:
            account.send(asked(wire, Resend.NEVER))
        assert caught.value.retry_after_seconds == 9
        assert waited(account, clock) == 9
