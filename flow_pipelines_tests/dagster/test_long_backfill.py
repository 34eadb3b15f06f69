"""A backfill of many nights under a real daemon: few processes wait, and tonight goes first."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from itertools import accumulate
from threading import Event, Thread
from typing import Self

import pytest

from flow_pipelines.clock import SystemClock
from flow_pipelines_tests.dagster.backfills import backfill_status, start_backfill
from flow_pipelines_tests.dagster.machine import BATCH, Machine, running_machine
from flow_pipelines_tests.dagster.test_end_to_end import (
    EVERYTHING,
    assert_billed_once,
    assert_whole,
)
from flow_pipelines_tests.dagster.test_kills import run_workers

pytestmark = pytest.mark.kills

NIGHTS = 8
PLACES = 6
OF_BACKFILLS = 3
"""Runs that the demo's `dagster.yaml` lets start, and those of backfills among them."""

_TIMES = """
query($filter: RunsFilter!) { runsOrError(filter: $filter, limit: 200) { __typename
  ... on Runs { results { runId startTime endTime } } } }
"""


class Watch:
    """Counts the run workers that live at the same time."""

    def __init__(self, machine: Machine) -> None:
        self.most = 0
        self._machine = machine
        self._stopped = Event()
        self._thread = Thread(target=self._look, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopped.set()
        self._thread.join()

    def _look(self) -> None:
        while not self._stopped.is_set():
            self.most = max(self.most, len(run_workers(self._machine)))
            SystemClock().sleep(0.2)


@pytest.fixture(scope="module")
def machine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machine]:
    with running_machine(tmp_path_factory.mktemp("long")) as machine:
        yield machine


Times = Mapping[str, tuple[float | None, float | None]]


def times(machine: Machine, tags: Mapping[str, str]) -> Times:
    """Return run → when it started and ended; None: it has not, or was given up before."""
    chosen = {"tags": [{"key": key, "value": value} for key, value in tags.items()]}
    found = machine.webserver.query(_TIMES, filter=chosen)["results"]
    return {one["runId"]: (one["startTime"], one["endTime"]) for one in found}


def most_at_once(runs: Times) -> int:
    """Return how many of these runs, which have ended, ran at the same time."""
    changes = sorted(
        (at, change)
        for start, end in runs.values()
        if start is not None and end is not None
        for at, change in ((start, 1), (end, -1))
    )
    return max(accumulate(change for _, change in changes))


def test_of_a_long_backfill_few_runs_wait_and_tonight_is_started_before_the_others(
    machine: Machine,
) -> None:
    days = range(NIGHTS, 0, -1)
    nights = [machine.requested(machine.schedule(nights_ago=day)) for day in days]
    with Watch(machine) as watch:
        backfill = start_backfill(
            machine.webserver, EVERYTHING, [night.partition_key for night in nights]
        )
        mine = {"dagster/backfill": backfill}
        machine.wait_until(lambda: len(times(machine, mine)) == NIGHTS, "every run in the queue")

        tonight = machine.launch(machine.schedule())
        runs = machine.webserver.runs(tags=mine)
        queued = [run.run_id for run in runs if run.status == "QUEUED"]
        machine.wait_until(lambda: machine.is_collected(tonight), str(tonight))
        for night in nights:
            machine.wait_until(lambda night=night: machine.is_collected(night), str(night))
        machine.wait_until(
            lambda: backfill_status(machine.webserver, backfill) != "REQUESTED",
            "the backfill's end",
        )

    ended = times(machine, mine)
    [(start, _)] = times(machine, {"dagster/schedule_name": f"{BATCH}_schedule"}).values()
    assert len(queued) >= NIGHTS // 2
    assert start is not None
    assert all(start < (ended[run][0] or math.inf) for run in queued)
    assert most_at_once(ended) <= OF_BACKFILLS
    assert watch.most <= PLACES
    assert backfill_status(machine.webserver, backfill) == "COMPLETED_SUCCESS"
    assert_whole(machine, [*nights, tonight])
    assert_billed_once(machine, [*nights, tonight])
