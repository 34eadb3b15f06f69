from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from flow_pipelines.sandbox.courier import Courier, Letter
from flow_pipelines.sandbox.faults import Action, Fault
from flow_pipelines.sandbox.life import RunOrder
from flow_pipelines.sandbox.settings import SandboxSettings
from flow_pipelines.sandbox.world import World
from flow_pipelines_tests.unit.sandbox.probe import HandClock


class Receiver:
    def __init__(self) -> None:
        self.bodies: list[bytes] = []
        self.statuses: list[int] = []
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                length = int(self.headers["Content-Length"])
                receiver.bodies.append(self.rfile.read(length))
                self.send_response(receiver.statuses.pop(0) if receiver.statuses else 204)
                self.end_headers()

            def log_message(self, *args: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/hook"
        threading.Thread(target=self.server.serve_forever, args=(0.02,), daemon=True).start()


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    receiver = Receiver()
    yield receiver
    receiver.server.shutdown()
    receiver.server.server_close()


@pytest.fixture
def clock() -> HandClock:
    return HandClock()


@pytest.fixture
def courier(clock: HandClock) -> Iterator[Courier]:
    courier = Courier(clock.now)
    yield courier
    courier.close()


def letter(receiver: Receiver, due: float, action: Action | None = None) -> Letter:
    fault = Fault(provider="p", operation="callback", action=action, seconds=5) if action else None
    return Letter(
        url=receiver.url,
        due=lambda: due,
        write=lambda: (b"ended", {"X-Event": "run.completed"}),
        pauses=(10, 60),
        fault=fault,
    )


def eventually(holds: Callable[[], bool]) -> bool:
    deadline = time.monotonic() + 5
    while not holds() and time.monotonic() < deadline:
        time.sleep(0.01)  # noqa: TID251 - the courier's thread is real
    return holds()


def test_a_letter_is_posted_when_it_is_due_and_not_before(
    receiver: Receiver, courier: Courier, clock: HandClock
) -> None:
    courier.take(letter(receiver, due=clock.at + 30))
    courier.take(letter(receiver, due=clock.at))
    assert eventually(lambda: len(courier.deliveries()) == 1)
    clock.advance(30)
    assert eventually(lambda: len(courier.deliveries()) == 2)
    assert receiver.bodies == [b"ended", b"ended"]


def test_a_refused_letter_is_posted_again_after_its_pause_and_then_given_up(
    receiver: Receiver, courier: Courier, clock: HandClock
) -> None:
    receiver.statuses = [500, 500, 500, 500]
    courier.take(letter(receiver, due=clock.at))
    for attempt, pause in enumerate((10, 60, 1000), 1):
        assert eventually(lambda: len(courier.deliveries()) == attempt)  # noqa: B023 - called at once
        clock.advance(pause)
    assert [one.attempt for one in courier.deliveries()] == [1, 2, 3]
    assert {one.status for one in courier.deliveries()} == {500}


def test_a_letter_can_be_lost_doubled_or_late(
    receiver: Receiver, courier: Courier, clock: HandClock
) -> None:
    courier.take(letter(receiver, clock.at, Action.LOST_CALLBACK))
    courier.take(letter(receiver, clock.at, Action.SLOW_CALLBACK))
    courier.take(letter(receiver, clock.at, Action.DUPLICATE_CALLBACK))
    assert eventually(lambda: len(courier.deliveries()) == 1)
    assert len(receiver.bodies) == 2
    clock.advance(5)
    assert eventually(lambda: len(courier.deliveries()) == 2)
    assert len(receiver.bodies) == 3


def test_a_run_is_called_back_when_it_ends_and_a_fault_can_prevent_it(
    receiver: Receiver, clock: HandClock
) -> None:
    world = World(SandboxSettings(), now=clock.now)
    order = RunOrder(provider="p", account="k", label="", request_hash="h", outputs=())
    world.faults.add(Fault(provider="p", operation="callback", action=Action.LOST_CALLBACK))
    for _ in range(2):
        world.call_back(world.life.create(order), receiver.url, lambda: (b"ended", {}))
    assert world.courier.deliveries() == []
    clock.advance(1000)
    assert eventually(lambda: len(world.courier.deliveries()) == 1)
    world.courier.close()
    assert receiver.bodies == [b"ended"]
