"""Dagster runs whose host died: their places come back, and nothing is bought or begun twice."""

from __future__ import annotations

import logging
import os
import signal
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import dagster as dg
import pytest
import sqlalchemy as sa
from dagster._core.launcher import WorkerStatus
from dagster._daemon.auto_run_reexecution.auto_run_reexecution import (
    consume_new_runs_for_automatic_reexecution,
)

from flow_pipelines.ledger import RunLedger, open_ledger
from flow_pipelines.ledger.heartbeats import run_heartbeats
from flow_pipelines.ledger.records import Heartbeat
from flow_pipelines.model import Night, SubmissionState
from flow_pipelines.model.errors import RunEnded
from flow_pipelines.resources.processes import this_host, this_process
from flow_pipelines_tests.dagster.conftest import CLOCK, NIGHT, Project, World, tick
from flow_pipelines_tests.dagster.elsewhere import (
    CeleryRunLauncher,
    WorkerLauncher,
    end,
    wait_until,
    workers_on,
)
from flow_pipelines_tests.dagster.in_process import (
    LOCATION,
    InProcessDagster,
    in_process_dagster,
    recommended_instance,
)

HARBOR = Night("harbor", NIGHT)
BOUGHT = ("harbor/prompts", "harbor/provider_runs")
WHOLE = (*BOUGHT, "harbor/images", "harbor/contact_sheet")
ROWS = 3
STARTED, FAILURE = dg.DagsterRunStatus.STARTED, dg.DagsterRunStatus.FAILURE


@pytest.fixture
def instance(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, request: pytest.FixtureRequest
) -> Iterator[dg.DagsterInstance]:
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path))
    launcher = getattr(request, "param", WorkerLauncher)
    with recommended_instance(tmp_path / "dagster_home", launcher) as instance:
        yield instance


@pytest.fixture
def here(
    project: Project, instance: dg.DagsterInstance, world: World
) -> Iterator[InProcessDagster]:
    project.add("harbor")
    with project.load() as defs, in_process_dagster(defs, instance) as here:
        yield here


@pytest.fixture
def ledger(instance: dg.DagsterInstance, tmp_path: Path) -> Iterator[RunLedger]:
    with open_ledger(f"sqlite:///{tmp_path / 'flow_pipelines_ledger.sqlite'}", CLOCK) as ledger:
        yield ledger


@dataclass
class Ticks:
    """A sensor, from tick to tick."""

    here: InProcessDagster
    cursor: str | None = None

    def tick(self, seconds: float) -> dg.SensorExecutionData:
        CLOCK.advance(seconds)
        data = tick(self.here.definitions, self.here.instance, self.cursor)
        self.cursor = data.cursor
        return data

    def work(self, seconds: float) -> None:
        """Tick, and let the runs that were asked for end."""
        for request in self.tick(seconds).run_requests or []:
            self.here.launch(request)
        self.here.queue_turn()


def retries(here: InProcessDagster) -> int:
    """Return how many runs Dagster's daemon starts again."""
    before = here.instance.get_runs_count()
    records = here.instance.get_run_records()
    log = logging.getLogger("retries")
    list(consume_new_runs_for_automatic_reexecution(here.process, records, log))
    return here.instance.get_runs_count() - before


def start_elsewhere(
    here: InProcessDagster, assets: tuple[str, ...]
) -> tuple[str, dg.DagsterRun, int]:
    """Start a backfill of one night on another host; give it, its run, and the worker."""
    backfill = here.backfill(assets, [NIGHT])
    here.backfill_turn()
    with workers_on("another") as workers:
        here.queue_turn()
        [worker] = workers
    [run] = here.runs(backfill)
    return backfill, run, worker


def status(here: InProcessDagster, run_id: str) -> dg.DagsterRunStatus:
    found = here.instance.get_run_by_id(run_id)
    assert found is not None
    return found.status


def assert_billed_once(world: World) -> None:
    meter = world.control.state()["floyo"]
    assert (meter.runs_billed, meter.duplicate_bills) == (ROWS, 0)


def beats(ledger: RunLedger) -> dict[str, datetime]:
    """Return step → its last sign of life."""
    columns = run_heartbeats.c
    with ledger._database.read() as connection:
        query = sa.select(columns.step_key, columns.beat_at)
        return {row[0]: row[1] for row in connection.execute(query)}


def catch_up(ledger: RunLedger) -> None:
    """Set this process's clock to that of the worker's last sign of life."""
    last = max(beats(ledger).values())
    CLOCK.advance(max((last - CLOCK.now()).total_seconds(), 0))


