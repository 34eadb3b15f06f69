"""A connection that breaks while an intent, or a receipt, is committed: written or not?"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from sqlalchemy import Connection, event

from flow_pipelines.ledger import open_ledger
from flow_pipelines.model import SubmissionState
from flow_pipelines.model.errors import IntentInDoubt
from flow_pipelines_tests.databases import PostgresServer
from flow_pipelines_tests.unit.lifecycle.conftest import LifecycleHarness

OWNER = "run-1"


@pytest.fixture
def on_postgres(
    postgres_server: PostgresServer, harness: LifecycleHarness
) -> Iterator[LifecycleHarness]:
    url = postgres_server.ledger_database()
    with open_ledger(url) as ledger:
        yield replace(harness, ledger=ledger, clock=ledger.clock)
    postgres_server.drop(url)


def cut_off_commit(harness: LifecycleHarness, query: str, *, written: bool) -> list[Any]:
    """Break the first commit after which `query` would tell something, before or after it.

    Returns what it told, once that has happened.
    """
    told: list[Any] = []

    def cut_off(connection: Connection) -> None:
        found = connection.exec_driver_sql(query).scalar()
        if found and not told:
            told.append(found)
            driver: Any = connection.connection.driver_connection
            if written:
                driver.commit()
            driver.close()

    event.listen(harness.ledger._database.engine, "commit", cut_off)
    return told


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
    cut = cut_off_commit(harness, "SELECT max(intents) FROM submissions", written=written)
    with pytest.raises(IntentInDoubt, match="whether this was written is not known"):
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
    query = "SELECT max(provider_run_id) FROM submissions"
    cut = cut_off_commit(harness, query, written=written)
    assert harness.submit().submitted == 1
    assert cut == ["run_0001"]
    (submission,) = harness.ledger.submissions(harness.night)
    assert (submission.state, submission.provider_run_id) == ("submitted", "run_0001")
    assert not harness.ledger.second_runs([submission.submission_key])
