"""Another process holds SQLite's write lock: nothing is bought meanwhile, no receipt is lost."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from threading import Event
from typing import Any

import pytest
from sqlalchemy import make_url

from flow_pipelines.lifecycle import recover, submit_night
from flow_pipelines.model.errors import LedgerBusy
from flow_pipelines.provider import ApiAnswer, ApiRequest, Resend, Transport
from flow_pipelines_tests.faults.processes import jobs
from flow_pipelines_tests.faults.processes.shared_setup import NIGHT, ROWS, Host, SharedSetup
from flow_pipelines_tests.faults.processes.verdict import assert_bought_once, bills
from flow_pipelines_tests.faults.processes.worker_process import WorkerProcesses, context

IMPATIENT_SECONDS = 0.2
"""How long the ledger waits for a lock here, by the real clock."""
AFTER_THE_LEASE = 600.0


@dataclass
class Lock:
    """Another process that takes the lock when told."""

    setup: SharedSetup
    workers: WorkerProcesses
    release: Event

    def take(self) -> None:
        locked, path = context.Event(), make_url(self.setup.ledger_url).database
        self.holder = self.workers.start(jobs.lock_ledger, path, locked, self.release)
        assert locked.wait(jobs.GATE_SECONDS)

    def let_go(self) -> None:
        self.release.set()
        self.holder.outcome()


@pytest.fixture
def lock(sqlite_setup: SharedSetup, workers: WorkerProcesses) -> Lock:
    return Lock(sqlite_setup, workers, context.Event())


class AfterPost:
    """A transport that does something once the first paid request was answered."""

    def __init__(self, transport: Transport, act: Callable[[], None]) -> None:
        self._transport, self._act = transport, act

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)

    def send(self, request: ApiRequest) -> ApiAnswer:
        answer = self._transport.send(request)
        if request.resend is not Resend.SAFE:
            act, self._act = self._act, lambda: None
            act()
        return answer


@pytest.fixture
def hosts(sqlite_setup: SharedSetup) -> Iterator[Callable[..., Host]]:
    """Return what opens hosts; all are closed at the end."""
    opened: list[Host] = []

    def open_host(**how: Any) -> Host:
        opened.append(Host(sqlite_setup, **how))
        return opened[-1]

    yield open_host
    for host in opened:
        host.close()


def submit(host: Host, owner: str = "run") -> int:
    return submit_night(host.setup.settings, NIGHT, host.ports, owner=owner).submitted


def test_a_submitter_waits_for_the_lock_and_then_buys(
    sqlite_setup: SharedSetup, lock: Lock, workers: WorkerProcesses, hosts: Callable[..., Host]
) -> None:
    gate = workers.gate(2)
    buying = workers.start(jobs.buy_when_told, sqlite_setup, gate, "run")
    host = hosts()
    gate.wait(jobs.GATE_SECONDS)  # the worker has opened its ledger
    lock.take()
    gate.wait(jobs.GATE_SECONDS)
    host.clock.sleep(5.0)
    meanwhile = bills(host)
    lock.let_go()

    assert meanwhile == 0
    assert buying.outcome().gave["submitted"] == ROWS
    assert_bought_once(host, runs=ROWS)


def test_a_ledger_that_stays_locked_is_named_and_nothing_is_bought(
    lock: Lock, hosts: Callable[..., Host]
) -> None:
    host = hosts(busy_seconds=IMPATIENT_SECONDS)
    lock.take()

    with pytest.raises(LedgerBusy, match=r"the ledger stayed locked past its deadline .*try again"):
        submit(host)
    meanwhile = bills(host)
    lock.let_go()

    assert meanwhile == 0
    assert submit(host) == ROWS
    assert_bought_once(host, runs=ROWS)


def test_a_receipt_that_meets_a_locked_ledger_is_written_once_it_is_free(
    lock: Lock, hosts: Callable[..., Host]
) -> None:
    host = hosts(
        busy_seconds=IMPATIENT_SECONDS, wrap=lambda transport: AfterPost(transport, lock.take)
    )
    sleep = host.clock.sleep

    def sleep_and_free(seconds: float) -> None:
        if seconds >= 2.0:
            lock.let_go()
        sleep(seconds)

    host.clock.sleep = sleep_and_free  # type: ignore[method-assign]

    assert submit(host) == ROWS
    assert lock.release.is_set()
    assert_bought_once(host, runs=ROWS)


def test_a_receipt_that_no_ledger_takes_is_told_and_its_run_found_later(
    lock: Lock, hosts: Callable[..., Host]
) -> None:
    host = hosts(
        busy_seconds=IMPATIENT_SECONDS, wrap=lambda transport: AfterPost(transport, lock.take)
    )

    with pytest.raises(LedgerBusy):
        submit(host)
    lock.let_go()
    (run,) = sqlite_runs(host)
    later = hosts(ahead_seconds=AFTER_THE_LEASE)
    found = recover(later.ports)

    assert any(f"--attach {run}" in line for line in host.lines)
    assert (found.parked, found.found) == (1, 1)
    assert submit(later, "later") == ROWS - 1
    assert_bought_once(later, runs=ROWS)


def sqlite_runs(host: Host) -> list[str]:
    return [run.id for run in host.setup.control.runs()]
