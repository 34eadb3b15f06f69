"""A ledger with submissions in every state, and a receiver before it."""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import pytest
from starlette.applications import Starlette

from flow_pipelines.lifecycle.callback_addresses import CallbackAddresses
from flow_pipelines.model import Submission
from flow_pipelines.model import json_values as read
from flow_pipelines.provider.callbacks import Callback, CallbackRefused, CallbackRequest
from flow_pipelines.providers import profile
from flow_pipelines.redaction import Secret
from flow_pipelines.webhooks import CallbackHandler, Sender, make_app
from flow_pipelines_tests.conformance.ledger.ledger_driver import PROVIDER, LedgerDriver
from flow_pipelines_tests.webhooks.asgi import Answer, ask

OURS = Secret("ours-0123456789abcdef0123456789abcdef")
SIGNING = "whsec_signing_0123456789"


def read_plainly(request: CallbackRequest) -> Callback:
    """Read what the ledger handler's provider sends: unsigned, as Comflowy's is."""
    try:
        told = read.members(json.loads(request.body))
    except ValueError:
        raise CallbackRefused("not what it sends") from None
    return Callback(
        provider_run_id=read.text(told.get("run")),
        event_id=read.text(told.get("event")),
        ended=told.get("ended") is True,
    )


class Post:
    """Sends callbacks to a receiver, and looks at what became of them."""

    def __init__(self, ledger: LedgerDriver) -> None:
        flora = profile("flora").read_callback
        assert flora is not None
        self.ledger, self.clock = ledger, ledger.clock
        self.lines: list[str] = []
        self.handler = CallbackHandler(
            ledger=ledger.ledger,
            clock=self.clock,
            secrets=[OURS],
            senders={
                PROVIDER: Sender(read=read_plainly),
                "flora": Sender(read=flora, secrets=[Secret("whsec_new"), Secret(SIGNING)]),
            },
            log=self.lines.append,
        )
        self.app: Starlette = make_app(self.handler)

    def path(self, key: str, provider: str = PROVIDER, secret: Secret = OURS) -> str:
        return self.path_of(key, self.ledger.ledger.ledger_id, provider, secret)

    def path_of(
        self, key: str, ledger_id: str | None, provider: str = PROVIDER, secret: Secret = OURS
    ) -> str:
        addresses = CallbackAddresses("https://us.example", [secret], provider)
        return addresses.url(key, ledger_id)[18:]

    def tell(self, key: str, run: str | None, *, ended: bool = True, **more: Any) -> Answer:
        return self.tell_at(self.path(key), run, ended=ended, **more)

    def tell_at(self, path: str, run: str | None, *, ended: bool = True, **more: Any) -> Answer:
        """Tell at an address of any kind."""
        body = json.dumps({"run": run, "ended": ended, **more}).encode()
        return ask(self.app, path, body)

    def is_due(self, key: str) -> bool:
        due_at = self.ledger.ledger.submission(key).next_poll_at
        return due_at is not None and due_at <= self.clock.now()

    def submission(self, key: str) -> Submission:
        return self.ledger.ledger.submission(key)


def signed(body: bytes, at: float, secret: str = SIGNING) -> Mapping[bytes, bytes]:
    """Return the headers that FLORA sends with a body."""
    moment = str(int(at)).encode()
    digest = hmac.new(secret.encode(), moment + b"." + body, hashlib.sha256).hexdigest()
    return {b"flora-signature": b"t=" + moment + b",v1=" + digest.encode()}


@pytest.fixture
def post(sqlite_ledgers: Callable[[], str]) -> Iterator[Post]:
    ledger = LedgerDriver(sqlite_ledgers())
    yield Post(ledger)
    assert ledger.ledger._database.engine.pool.checkedout() == 0
    ledger.ledger.close()
