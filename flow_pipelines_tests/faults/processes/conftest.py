"""A stand-in on a fast clock for the whole session; a setup and a host of its own for each test."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from datetime import datetime

import pytest

from flow_pipelines.clock import SystemClock
from flow_pipelines.lifecycle import plan_night
from flow_pipelines.sandbox.server import Sandbox
from flow_pipelines.sandbox.settings import SandboxSettings, Tuning
from flow_pipelines_tests.databases import PostgresServer, postgres_server
from flow_pipelines_tests.faults.processes.host_clock import HostClock
from flow_pipelines_tests.faults.processes.shared_setup import NIGHT, Host, SharedSetup
from flow_pipelines_tests.faults.processes.worker_process import WorkerProcesses
from flow_pipelines_tests.unit.lifecycle.conftest import harness

__all__ = ["harness", "postgres_server"]

TUNING = Tuning(median_seconds=8.0, slots=8, max_picture_side=32)
CROWDS = {"sqlite": 2, "postgresql": 4}
"""How many processes work at one ledger of each kind."""
_numbers = itertools.count()


@pytest.fixture(scope="module")
def began_at() -> datetime:
    return SystemClock().now()


@pytest.fixture(scope="module")
def stand_in(began_at: datetime, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sandbox]:
    settings = SandboxSettings(
        port=0, bucket_port=0, bucket_folder=tmp_path_factory.mktemp("buckets"), tuning=TUNING
    )
    clock = HostClock(began_at)
    with Sandbox(settings, now=lambda: clock.now().timestamp()) as sandbox:
        yield sandbox


@pytest.fixture
def make_setup(
    stand_in: Sandbox, began_at: datetime, tmp_path_factory: pytest.TempPathFactory
) -> Callable[[str], SharedSetup]:
    """Return what makes a setup around a ledger, its night planned and nothing bought."""

    def make(ledger_url: str) -> SharedSetup:
        stand_in.reset()
        setup = SharedSetup(
            ledger_url=ledger_url,
            folder=tmp_path_factory.mktemp(f"setup{next(_numbers)}"),
            url=stand_in.url,
            environment=stand_in.environment(),
            buckets=stand_in.bucket.folder,
            began_at=began_at,
        )
        setup.lay_out()
        host = Host(setup)
        plan_night(setup.settings, NIGHT.partition_key, host.ports)
        host.close()
        return setup

    return make


@pytest.fixture
def sqlite_setup(
    make_setup: Callable[[str], SharedSetup], sqlite_ledgers: Callable[[], str]
) -> SharedSetup:
    return make_setup(sqlite_ledgers())


@pytest.fixture(params=sorted(CROWDS))
def crowd(request: pytest.FixtureRequest) -> str:
    """Return the kind of ledger that a crowd works at, one after the other."""
    return str(request.param)


@pytest.fixture
def names(crowd: str) -> list[str]:
    """Return a name for each process of the crowd."""
    return [f"run-{number}" for number in range(CROWDS[crowd])]


@pytest.fixture
def setup(
    crowd: str,
    make_setup: Callable[[str], SharedSetup],
    request: pytest.FixtureRequest,
) -> Iterator[SharedSetup]:
    if crowd == "sqlite":
        yield make_setup(request.getfixturevalue("sqlite_ledgers")())
        return
    server: PostgresServer = request.getfixturevalue("postgres_server")
    url = server.ledger_database()
    yield make_setup(url)
    server.drop(url)


@pytest.fixture
def host(setup: SharedSetup) -> Iterator[Host]:
    """Return this process's own way in, for planning and for looking at the end."""
    host = Host(setup)
    yield host
    host.close()


@pytest.fixture
def workers() -> Iterator[WorkerProcesses]:
    with WorkerProcesses() as workers:
        yield workers
