"""The stand-in of FLORA tells of a run's end: signed, up to four times, and not more than that."""

from __future__ import annotations

import hashlib
import hmac
import json
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, NamedTuple

import pytest
import requests

from flow_pipelines.sandbox.control_client import ControlClient
from flow_pipelines.sandbox.server import Sandbox
from flow_pipelines_tests.unit.sandbox.probe import LONG_ENOUGH, HandClock

PROMPT = {"id": "prompt", "type": "text", "value": "a tiger"}
SECRET = "whsec_sandbox_0123456789abcdef"


class Seen(NamedTuple):
    headers: Mapping[str, str]
    body: bytes


class Receiver:
    """Keeps what is posted to it; answers with the given statuses, then with 204."""

    def __init__(self) -> None:
        self.seen: list[Seen] = []
        self.statuses: list[int] = []
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                receiver.seen.append(Seen({k.lower(): v for k, v in self.headers.items()}, body))
                self.send_response(receiver.statuses.pop(0) if receiver.statuses else 204)
                self.end_headers()

            def log_message(self, *args: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/callbacks"
        threading.Thread(target=self.server.serve_forever, args=(0.02,), daemon=True).start()

    def wait_for(self, count: int) -> list[Seen]:
        eventually(lambda: len(self.seen) >= count)
        return self.seen


def eventually(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 5
    while not holds() and time.monotonic() < deadline:
        time.sleep(0.01)  # noqa: TID251 - the courier's thread is real
    assert holds()


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    receiver = Receiver()
    yield receiver
    receiver.server.shutdown()
    receiver.server.server_close()


def run(sandbox: Sandbox, url: object, **body: Any) -> requests.Response:
    environment = sandbox.environment()
    return requests.post(
        f"{environment['FLORA_BASE_URL']}/techniques/city-poster/runs",
        json={"inputs": [PROMPT], "mode": "async", "callback_url": url, **body},
        headers={"Authorization": f"Bearer {environment['FLORA_API_KEY']}"},
        timeout=10,
    )


def signatures(seen: Seen) -> tuple[int, list[str]]:
    at, *found = seen.headers["flora-signature"].split(",")
    assert all(one.startswith("v1=") for one in found)
    return int(at.removeprefix("t=")), [one.removeprefix("v1=") for one in found]


def expected(secret: str, at: int, body: bytes) -> str:
    return hmac.new(secret.encode(), f"{at}.".encode() + body, hashlib.sha256).hexdigest()


def test_the_end_of_a_run_is_told_once_signed_and_without_its_outputs(
    sandbox: Sandbox, hand_clock: HandClock, receiver: Receiver
) -> None:
    run_id = run(sandbox, receiver.url).json()["run_id"]
    assert receiver.seen == []
    hand_clock.advance(LONG_ENOUGH)
    [seen] = receiver.wait_for(1)
    message = json.loads(seen.body)
    assert message["type"] == seen.headers["flora-event"] == "run.completed"
    assert message["id"] == seen.headers["flora-webhook-id"]
    assert message["api_version"] == "2026-06-11"
    assert message["data"] == {
        "run_id": run_id,
        "run_type": "technique",
        "workspace_id": "ws_sandbox0001",
        "status": "completed",
    }
    at, [signature] = signatures(seen)
    assert at == int(hand_clock.at)
    assert sandbox.environment()["FLORA_WEBHOOK_SECRET"] == SECRET
    assert signature == expected(SECRET, at, seen.body)


def test_a_failed_run_is_told_with_its_code(
    sandbox: Sandbox, hand_clock: HandClock, receiver: Receiver, control: ControlClient
) -> None:
    control.add_fault("flora", "create_technique_run", "run_fails", error="model_timeout")
    run(sandbox, receiver.url)
    hand_clock.advance(LONG_ENOUGH)
    [seen] = receiver.wait_for(1)
    message = json.loads(seen.body)
    assert (message["type"], message["data"]["status"]) == ("run.failed", "failed")
    assert message["data"]["error_code"] == "model_timeout"


def test_it_is_tried_four_times_with_the_same_bytes_and_a_signature_of_the_day(
    sandbox: Sandbox, hand_clock: HandClock, receiver: Receiver, control: ControlClient
) -> None:
    receiver.statuses = [500] * 9
    run(sandbox, receiver.url)
    hand_clock.advance(LONG_ENOUGH)
    for attempt, pause in enumerate((10, 60, 300, 100_000), 1):
        receiver.wait_for(attempt)
        eventually(lambda made=attempt: len(control.deliveries()) == made)  # type: ignore[misc]
        hand_clock.advance(pause)
    time.sleep(0.3)  # noqa: TID251 - longer than the courier naps: a fifth would have come
    assert len({seen.body for seen in receiver.seen}) == 1
    assert len(receiver.seen) == 4
    times = [signatures(seen)[0] for seen in receiver.seen]
    assert [later - times[0] for later in times] == [0, 10, 70, 370]
    assert all(
        found == [expected(SECRET, at, seen.body)]
        for seen in receiver.seen
        for at, found in [signatures(seen)]
    )


def test_while_the_secret_is_changed_both_sign(
    sandbox: Sandbox, hand_clock: HandClock, receiver: Receiver, control: ControlClient
) -> None:
    control.configure(flora_webhook_secrets=["whsec_new", SECRET])
    run(sandbox, receiver.url)
    hand_clock.advance(LONG_ENOUGH)
    [seen] = receiver.wait_for(1)
    at, found = signatures(seen)
    assert found == [expected(one, at, seen.body) for one in ("whsec_new", SECRET)]


def test_pauses_are_as_fast_as_the_runs(
    sandbox: Sandbox, hand_clock: HandClock, receiver: Receiver, control: ControlClient
) -> None:
    control.configure(time_scale=10.0)
    receiver.statuses = [500]
    run(sandbox, receiver.url)
    hand_clock.advance(LONG_ENOUGH)
    receiver.wait_for(1)
    eventually(lambda: len(control.deliveries()) == 1)
    hand_clock.advance(1)
    assert len(receiver.wait_for(2)) == 2


def test_a_copy_of_a_request_tells_nothing_twice(
    sandbox: Sandbox, hand_clock: HandClock, receiver: Receiver, control: ControlClient
) -> None:
    for _ in range(2):
        run(sandbox, receiver.url, idempotency_key="k1")
    hand_clock.advance(LONG_ENOUGH)
    receiver.wait_for(1)
    time.sleep(0.3)  # noqa: TID251 - longer than the courier naps: a second would have come
    assert len(receiver.seen) == 1


@pytest.mark.parametrize(
    "url",
    ["http://hooks.example.org/", "https://10.0.0.1/", "ftp://127.0.0.1x/", "hooks", "", 7, None],
    ids=str,
)
def test_a_run_that_would_be_told_to_nobody_is_refused(
    sandbox: Sandbox, control: ControlClient, url: object
) -> None:
    answer = run(sandbox, url)
    assert answer.status_code == 400
    assert answer.json()["error"]["fields"][0]["field"] == "callback_url"
    assert control.state()["flora"].runs_billed == 0
