"""A provider's stand-in, a receiver and a night between them, all on loopback."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Self

import uvicorn

from flow_pipelines.cli.receiver import read_senders
from flow_pipelines.ledger import open_ledger
from flow_pipelines.lifecycle import Ports, plan_night, poll_due, submit_night
from flow_pipelines.lifecycle.callback_addresses import CallbackAddresses
from flow_pipelines.lifecycle.submit import SubmitSummary
from flow_pipelines.model import UNPARTITIONED, BatchSettings, Night, Submission
from flow_pipelines.providers import profile
from flow_pipelines.sandbox.server import Sandbox
from flow_pipelines.webhooks import CallbackHandler, listen, make_app, make_server
from flow_pipelines_tests.conformance.providers.account import SAMPLES, Account
from flow_pipelines_tests.fakes import ManualClock
from flow_pipelines_tests.faults.alphabet.memory_store import MemoryImageStore
from flow_pipelines_tests.webhooks.conftest import OURS

NIGHT = Night("posters", UNPARTITIONED)


def eventually(holds: Callable[[], bool]) -> bool:
    """Wait for threads of the stand-in and of the receiver, which are real."""
    deadline = time.monotonic() + 10
    while not holds() and time.monotonic() < deadline:
        time.sleep(0.01)  # noqa: TID251 - see above
    return holds()


class WebhookHarness:
    """One night of `provider`, whose runs are told of at a receiver on this machine."""

    def __init__(self, provider: str, sandbox: Sandbox, clock: ManualClock, folder: Path) -> None:
        self.account = Account(provider, sandbox, clock)
        self.control = self.account.control
        self.provider, self.clock, self.folder = provider, clock, folder
        self.ledger = open_ledger(f"sqlite:///{folder / 'ledger.db'}", clock)
        self.lines: list[str] = []
        variable = profile(provider).callback_secret_variable
        signing = {variable: sandbox.environment()[variable]} if variable else {}
        self.handler = CallbackHandler(
            ledger=self.ledger,
            clock=clock,
            secrets=[OURS],
            senders=read_senders(signing),
            log=self.lines.append,
        )
        self._listener = listen("127.0.0.1", 0)
        self.port = self._listener.getsockname()[1]
        self._server: uvicorn.Server | None = None
        addresses = CallbackAddresses(f"http://127.0.0.1:{self.port}", [OURS], provider)
        self.ports = Ports(
            ledger=self.ledger,
            provider=self.account.provider,
            resource=provider,
            store=MemoryImageStore("a-bucket", "flow"),
            clock=clock,
            log=self.lines.append,
            callback_url=addresses.url,
        )
        case = self.account.case
        parameters = {
            name: value.replace("{unique}", "{prompt}") if isinstance(value, str) else value
            for name, value in case["parameters"].items()
        }
        self.settings = BatchSettings(
            name=NIGHT.batch,
            provider=provider,
            resource=provider,
            workflow=case["workflow"],
            base_dir=str(SAMPLES / provider),
            prompts=str(folder / "prompts.csv"),
            parameters=parameters,
            allow_identical=True,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close_receiver()
        self.ledger.close()

    def open_receiver(self) -> None:
        """Answer callbacks from now on."""
        self._server = make_server(make_app(self.handler))
        self._thread = threading.Thread(
            target=self._server.run, kwargs={"sockets": [self._listener]}, daemon=True
        )
        self._thread.start()
        server = self._server
        assert eventually(lambda: server.started)

    def close_receiver(self) -> None:
        """Refuse every connection from now on."""
        if self._server is not None:
            self._server.should_exit = True
            self._thread.join(15)
            assert not self._thread.is_alive()
            self._server = None
        self._listener.close()

    def buy(self, rows: int = 2) -> SubmitSummary:
        """Plan and submit a night of `rows` rows."""
        lines = [f"p{number},city {number}" for number in range(rows)]
        (self.folder / "prompts.csv").write_text("\n".join(["prompt_id,prompt", *lines]) + "\n")
        plan_night(self.settings, NIGHT.partition_key, self.ports)
        return submit_night(self.settings, NIGHT, self.ports, owner="run-1")

    def poll(self) -> int:
        """Poll what is due, as a tick of the sensor does; give how many ended."""
        return poll_due(self.ports, owner="tick", budget_seconds=30).ended

    def rows(self) -> list[Submission]:
        return list(self.ledger.submissions(NIGHT))

    def states(self) -> list[str]:
        return [row.state.value for row in self.rows()]

    def due(self) -> int:
        now = self.clock.now()
        return sum(row.next_poll_at is not None and row.next_poll_at <= now for row in self.rows())

    def asked(self) -> Counter[str]:
        """Count the requests that the stand-in has answered, by operation."""
        return Counter(one.operation for one in self.control.requests())

    def billed(self) -> tuple[int, int]:
        reading = self.control.state()[self.provider]
        return reading.runs_billed, reading.duplicate_bills
