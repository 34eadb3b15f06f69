"""The ledger against a model in memory: any order of events leaves both with the same memory."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import HealthCheck, settings
from hypothesis.stateful import run_state_machine_as_test as run_machine

from flow_pipelines.model import SubmissionState
from flow_pipelines_tests.conformance.ledger.ledger_driver import S
from flow_pipelines_tests.databases import PostgresServer, postgres_server
from flow_pipelines_tests.properties.ledger_faults import FaultsMachine
from flow_pipelines_tests.properties.ledger_machine import LedgerMachine

__all__ = ["postgres_server"]


def _settings(examples: int, steps: int) -> settings:
    return settings(
        max_examples=examples,
        stateful_step_count=steps,
        deadline=None,
        derandomize=True,
        suppress_health_check=list(HealthCheck),
    )


def _run(
    url: str, examples: int, steps: int, life: type[LedgerMachine] = LedgerMachine
) -> set[SubmissionState]:
    machine = type("Machine", (life,), {"url": url, "reached": set()})
    run_machine(machine, settings=_settings(examples, steps))
    return machine.reached


def test_sqlite_remembers_what_the_model_remembers(sqlite_ledgers: Callable[[], str]) -> None:
    reached = _run(sqlite_ledgers(), 18, 25)

    assert reached == set(SubmissionState)  # else it proved less than it seems to


def test_postgresql_remembers_what_the_model_remembers(postgres_server: PostgresServer) -> None:
    reached = _run(postgres_server.ledger_database(), 5, 25)

    assert reached > {S.PLANNED, S.SUBMITTING, S.SUBMITTED}


@pytest.mark.parametrize("examples", [10, pytest.param(40, marks=pytest.mark.exhaustive)])
def test_nights_that_share_faults_are_remembered_likewise(
    sqlite_ledgers: Callable[[], str], examples: int
) -> None:
    reached = _run(sqlite_ledgers(), examples, 40, FaultsMachine)

    assert reached > {S.PLANNED, S.SUBMITTING, S.SUBMITTED, S.FAILED, S.CANCELED}
