"""What is safe to repeat is repeated, within its budget and not a moment before it is wanted."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from email.utils import format_datetime

import pytest

from flow_pipelines.clock import SystemClock
from flow_pipelines.model.errors import (
    AccountRejected,
    ConfigurationError,
    NotFound,
    ProviderError,
    ProviderUnavailable,
    RateLimited,
    RequestRejected,
    SubmitOutcomeUnknown,
    UnexpectedAnswer,
)
from flow_pipelines.provider import AnsweredRequest, ApiRequest, ErrorBody, RateLimit
from flow_pipelines.redaction import Secret
from flow_pipelines.transport import HttpTransport, RetryBudget, Timeouts
from flow_pipelines_tests.fakes import ManualClock
from flow_pipelines_tests.unit.transport.conftest import request
from flow_pipelines_tests.unit.transport.wire import Step, Wire, answer, hang_up, raw, reset

Make = Callable[..., HttpTransport]


def ask(wire: Wire, **rest: object) -> ApiRequest:
    return replace(request(**rest), url=f"{wire.url}/runs/1")


@pytest.mark.parametrize(
    "step",
    [
        hang_up,
        reset,
        raw(b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\n{"),
        answer(500, "<html>"),
        answer(503, ""),
        answer(408, ""),
        answer(429, ""),
    ],
    ids=["hung up", "reset", "cut", "500", "503", "408", "429"],
)
def test_a_passing_failure_is_tried_again(transport: Make, step: Step) -> None:
    with Wire(step, step, answer(200, {"id": 1})) as wire:
        assert transport(wire.url).send(ask(wire)).json() == {"id": 1}
    assert len(wire.requests) == 3


def test_delays_double_and_the_attempts_are_bounded(transport: Make, clock: ManualClock) -> None:
    with Wire(answer(503, "")) as wire, pytest.raises(ProviderUnavailable):
        transport(wire.url, retry=RetryBudget(attempts=4, total_seconds=60)).send(ask(wire))
    assert len(wire.requests) == 4
    assert [s for s in clock.slept if s] == [1.0, 2.0, 4.0]


def test_jitter_shortens_a_delay_by_up_to_half(transport: Make, clock: ManualClock) -> None:
    with Wire(answer(503, ""), answer()) as wire:
        transport(wire.url, jitter=lambda: 0.0).send(ask(wire))
    assert [s for s in clock.slept if s] == [0.5]


def test_no_attempt_begins_after_the_budgets_time(transport: Make, clock: ManualClock) -> None:
    with Wire(answer(503, "")) as wire, pytest.raises(ProviderUnavailable):
        transport(wire.url, retry=RetryBudget(attempts=99, total_seconds=10)).send(ask(wire))
    assert sum(clock.slept) <= 10
    assert len(wire.requests) == 4


@pytest.mark.parametrize("as_date", [False, True])
def test_retry_after_is_waited_for(transport: Make, clock: ManualClock, as_date: bool) -> None:
    told = format_datetime(clock.now() + timedelta(seconds=17), usegmt=True) if as_date else "17"
    with Wire(answer(429, "", retry_after=told), answer()) as wire:
        transport(wire.url).send(ask(wire))
    assert clock.monotonic() == 17.0


def test_a_wait_told_in_the_body_counts_too(transport: Make, clock: ManualClock) -> None:
    def read(seen: object) -> ErrorBody:
        return ErrorBody(code="rate_limited", retry_after_seconds=15.0)

    with Wire(answer(429, ""), answer()) as wire:
        transport(wire.url).send(ask(wire, read_error=read))
    assert clock.monotonic() == 15.0


@pytest.mark.parametrize(
    ("told", "understood"),
    [
        ("86400", 86_400.0),
        ("9999999", 604_800.0),
        ("-5", 0.0),
        ("inf", 15.0),
        ("soon", 15.0),
        ("", 15.0),
        ("1.5", 1.5),
    ],
)
def test_a_strange_retry_after_is_bounded_or_replaced(
    transport: Make, told: str, understood: float
) -> None:
    limit = RateLimit(requests=100, per_seconds=60)
    with Wire(answer(429, "", retry_after=told)) as wire:
        sender = transport(wire.url, retry=RetryBudget(attempts=1), rate_limit=limit)
        with pytest.raises(RateLimited) as caught:
            sender.send(ask(wire))
    assert caught.value.retry_after_seconds == understood


def test_a_wait_beyond_the_budget_is_told_instead_of_waited(
    transport: Make, clock: ManualClock
) -> None:
    with Wire(answer(429, "", retry_after="300")) as wire, pytest.raises(RateLimited) as caught:
        transport(wire.url).send(ask(wire))
    assert caught.value.retry_after_seconds == 300.0
    assert clock.monotonic() == 0.0
    assert len(wire.requests) == 1


@pytest.mark.parametrize(
    ("status", "error"),
    [
        (400, RequestRejected),
        (401, AccountRejected),
        (403, AccountRejected),
        (404, NotFound),
        (418, UnexpectedAnswer),
        (302, UnexpectedAnswer),
    ],
)
def test_a_lasting_failure_is_not_tried_again(
    transport: Make, status: int, error: type[ProviderError]
) -> None:
    with Wire(answer(status, "", location="/other")) as wire, pytest.raises(error):
        transport(wire.url).send(ask(wire))
    assert len(wire.requests) == 1


def test_a_status_that_is_documented_as_an_answer_is_returned(transport: Make) -> None:
    with Wire(answer(409, {"status": "done"})) as wire:
        got = transport(wire.url).send(ask(wire, answers=frozenset({409})))
    assert (got.status, got.json()) == (409, {"status": "done"})


def test_a_connection_that_the_server_closed_meanwhile_costs_nothing_but_a_new_one(
    transport: Make,
) -> None:
    with Wire(answer(200, {}, keep=False)) as wire:
        sender = transport(wire.url)
        for _ in range(3):
            sender.send(ask(wire))
    assert len(wire.requests) == 3


def test_refused_connections_are_tried_again_and_then_told(
    transport: Make, clock: ManualClock
) -> None:
    with Wire() as wire:
        pass
    with pytest.raises(ProviderUnavailable, match="Connection refused"):
        transport(wire.url).send(ask(wire))
    assert [s for s in clock.slept if s] == [1.0, 2.0, 4.0]


def test_an_answer_that_is_no_object_is_unexpected(transport: Make) -> None:
    with Wire(answer(200, "<html>")) as wire:
        question = ask(wire)
        got = transport(wire.url).send(question)
    with pytest.raises(UnexpectedAnswer) as caught:
        AnsweredRequest(provider="acme", request=question, answer=got).document()
    assert not isinstance(caught.value, SubmitOutcomeUnknown)


def test_an_answer_that_is_too_long_is_not_asked_for_again(transport: Make) -> None:
    with (
        Wire(answer(200, b" " * (16 * 1024 * 1024 + 1))) as wire,
        pytest.raises(UnexpectedAnswer, match="longer than"),
    ):
        transport(wire.url).send(ask(wire))
    assert len(wire.requests) == 1


def test_a_dripping_answer_ends_and_is_asked_for_again(transport: Make) -> None:
    wire = Wire()
    wire = Wire(wire.drip(b"HTTP/1.1 200 OK\r\n", 0.02), answer(200, {"id": 2}))
    with wire:
        sender = transport(
            wire.url, clock=SystemClock(), timeouts=Timeouts(read_seconds=1.0), jitter=lambda: 0.0
        )
        assert sender.send(ask(wire)).json() == {"id": 2}


def test_a_missing_key_is_a_matter_of_configuration(transport: Make) -> None:
    with Wire() as wire:
        with pytest.raises(ConfigurationError, match="no API key"):
            transport(wire.url, secret=Secret("")).send(ask(wire))
        transport(wire.url, secret=Secret("")).send(ask(wire, authenticated=False))
    assert len(wire.requests) == 1


@pytest.mark.parametrize("key", ["flo_abc\n", "flo abc", "flö", "flo_abc\x00"])
def test_a_key_that_no_header_can_carry_is_refused_without_being_shown(
    transport: Make, key: str
) -> None:
    with pytest.raises(ConfigurationError, match="line break") as caught:
        transport("http://127.0.0.1:1", secret=Secret(key))
    assert key not in str(caught.value)
