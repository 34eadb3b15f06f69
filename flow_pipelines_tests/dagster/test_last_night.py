"""`last_night_exists`: which night a schedule was due to buy, and who says that it is missing."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any, ClassVar

import dagster as dg
import pytest

from flow_pipelines.assets.last_night import Expectation
from flow_pipelines.ledger import RunLedger, open_ledger
from flow_pipelines.resources import RunLedgerResource
from flow_pipelines_tests.dagster.conftest import BATCH, Project, World, materialize
from flow_pipelines_tests.dagster.test_sensor import run_asked_for
from flow_pipelines_tests.dagster.test_sensor import tick as sensor_tick
from flow_pipelines_tests.fakes import ManualClock

SCHEDULED = BATCH + '  schedule: "0 2 * * *"\n'
GENERATION = ("harbor/prompts", "harbor/provider_runs")
CHECK = dg.AssetCheckKey(dg.AssetKey(["harbor", "images"]), "last_night_exists")


def due(cron: str, now: str, **more: Any) -> list[tuple[str, str]]:
    """Return the nights due at `now`, newest first, with their deadlines in UTC."""
    expectation = Expectation(
        batch="harbor",
        cron=cron,
        deadline=timedelta(hours=4),
        partitions_def=dg.DailyPartitionsDefinition("2026-10-01", **more),
    )
    at = datetime.fromisoformat(now).replace(tzinfo=UTC)
    return [
        (one.partition_key, f"{one.deadline_at.astimezone(UTC):%d %H:%M}")
        for one in expectation.due(at)
    ]


BERLIN = "Europe/Berlin"
NIGHTS = {
    "before the deadline an older night answers": (
        ("0 2 * * *", "2026-11-22T05:59", {}),
        [("2026-11-21", "22 06:00"), ("2026-11-20", "21 06:00")],
    ),
    "at the deadline only the last one does": (
        ("0 2 * * *", "2026-11-22T06:00", {}),
        [("2026-11-21", "22 06:00")],
    ),
    "two in Berlin is one in winter": (
        ("0 2 * * *", "2026-11-22T05:00", {"timezone": BERLIN}),
        [("2026-11-21", "22 05:00")],
    ),
    "and midnight in summer": (
        ("0 2 * * *", "2026-10-20T04:00", {"timezone": BERLIN}),
        [("2026-10-19", "20 04:00")],
    ),
    "the night of 25 hours is one night": (
        ("0 4 * * *", "2026-10-25T07:00", {"timezone": BERLIN}),
        [("2026-10-24", "25 07:00")],
    ),
    "a schedule that comes back in the day is due since its first time": (
        ("0 2,14 * * *", "2026-11-22T15:00", {}),
        [("2026-11-21", "22 18:00"), ("2026-11-21", "22 06:00")],
    ),
    "before the first night nothing is due": (("0 2 * * *", "2026-10-01T12:00", {}), []),
    "after the last one neither": (
        ("0 2 * * *", "2026-11-22T12:00", {"end_date": "2026-11-10"}),
        [],
    ),
    "the day that is not over is not due": (
        ("0 2 * * *", "2026-11-22T07:00", {"end_offset": 1}),
        [("2026-11-21", "22 06:00")],
    ),
}


@pytest.mark.parametrize(("asked", "expected"), NIGHTS.values(), ids=NIGHTS)
def test_nights_are_due_in_the_time_zone_of_the_schedule(
    asked: tuple[str, str, dict[str, Any]], expected: list[tuple[str, str]]
) -> None:
    cron, now, more = asked
    assert due(cron, now, **more) == expected


class Nightly(RunLedgerResource):
    """Tells time by a clock that starts anew at one in the morning of 10 November."""

    clock: ClassVar[ManualClock]

    def _open(self, url: str) -> RunLedger:
        return open_ledger(url, self.clock)

    def to(self, day: int, hour: int) -> None:
        at = datetime(2026, 11, day, hour, tzinfo=UTC)
        self.clock.advance((at - self.clock.now()).total_seconds())


@pytest.fixture
def time() -> Nightly:
    Nightly.clock = ManualClock(datetime(2026, 11, 10, 1, tzinfo=UTC))
    return Nightly()


def tick(
    defs: dg.Definitions, instance: dg.DagsterInstance, ledger: Nightly, cursor: str | None
) -> Any:
    return sensor_tick(defs, instance, cursor, run_ledger=ledger)


def verdicts(data: Any) -> list[tuple[bool, str]]:
    return [
        (event.passed, event.metadata["partition"].value)
        for event in data.asset_events
        if isinstance(event, dg.AssetCheckEvaluation)
    ]


def test_a_night_that_nobody_bought_is_missing_once_its_deadline_has_passed(
    project: Project, instance: dg.DagsterInstance, world: World, time: Nightly
) -> None:
    project.add("harbor", SCHEDULED)
    with project.load() as defs:
        first = tick(defs, instance, time, None)
        time.to(11, 5)
        in_time = tick(defs, instance, time, first.cursor)
        time.to(11, 6)
        late = tick(defs, instance, time, in_time.cursor)
        again = tick(defs, instance, time, late.cursor)

    assert verdicts(first) == []  # what was due before anybody looked is not missed
    assert verdicts(in_time) == [(False, "2026-11-09")]
    assert verdicts(late) == [(False, "2026-11-10")]
    [event] = late.asset_events
    assert event.severity is dg.AssetCheckSeverity.ERROR
    assert "harbor/2026-11-10 was not bought" in (event.description or "")
    assert "harbor/2026-11-10 was not bought" in (late.skip_message or "")
    assert verdicts(again) == []


def test_a_night_that_comes_late_is_there_again(
    project: Project, instance: dg.DagsterInstance, world: World, time: Nightly
) -> None:
    project.add("harbor", SCHEDULED)
    with project.load(run_ledger=time) as defs:
        cursor = tick(defs, instance, time, None).cursor
        time.to(10, 7)
        late = tick(defs, instance, time, cursor)
        assert materialize(defs, instance, *GENERATION, partition_key="2026-11-09").success
        time.to(10, 8)
        ended = tick(defs, instance, time, late.cursor)
        [request] = ended.run_requests or []
        assert run_asked_for(defs, instance, request).success
        stored = tick(defs, instance, time, ended.cursor)

    assert verdicts(late) == [(False, "2026-11-09")]
    assert verdicts(ended) == []
    assert verdicts(stored) == [(True, "2026-11-09")]


def test_a_night_that_is_bought_in_time_is_there_without_waiting_for_the_deadline(
    project: Project, instance: dg.DagsterInstance, world: World, time: Nightly
) -> None:
    project.add("harbor", SCHEDULED)
    with project.load(run_ledger=time) as defs:
        time.to(10, 3)
        everything = [*GENERATION, "harbor/images"]
        result = materialize(defs, instance, *everything, partition_key="2026-11-09")
        told = tick(defs, instance, time, None)

    [found] = [one for one in result.get_asset_check_evaluations() if one.check_name == CHECK.name]
    assert found.passed
    assert found.metadata["partition"].value == "2026-11-09"
    assert verdicts(told) == [(True, "2026-11-09")]


def test_without_a_schedule_no_night_is_expected(project: Project) -> None:
    project.add("harbor")
    with project.load() as defs:
        graph = defs.resolve_asset_graph()

    assert CHECK not in graph.asset_check_keys


def test_the_deadline_is_the_batchs_own(project: Project) -> None:
    project.add("harbor", SCHEDULED + "  deadline_seconds: 5400\n")
    with project.load() as defs:
        spec = defs.resolve_asset_graph().get_check_spec(CHECK)

    assert "within 1.5 hours" in (spec.description or "")
