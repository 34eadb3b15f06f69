from __future__ import annotations

from datetime import UTC, datetime

import dagster as dg
import pytest

from flow_pipelines.schedules import last_complete_partition
from flow_pipelines_tests.dagster.conftest import BATCH, Project

DAILY = dg.DailyPartitionsDefinition("2026-11-01")
NEW_YORK = dg.DailyPartitionsDefinition("2026-11-01", timezone="America/New_York")
ENDED = dg.DailyPartitionsDefinition("2026-11-01", end_date="2026-11-05")
AHEAD = dg.DailyPartitionsDefinition("2026-11-01", end_offset=1)
WEEKLY = dg.WeeklyPartitionsDefinition("2026-11-01")


@pytest.mark.parametrize(
    ("partitions_def", "at", "key"),
    [
        (DAILY, "2026-11-20T02:00", "2026-11-19"),
        (DAILY, "2026-11-20T00:00", "2026-11-19"),
        (DAILY, "2026-11-19T23:59", "2026-11-18"),
        (DAILY, "2026-11-01T02:00", None),
        (NEW_YORK, "2026-11-20T04:30", "2026-11-18"),
        (NEW_YORK, "2026-11-20T07:00", "2026-11-19"),
        (ENDED, "2026-11-05T02:00", "2026-11-04"),
        (ENDED, "2026-11-20T02:00", None),
        (AHEAD, "2026-11-20T02:00", "2026-11-19"),
        (WEEKLY, "2026-11-18T02:00", "2026-11-08"),
    ],
)
def test_the_last_complete_partition_is_the_one_that_has_ended(
    partitions_def: dg.TimeWindowPartitionsDefinition, at: str, key: str | None
) -> None:
    assert last_complete_partition(partitions_def, datetime.fromisoformat(at + "+00:00")) == key


def test_a_tick_asks_for_last_night_once_in_the_partitions_time_zone(project: Project) -> None:
    yaml = BATCH.replace("timezone: UTC", "timezone: Europe/Berlin")
    project.add("harbor", yaml + '  schedule: "0 2 * * *"\n')
    with project.load() as defs:
        repository = defs.get_repository_def()
        schedule = repository.get_schedule_def("harbor_schedule")
        context = dg.build_schedule_context(
            repository_def=repository,
            scheduled_execution_time=datetime(2026, 11, 20, 1, 0, tzinfo=UTC),
        )
        [request] = schedule.evaluate_tick(context).run_requests or []

    assert schedule.execution_timezone == "Europe/Berlin"
    assert (request.run_key, request.partition_key) == ("2026-11-19", "2026-11-19")
