"""PostgreSQL is restarted while a night is bought and stored: bought once, and no run fails."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace

import pytest

from flow_pipelines.ledger import open_ledger
from flow_pipelines.lifecycle import collect_night, open_night, wait_for_night
from flow_pipelines.model import SubmissionState
from flow_pipelines.model.errors import LedgerBusy
from flow_pipelines.provider import SubmitRequest
from flow_pipelines.resources.failures import RETRIES
from flow_pipelines_tests.databases import PostgresServer, running_server
from flow_pipelines_tests.unit.lifecycle.conftest import LifecycleHarness

ROWS = 24
OWNER = "run-1"


@pytest.fixture(scope="module")
def server() -> Iterator[PostgresServer]:
    with running_server() as server:
        yield server


@pytest.fixture
def on_postgres(server: PostgresServer, harness: LifecycleHarness) -> Iterator[LifecycleHarness]:
    """Return a harness whose ledger is on the server that is restarted, in real time."""
    url = server.ledger_database()
    with open_ledger(url) as ledger:
        yield replace(harness, ledger=ledger, clock=ledger.clock)
    server.drop(url)


def in_steps(act: Callable[[], object]) -> None:
    """Do what a step does, with the retries of its LedgerBusy."""
    for retries_left in range(RETRIES, -1, -1):
        try:
            act()
        except LedgerBusy:
            if not retries_left:
                raise
        else:
            return


def buy_and_store(harness: LifecycleHarness) -> None:
    def buy() -> None:
        open_night(harness.night, harness.ports, owner=OWNER)
        summary = harness.submit(OWNER)
        assert summary.stopped is None

    def store() -> None:
        wait_for_night(harness.ports, harness.night, owner=OWNER, wait_seconds=600)
        summary = collect_night(harness.night, harness.ports, owner=OWNER)
        assert (summary.images, summary.in_flight) == (ROWS, 0)

    in_steps(buy)
    for key in harness.keys(SubmissionState.SUBMITTED):
        harness.ledger.mark_due(key)  # nobody here waits for a provider
    in_steps(store)


def assert_bought_once(harness: LifecycleHarness) -> None:
    assert len(harness.provider.posts) == ROWS
    assert set(harness.states()) == {SubmissionState.SUCCEEDED}
    runs = {one.provider_run_id for one in harness.ledger.submissions(harness.night)}
    assert len(runs) == ROWS


@pytest.mark.case(
    "PostgreSQL was restarted for seconds, and five runs failed for good",
    "what was cut off is done again once it is back: no run fails, and every row is bought once",
)
@pytest.mark.parametrize("mode", ["fast", "immediate"])
def test_a_night_outlives_restarts_of_its_database(
    on_postgres: LifecycleHarness, server: PostgresServer, mode: str
) -> None:
    harness = on_postgres
    harness.plan(*(f"city {number}" for number in range(ROWS)))
    restarts: list[Future[None]] = []
    meanwhile = ThreadPoolExecutor(1)

    def restart() -> None:
        restarts.append(meanwhile.submit(server.restart, mode))

    def after_some_posts(_request: SubmitRequest, number: int) -> None:
        if number in {5, 15}:
            restart()  # while its receipt is written, or one of the next intents

    def before_a_download(output_id: str) -> None:
        if output_id == "file_run_0009_0":
            restart()

    harness.provider.on_submit = after_some_posts
    harness.provider.on_fetch = before_a_download
    buy_and_store(harness)
    for restarted in restarts:
        restarted.result()

    assert len(restarts) == 3
    assert_bought_once(harness)


@pytest.mark.case(
    "a restart between a POST and its receipt left a run that nobody knew",
    "the receipt waits for the database, and is written",
)
def test_a_receipt_waits_for_a_database_that_is_restarted(
    on_postgres: LifecycleHarness, server: PostgresServer
) -> None:
    harness = on_postgres
    harness.plan("a cat", "a dog")

    harness.provider.on_submit = lambda _request, _number: server.restart("immediate")
    assert harness.submit().submitted == 2
    assert set(harness.states()) == {SubmissionState.SUBMITTED}
