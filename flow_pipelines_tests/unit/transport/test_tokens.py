"""A token's own life: fetched once for many, renewed before its end, replaced for all at once."""

from __future__ import annotations

import base64
import json
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from flow_pipelines.model.errors import AccountRejected, ProviderError, ProviderUnavailable
from flow_pipelines.provider import ApiAnswer, ApiRequest
from flow_pipelines.redaction import Secret
from flow_pipelines.transport.sign_in import Tokens, renewal_time
from flow_pipelines_tests.fakes import ManualClock
from flow_pipelines_tests.unit.transport.test_sign_in import SIGN_IN, jwt


class Desk:
    """Gives tokens, counting them, and lets a test stand in the way."""

    def __init__(self, clock: ManualClock, **claims: Any) -> None:
        self.clock, self.claims = clock, claims
        self.given = 0
        self.fails: Iterator[ProviderError | None] = iter(())
        self.gate = threading.Event()
        self.gate.set()
        self.arrived = threading.Semaphore(0)
        self.tokens = Tokens(
            "acme", SIGN_IN, "https://api.acme.example", clock=clock, send=self.send
        )

    def send(self, asked: ApiRequest) -> ApiAnswer:
        self.arrived.release()
        assert self.gate.wait(10)
        self.given += 1
        problem = next(self.fails, None)
        if problem is not None:
            raise problem
        life = self.claims.get("seconds")
        end = {} if life is None else {"exp": self.clock.now().timestamp() + life}
        text = jwt({**end, "n": self.given})
        return ApiAnswer(status=200, headers={}, body=json.dumps({"access_token": text}).encode())


def test_a_jwt_is_renewed_shortly_before_its_end(clock: ManualClock) -> None:
    desk = Desk(clock, seconds=3600)
    seen = [desk.tokens.run(Secret.reveal)]
    clock.advance(3600 - 61)
    seen.append(desk.tokens.run(Secret.reveal))
    assert desk.given == 1
    clock.advance(1)
    seen.append(desk.tokens.run(Secret.reveal))
    assert desk.given == 2
    assert seen[0] == seen[1] != seen[2]


@pytest.mark.parametrize(
    ("text", "renewed_at"),
    [
        (jwt({"exp": 5000}), 4940.0),
        (jwt({"exp": 1020}), 1018.0),
        (jwt({"exp": 999}), None),
        (jwt({"exp": "soon"}), None),
        (jwt({"exp": None}), None),
        (jwt({}), None),
        (jwt([1]), None),
        ("opaque", None),
        ("a.b.c", None),
        ("....", None),
        ("a.!!!!.c", None),
        (f"x.{base64.urlsafe_b64encode(b'[' * 9000).decode()}.z", None),
    ],
)
def test_only_a_jwt_that_has_not_ended_says_when_to_renew(
    text: str, renewed_at: float | None
) -> None:
    assert renewal_time(text, 1000.0) == renewed_at


def _refusing_first(refused: set[str], barrier: threading.Barrier) -> Callable[[Secret], str]:
    def call(one: Secret) -> str:
        if one.reveal() in refused:
            barrier.wait(10)
            raise AccountRejected("no", provider="acme", operation="x", status=401)
        return one.reveal()

    return call


def test_threads_that_are_refused_together_share_one_new_token(clock: ManualClock) -> None:
    desk = Desk(clock)
    old = desk.tokens.run(Secret.reveal)
    call = _refusing_first({old}, threading.Barrier(6))
    with ThreadPoolExecutor(6) as pool:
        seen = set(pool.map(lambda _: desk.tokens.run(call), range(6)))
    assert desk.given == 2
    assert len(seen) == 1
    assert old not in seen


def test_threads_that_begin_together_sign_in_once(clock: ManualClock) -> None:
    desk = Desk(clock)
    desk.gate.clear()
    with ThreadPoolExecutor(4) as pool:
        futures = [pool.submit(desk.tokens.run, Secret.reveal) for _ in range(4)]
        assert desk.arrived.acquire(timeout=10)
        desk.gate.set()
        assert len({future.result(10) for future in futures}) == 1
    assert desk.given == 1


def test_a_failure_to_sign_in_is_forgotten_by_the_next_request(clock: ManualClock) -> None:
    desk = Desk(clock)
    problem = ProviderUnavailable("down", provider="acme", operation="get_token")
    desk.fails = iter([problem])
    with pytest.raises(ProviderUnavailable):
        desk.tokens.run(Secret.reveal)
    assert desk.tokens.run(Secret.reveal)
    assert desk.given == 2


def test_only_the_latest_tokens_are_remembered(clock: ManualClock) -> None:
    desk = Desk(clock, seconds=10)
    for _ in range(9):
        desk.tokens.run(Secret.reveal)
        clock.advance(20)
    assert desk.given == 9
    assert len(desk.tokens.latest()) == 4
