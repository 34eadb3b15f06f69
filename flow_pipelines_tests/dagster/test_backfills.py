"""Backfills as the dialog launches them, turn by turn of the daemon: states, repairs, the queue."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import dagster as dg
import pytest

from flow_pipelines.cli.home import Home
from flow_pipelines.ledger import RunLedger
from flow_pipelines.lifecycle import Todo
from flow_pipelines.model import Night
from flow_pipelines.sensors import run_request
from flow_pipelines_tests.dagster.conftest import BATCH, CLOCK, Project, World
from flow_pipelines_tests.dagster.in_process import (
    ACTIVE,
    EndlessLauncher,
    InProcessDagster,
    in_process_dagster,
    recommended_instance,
)
from flow_pipelines_tests.dagster.test_sensor import rest, tick

BOUGHT = ("harbor/prompts", "harbor/provider_runs")
WHOLE = (*BOUGHT, "harbor/images", "harbor/contact_sheet")
NIGHTS = ("2026-11-02", "2026-11-03")
FIVE = [f"2026-11-0{day}" for day in range(1, 6)]
ROWS = 3
AGAIN = "ops: {harbor__provider_runs: {config: {regenerate: all}}}"


@pytest.fixture
def instance(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[dg.DagsterInstance]:
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path))
    with recommended_instance(tmp_path / "dagster_home") as instance:
        yield instance


@pytest.fixture
def here(
    project: Project, instance: dg.DagsterInstance, world: World
) -> Iterator[InProcessDagster]:
    project.add("harbor")
    with project.load() as defs, in_process_dagster(defs, instance) as here:
        yield here


def turns(here: InProcessDagster) -> None:
    """Let the daemon start a backfill's runs, see them through, and look at what came of them."""
    rest()
    here.backfill_turn()
    here.queue_turn()
    here.backfill_turn()


def stop_early(world: World, night: str, *, after: int) -> None:
    """Let the account be refused in the middle of a night, once."""
    details = {"status": 402, "contains": night, "after": after}
    world.control.add_fault("floyo", "create_run", "status", **details)


def assert_each_bought_once(world: World, runs: int) -> None:
    meter = world.control.state()["floyo"]
    assert (meter.runs_billed, meter.duplicate_bills) == (runs, 0)


def test_a_backfill_with_images_is_done_when_its_pictures_are_there(
    here: InProcessDagster, world: World
) -> None:
    backfill = here.backfill(WHOLE, NIGHTS)
    here.backfill_turn()

    assert (here.status(backfill), world.bought()) == ("REQUESTED", 0)
    assert {run.status.value for run in here.runs(backfill)} == {"QUEUED"}
    assert here.counts(backfill)["harbor/images"] == (2, 2, 0, 0)

    here.queue_turn()
    here.backfill_turn()

    assert here.status(backfill) == "COMPLETED_SUCCESS"
    assert set(here.counts(backfill).values()) == {(2, 0, 2, 0)}
    assert len(world.images()) == 2 * ROWS
    assert_each_bought_once(world, 2 * ROWS)


def test_a_backfill_that_only_buys_stays_open_while_a_sensor_completes_it(
    here: InProcessDagster, world: World
) -> None:
    backfill = here.backfill(BOUGHT, NIGHTS)
    here.backfill_turn()
    here.queue_turn()
    rest()
    requests = tick(here.definitions, here.instance).run_requests or []
    for request in requests:
        assert request.tags["dagster/backfill"] == backfill
        here.launch(request)
    here.backfill_turn()

    assert here.status(backfill) == "REQUESTED"
    assert here.counts(backfill)["harbor/provider_runs"] == (2, 0, 2, 0)
    assert world.images() == []

    here.queue_turn()
    here.backfill_turn()

    assert here.status(backfill) == "COMPLETED_SUCCESS"
    assert len(here.runs(backfill)) == 4
    assert len(world.images()) == 2 * ROWS


def test_a_backfill_whose_wait_runs_out_shows_it_and_is_completed_later(
    here: InProcessDagster, world: World
) -> None:
    world.control.add_fault("floyo", "retrieve_run", "status", status=503, count=None)
    backfill = here.backfill(WHOLE, NIGHTS[:1])
    turns(here)

    assert here.status(backfill) == "COMPLETED_SUCCESS"
    assert (in_flight(here), failing_checks(here)) == (ROWS, {"complete"})

    world.control.clear_faults()
    CLOCK.advance(600)
    [request] = tick(here.definitions, here.instance).run_requests or []
    here.launch(request)
    here.queue_turn()

    assert [run.status.value for run in here.runs(backfill)] == ["SUCCESS", "SUCCESS"]
    assert (in_flight(here), failing_checks(here)) == (0, set())
    assert len(world.images()) == ROWS
    assert_each_bought_once(world, ROWS)


def in_flight(here: InProcessDagster) -> object:
    """Return what the newest materialization of the images says is at the provider."""
    images = dg.AssetKey(["harbor", "images"])
    [record] = here.instance.fetch_materializations(images, limit=1).records
    assert record.asset_materialization is not None
    return record.asset_materialization.metadata["in_flight"].value


def failing_checks(here: InProcessDagster) -> set[str]:
    """Return the checks that failed in the newest run."""
    *_, run = here.runs()
    records = here.instance.get_records_for_run(
        run.run_id, of_type=dg.DagsterEventType.ASSET_CHECK_EVALUATION
    ).records
    found = [record.event_log_entry.dagster_event.event_specific_data for record in records]
    return {one.check_name for one in found if not one.passed}


