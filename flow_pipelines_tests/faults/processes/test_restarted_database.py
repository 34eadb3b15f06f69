"""PostgreSQL is restarted while a night is bought and stored: bought once, and no run fails."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace

import pytest
from sqlalchemy import event

from flow_pipelines.ledger import open_ledger
from flow_pipelines.lifecycle import collect_night, open_night, wait_for_night
from flow_pipelines.model import SubmissionState
from flow_pipelines.model.errors import LedgerBusy, LedgerError
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


@pytest.mark.case(
    "an intent whose commit was cut off counted as perhaps bought, though nothing was sent for it",
    "nothing is sent for it, and it is planned again, whether it was written or not",
)
@pytest.mark.parametrize("written", [True, False])
def test_an_intent_in_doubt_is_not_sent_and_leaves_its_row_planned(
    on_postgres: LifecycleHarness, *, written: bool
) -> None:
    harness = on_postgres
    harness.plan("a cat")
    engine, cut = harness.ledger._database.engine, []

    def cut_off(connection) -> None:
        """Break the commit of the first intent, before or after the server has it."""
        intents = connection.exec_driver_sql("SELECT max(intents) FROM submissions").scalar()
        if intents and not cut:
            cut.append(intents)
            driver = connection.connection.driver_connection
            if written:
                driver.commit()
            driver.close()

    event.listen(engine, "commit", cut_off)
    with pytest.raises(LedgerError, match="whether this was written is not known"):
        harness.submit(OWNER)

    assert cut == [1]
    assert harness.provider.posts == []
    assert harness.states() == [SubmissionState.PLANNED]
    assert harness.submit(OWNER).submitted == 1
    assert len(harness.provider.posts) == 1


@pytest.mark.case(
    "a receipt that was cut off at its commit was offered again to a row that had it already",
    "it is offered again, and counts once, whether it was written or not",
)
@pytest.mark.parametrize("written", [True, False])
def test_a_receipt_in_doubt_is_offered_again_and_counts_once(
    on_postgres: LifecycleHarness, *, written: bool
) -> None:
    harness = on_postgres
    harness.plan("a cat")
    engine, cut = harness.ledger._database.engine, []

    def cut_off(connection) -> None:
        known = connection.exec_driver_sql("SELECT max(provider_run_id) FROM submissions").scalar()
        if known and not cut:
            cut.append(known)
            driver = connection.connection.driver_connection
            if written:
                driver.commit()
            driver.close()

    event.listen(engine, "commit", cut_off)
    assert harness.submit().submitted == 1
    assert cut == ["run_0001"]
    (submission,) = harness.ledger.submissions(harness.night)
    assert (submission.state, submission.provider_run_id) == ("submitted", "run_0001")
    assert not harness.ledger.second_runs([submission.submission_key])
