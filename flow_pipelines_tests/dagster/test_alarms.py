"""The alarms that docs/alarms.py offers for copying work as they stand there."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType
from typing import Any

import dagster as dg
import pytest

from flow_pipelines_tests.dagster.conftest import BATCH, CLOCK, NIGHT, Project, World, materialize

EXAMPLE = Path(__file__).parents[2] / "docs" / "alarms.py"
GENERATION = ("harbor/prompts", "harbor/provider_runs", "harbor/images")


@pytest.fixture(scope="module")
def example() -> ModuleType:
    spec = importlib.util.spec_from_file_location("alarms_of_the_docs", EXAMPLE)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def look(sensor: dg.SensorDefinition, instance: dg.DagsterInstance, cursor: str | None) -> str:
    """Evaluate once; give the new cursor."""
    with dg.build_sensor_context(instance=instance, cursor=cursor) as context:
        data = sensor.evaluate_tick(context)
    assert data.cursor is not None
    return data.cursor


def test_a_failed_run_is_told_with_its_night_and_its_reason(
    example: ModuleType, project: Project, instance: dg.DagsterInstance, world: World
) -> None:
    told: list[str] = []
    project.add("harbor", BATCH.replace("price_usd_per_run: 0.02", "budget_usd: 1.00"))
    with project.load() as defs:
        tags = {"flow_pipelines/batch": "harbor"}
        failed = materialize(defs, instance, *GENERATION, tags=tags)
        run_failure = failed.get_run_failure_event()
        context = dg.build_run_status_sensor_context(
            sensor_name="tell_of_failed_runs",
            dagster_event=run_failure,
            dagster_instance=instance,
            dagster_run=failed.dagster_run,
        ).for_run_failure()
        example.failed_runs(told.append)(context)

    [line] = told
    assert line.startswith(f"harbor {NIGHT}: run {failed.run_id[:8]} failed: ")
    assert "set price_usd_per_run" in line


def test_failed_checks_are_told_once_and_warnings_are_not(
    example: ModuleType, project: Project, instance: dg.DagsterInstance, world: World
) -> None:
    told: list[str] = []
    sensor = example.failed_checks(told.append)
    world.control.add_fault("floyo", "create_run", "status", status=400, count=1)
    project.add("harbor")
    with project.load() as defs:
        before = look(sensor, instance, None)
        CLOCK.advance(1)
        assert materialize(defs, instance, *GENERATION).success
        after = look(sensor, instance, before)
        look(sensor, instance, after)

    assert [line.partition(" failed: ")[0] for line in told] == [
        f"harbor/images {NIGHT}: complete",
        f"harbor/images {NIGHT}: no_failed_runs",
    ]


def test_what_was_before_the_first_look_is_not_told(
    example: ModuleType, instance: dg.DagsterInstance
) -> None:
    told: list[str] = []
    missing: Any = dg.AssetCheckEvaluation(
        asset_key=dg.AssetKey(["harbor", "images"]),
        check_name="last_night_exists",
        passed=False,
        description="harbor/2026-11-02 was not bought",
        metadata={},
    )
    sensor = example.failed_checks(told.append)
    instance.report_runless_asset_event(missing)
    cursor = look(sensor, instance, None)
    assert told == []
    instance.report_runless_asset_event(missing)
    look(sensor, instance, cursor)
    assert told == [
        "harbor/images: last_night_exists failed: harbor/2026-11-02 was not bought",
    ]


def test_all_of_them_load_in_a_project(
    example: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("ALARM_FROM", "ALARM_PASSWORD", "ALARM_TO"):
        monkeypatch.setenv(name, "someone@example.com")
    sensors = [*example.alarms(print), example.mailed_runs()]
    repository = dg.Definitions(sensors=sensors).get_repository_def()
    names = {sensor.name for sensor in repository.sensor_defs}
    assert {"tell_of_failed_runs", "tell_of_failed_checks"} <= names
    assert len(names) == 3