@pytest.mark.case(
    "a host died with a backfill's run: the run stayed started, and the backfill in progress, for "
    "up to two hours, though other hosts had completed the night",
    "the run is reported as failed once its night goes on elsewhere; nothing is started again",
)
def test_the_run_of_a_host_that_was_killed_gives_its_place_back(
    here: InProcessDagster, ledger: RunLedger, world: World
) -> None:
    world.control.add_fault("floyo", "retrieve_run", "slow_answer", seconds=60.0, count=None)
    backfill, run, worker = start_elsewhere(here, WHOLE)
    wait_until(lambda: "harbor__images" in beats(ledger), "its wait for pictures")
    end(worker)
    world.control.clear_faults()
    catch_up(ledger)
    sensor = Ticks(here)

    sensor.work(55)
    sensor.work(34)
    here.backfill_turn()
    assert status(here, run.run_id) is STARTED
    assert here.status(backfill) == "REQUESTED"
    sensor.work(5)
    here.backfill_turn()

    assert status(here, run.run_id) is FAILURE
    assert here.status(backfill) == "COMPLETED_SUCCESS"
    assert retries(here) == 0
    assert len(world.images()) == ROWS
    assert_billed_once(world)
    assert ledger.silent_runs(None, limit=9) == []


@pytest.mark.case(
    "a worker was suspended, its run reported as failed; it woke up, and its run succeeded",
    "it records what it sent, sends nothing more, and its run stays failed",
)
def test_a_suspended_worker_that_wakes_up_stops_by_itself(
    here: InProcessDagster, ledger: RunLedger, world: World
) -> None:
    world.control.add_fault("floyo", "create_run", "slow_answer", seconds=1.0, count=1)
    _, run, worker = start_elsewhere(here, BOUGHT)
    wait_until(lambda: world.bought() == 1, "the first POST")
    os.kill(worker, signal.SIGSTOP)
    catch_up(ledger)
    sensor = Ticks(here)
    try:
        sensor.work(95)
        sensor.work(35)
        assert status(here, run.run_id) is FAILURE
        assert world.bought() == ROWS
        os.kill(worker, signal.SIGCONT)
        os.waitpid(worker, 0)
    finally:
        end(worker)

    events = here.instance.all_logs(run.run_id)
    assert status(here, run.run_id) is FAILURE
    assert not [one for one in events if one.dagster_event_type is dg.DagsterEventType.RUN_SUCCESS]
    assert any("was ended from outside" in str(one) for one in events)
    assert retries(here) == 0
    assert ledger.submissions(HARBOR, states={SubmissionState.UNRESOLVED}) == []
    assert_billed_once(world)


@dg.asset(
    partitions_def=dg.DailyPartitionsDefinition("2026-11-01"),
    deps=[dg.AssetKey(["harbor", "images"])],
)
def album() -> None:
    """Stand for what a user makes of the pictures."""


@dataclass
class Rule:
    """All clauses of the rule hold for a run, until a test takes one away."""

    here: InProcessDagster
    ledger: RunLedger
    assets: tuple[str, ...] = WHOLE
    done: tuple[str, ...] = WHOLE
    """What another run has done of the night."""
    host: str = "another"
    process: str = "1 boot 2"

    def start(self) -> dg.DagsterRun:
        """Let a run start on a host, which gives one sign of life from it."""
        if self.done:
            done = self.here.launch(request(self.done))
            self.here.queue_turn()
            assert status(self.here, done) is dg.DagsterRunStatus.SUCCESS
        WorkerLauncher.endless = True
        run_id = self.here.launch(request(self.assets))
        self.here.queue_turn()
        run = self.here.instance.get_run_by_id(run_id)
        assert run is not None
        self.beat(run)
        return run

    def beat(self, run: dg.DagsterRun) -> None:
        first = self.assets[0].replace("/", "__")
        beat = Heartbeat(
            run_id=run.run_id,
            step_key=first,
            host=self.host,
            process=self.process,
            batch=HARBOR.batch,
            partition_key=HARBOR.partition_key,
            location=LOCATION,
        )
        self.ledger.beat(beat)

    def judged(self, run: dg.DagsterRun, *, silent_seconds: float = 90) -> dg.DagsterRunStatus:
        """Return what the run is after ticks, the last of which is so long after its beat."""
        sensor = Ticks(self.here)
        sensor.tick(silent_seconds - 35)
        sensor.tick(35)
        return status(self.here, run.run_id)


def request(assets: tuple[str, ...]) -> dg.RunRequest:
    keys = [dg.AssetKey(asset.split("/")) for asset in assets]
    return dg.RunRequest(asset_selection=keys, partition_key=NIGHT)