def test_reexecuting_a_backfill_from_failure_repairs_what_failed_and_no_more(
    here: InProcessDagster, world: World
) -> None:
    stop_early(world, NIGHTS[1], after=1)
    backfill = here.backfill(WHOLE, NIGHTS)
    turns(here)

    assert here.status(backfill) == "COMPLETED_FAILED"
    assert here.counts(backfill)["harbor/images"] == (2, 0, 1, 1)
    assert_each_bought_once(world, ROWS + 1)

    repair = here.reexecute_failed(backfill)
    turns(here)

    assert here.status(repair) == "COMPLETED_SUCCESS"
    assert here.counts(repair) == dict.fromkeys(WHOLE[1:], (1, 0, 1, 0))
    assert [run.tags["dagster/partition"] for run in here.runs(repair)] == [NIGHTS[1]]
    assert len(world.images()) == 2 * ROWS
    assert_each_bought_once(world, 2 * ROWS)


def test_reexecuting_a_regenerating_backfill_goes_on_with_its_generation(
    here: InProcessDagster, world: World, ledger: RunLedger
) -> None:
    here.backfill(WHOLE, NIGHTS)
    turns(here)
    stop_early(world, NIGHTS[1], after=1)
    failed = here.backfill(WHOLE, NIGHTS, AGAIN)
    turns(here)
    assert_each_bought_once(world, 3 * ROWS + 1)

    repair = here.reexecute_failed(failed)
    turns(here)

    assert here.status(repair) == "COMPLETED_SUCCESS"
    assert_each_bought_once(world, 4 * ROWS)
    for night in NIGHTS:
        record = ledger.night(Night("harbor", night))
        assert record is not None
        assert record.generation == 1


def test_reexecuting_one_failed_run_completes_its_backfill(
    here: InProcessDagster, world: World
) -> None:
    stop_early(world, NIGHTS[1], after=1)
    backfill = here.backfill(WHOLE, NIGHTS)
    here.backfill_turn()
    here.queue_turn()
    [failed] = here.runs(backfill, statuses=[dg.DagsterRunStatus.FAILURE])

    rest()
    again = here.reexecute_failed_run(failed.run_id)
    here.queue_turn()
    here.backfill_turn()

    assert here.status(backfill) == "COMPLETED_SUCCESS"
    run = here.instance.get_run_by_id(again)
    assert run is not None
    assert run.step_keys_to_execute is not None
    assert "harbor__prompts" not in run.step_keys_to_execute
    assert len(world.images()) == 2 * ROWS
    assert_each_bought_once(world, 2 * ROWS)


@pytest.fixture
def endless(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, project: Project, world: World
) -> Iterator[InProcessDagster]:
    """A Dagster whose runs start and wait for ever."""
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path))
    project.add("harbor", BATCH + '  schedule: "0 2 * * *"\n')
    with (
        recommended_instance(tmp_path / "dagster_home", EndlessLauncher) as instance,
        project.load() as defs,
        in_process_dagster(defs, instance) as here,
    ):
        yield here


def test_of_a_long_backfill_few_runs_wait_at_a_time_and_tonight_goes_first(
    endless: InProcessDagster,
) -> None:
    backfill = endless.backfill(WHOLE, FIVE)
    endless.backfill_turn()
    for _ in range(3):
        endless.queue_turn()
    assert len(endless.runs(backfill)) == len(FIVE)
    assert len(endless.runs(backfill, statuses=ACTIVE)) == 3

    report = dg.RunRequest(asset_selection=[dg.AssetKey("cost_report")])
    others = [endless.launch(report) for _ in range(4)]
    tonight = endless.launch(asked_tonight(endless), "harbor_generation")
    endless.queue_turn()

    active = [run.run_id for run in endless.runs(statuses=ACTIVE)]
    assert tonight in active
    assert len(set(others).intersection(active)) == 2
    assert len(endless.runs(backfill, statuses=ACTIVE)) == 3


def test_what_completes_a_night_of_a_backfill_goes_before_its_other_nights(
    endless: InProcessDagster,
) -> None:
    backfill = endless.backfill(WHOLE, FIVE)
    endless.backfill_turn()
    endless.queue_turn()
    todo = Todo(
        kind="collect",
        night=Night("harbor", FIVE[0]),
        attempt=1,
        generation=0,
        revision=3,
        backfill_id=backfill,
    )
    collecting = endless.launch(run_request(todo, FIVE[0]))
    first, *_ = endless.runs(backfill, statuses=ACTIVE)
    endless.instance.report_run_failed(first)
    endless.queue_turn()

    active = [run.run_id for run in endless.runs(backfill, statuses=ACTIVE)]
    assert len(active) == 3
    assert collecting in active


def asked_tonight(here: InProcessDagster) -> dg.RunRequest:
    repository = here.definitions.get_repository_def()
    context = dg.build_schedule_context(
        repository_def=repository, scheduled_execution_time=datetime(2026, 11, 20, 2, tzinfo=UTC)
    )
    [request] = repository.get_schedule_def("harbor_schedule").evaluate_tick(context).run_requests
    return request


def test_the_settings_in_the_documentation_are_those_of_the_demo(tmp_path: Path) -> None:
    page = Path(__file__).parents[2] / "docs" / "DEPLOYING.md"
    [shown] = re.findall(r"```yaml\n(concurrency:.*?)```", page.read_text("utf-8"), re.DOTALL)
    Home(tmp_path / "home").prepare()
    used = (tmp_path / "home" / "dagster" / "dagster.yaml").read_text("utf-8")

    assert shown in used