@pytest.fixture
def rule(
    project: Project, instance: dg.DagsterInstance, world: World, ledger: RunLedger
) -> Iterator[Rule]:
    project.add("harbor")
    with project.load(album) as defs, in_process_dagster(defs, instance) as here:
        yield Rule(here, ledger)
    WorkerLauncher.endless, WorkerLauncher.health = False, None


def test_a_run_for_which_all_clauses_hold_is_ended_and_not_begun_again(rule: Rule) -> None:
    run = rule.start()
    assert rule.judged(run) is FAILURE
    assert retries(rule.here) == 0
    again = rule.here.reexecute_failed_run(run.run_id)
    assert rule.here.instance.get_run_by_id(again) is not None


def test_a_run_that_was_heard_of_lately_is_not_ended(rule: Rule) -> None:
    assert rule.judged(rule.start(), silent_seconds=89) is STARTED


def test_a_first_look_ends_nothing_the_ledger_may_have_been_away(rule: Rule) -> None:
    run = rule.start()
    sensor = Ticks(rule.here)
    sensor.tick(600)
    assert status(rule.here, run.run_id) is STARTED
    sensor.tick(29)
    assert status(rule.here, run.run_id) is STARTED
    sensor.tick(61)
    assert status(rule.here, run.run_id) is STARTED
    sensor.tick(30)
    assert status(rule.here, run.run_id) is FAILURE


@pytest.mark.parametrize("done", [(), BOUGHT[:1]], ids=["never planned", "never asked for"])
def test_a_night_that_nobody_else_would_go_on_with_keeps_its_run(
    rule: Rule, done: tuple[str, ...]
) -> None:
    rule.done = done
    assert rule.judged(rule.start()) is STARTED


def test_a_run_whose_night_somebody_else_holds_is_ended(rule: Rule) -> None:
    rule.done = BOUGHT[:1]
    run = rule.start()
    CLOCK.advance(40)
    rule.ledger.acquire_lease(f"submit:{HARBOR}", "another run", 600)
    assert rule.judged(run) is FAILURE


def test_a_run_that_still_holds_its_night_is_not_ended(rule: Rule) -> None:
    run = rule.start()
    rule.ledger.acquire_lease(f"collect:{HARBOR}", run.run_id, 600)
    assert rule.judged(run) is STARTED


def test_a_run_with_something_of_somebody_else_to_do_is_not_ended(rule: Rule) -> None:
    rule.assets = (*WHOLE, "album")
    assert rule.judged(rule.start()) is STARTED


@pytest.mark.parametrize(
    ("says", "then"),
    [
        (WorkerStatus.RUNNING, STARTED),
        (ConnectionError("no route"), STARTED),
        (WorkerStatus.UNKNOWN, FAILURE),
        (WorkerStatus.NOT_FOUND, FAILURE),
    ],
)
def test_a_launcher_that_can_be_asked_is_believed(
    rule: Rule, says: WorkerStatus | Exception, then: dg.DagsterRunStatus
) -> None:
    run = rule.start()
    WorkerLauncher.health = says
    assert rule.judged(run) is then


@pytest.mark.case(
    "Celery's launcher says of a dead host's run that it runs: it only noted that it began",
    "its word does not count; signs of life and leases do",
)
@pytest.mark.parametrize("instance", [CeleryRunLauncher], indirect=True)
def test_celery_is_not_believed(rule: Rule) -> None:
    run = rule.start()
    WorkerLauncher.health = WorkerStatus.RUNNING
    assert rule.judged(run) is FAILURE


def test_a_process_that_lives_on_this_host_is_not_ended(rule: Rule) -> None:
    rule.host, rule.process = this_host(), this_process()
    assert rule.judged(rule.start()) is STARTED


def test_a_run_that_is_being_canceled_is_left_to_dagster(rule: Rule) -> None:
    run = rule.start()
    rule.here.instance.report_run_canceling(run)
    assert rule.judged(run) is dg.DagsterRunStatus.CANCELING


def test_what_is_left_of_a_run_that_has_ended_is_put_away(rule: Rule) -> None:
    run = rule.start()
    rule.here.instance.report_run_failed(run, "a person's word")
    rule.judged(run)
    failures = rule.here.instance.get_records_for_run(
        run.run_id, of_type=dg.DagsterEventType.RUN_FAILURE
    ).records
    assert len(failures) == 1
    assert rule.ledger.silent_runs(None, limit=9) == []
    with pytest.raises(RunEnded):
        rule.beat(run)
