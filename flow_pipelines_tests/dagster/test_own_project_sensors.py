"""Sensors of two code locations over one ledger keep out of each other's batches."""

from __future__ import annotations

import dagster as dg
import pytest
from dagster._core.remote_origin import RegisteredCodeLocationOrigin

from flow_pipelines import FloyoResource
from flow_pipelines.ledger import RunLedger
from flow_pipelines.lifecycle import claim_batch
from flow_pipelines.model.errors import ConfigurationError
from flow_pipelines_tests.dagster.conftest import (
    BATCH,
    CLOCK,
    NIGHT,
    Project,
    World,
    materialize,
)
from flow_pipelines_tests.dagster.test_sensor import asked

GENERATION = ("harbor/prompts", "harbor/provider_runs")


def tick(
    defs: dg.Definitions, instance: dg.DagsterInstance, location: str
) -> dg.SensorExecutionData:
    repository = defs.get_repository_def()
    sensor = repository.get_sensor_def("floyo_runs_sensor")
    context = dg.SensorEvaluationContext(
        instance_ref=None,
        instance=instance,
        repository_def=repository,
        sensor_name=sensor.name,
        resources=repository.get_top_level_resources(),
        code_location_origin=RegisteredCodeLocationOrigin(location),
    )
    with context:
        return sensor.evaluate_tick(context)


def bought_by(
    location: str, project: Project, instance: dg.DagsterInstance, ledger: RunLedger
) -> None:
    """Buy a night as a run that was started from `location` does; its runs have ended since."""
    project.add("harbor")
    claim_batch(ledger, "harbor", location)
    with project.load() as defs:
        assert materialize(defs, instance, *GENERATION).success
    CLOCK.advance(130)


def asked_about(world: World) -> int:
    return world.control.state()["floyo"].requests.get("retrieve_run", 0)


def test_a_location_s_own_batch_is_polled_and_collected(
    project: Project, instance: dg.DagsterInstance, world: World, ledger: RunLedger
) -> None:
    bought_by("east", project, instance, ledger)
    with project.load() as defs:
        data = tick(defs, instance, "east")
    assert asked_about(world) == 3
    assert [request.partition_key for request in data.run_requests or []] == [NIGHT]


def test_a_batch_of_the_same_name_elsewhere_is_neither_polled_nor_collected(
    project: Project, instance: dg.DagsterInstance, world: World, ledger: RunLedger
) -> None:
    bought_by("east", project, instance, ledger)
    other = Project()
    other.add("harbor")
    other.add("alley", BATCH.replace("harbor", "alley"))
    with other.load() as defs:
        data = tick(defs, instance, "west")
    assert asked_about(world) == 0
    assert data.run_requests == []
    assert "belongs to the code location 'east'" in (data.skip_message or "")


def test_once_handed_over_it_is_polled_by_its_new_location_alone(
    project: Project, instance: dg.DagsterInstance, world: World, ledger: RunLedger
) -> None:
    bought_by("east", project, instance, ledger)
    ledger.move_batch("harbor", "west")
    with project.load() as defs:
        before = tick(defs, instance, "east")
        assert asked_about(world) == 0
        after = tick(defs, instance, "west")
    assert before.run_requests == []
    assert len(after.run_requests or []) == 1
    assert asked_about(world) == 3


def test_the_refusal_names_both_locations_and_the_way_out(ledger: RunLedger) -> None:
    claim_batch(ledger, "harbor", "east")
    claim_batch(ledger, "harbor", "east")
    claim_batch(ledger, "harbor", "")
    with pytest.raises(ConfigurationError) as caught:
        claim_batch(ledger, "harbor", "west")
    for words in ("'east'", "'west'", "flow-pipelines ledger adopt harbor --location west"):
        assert words in str(caught.value)


@pytest.mark.case(
    "resource: changed in mid-night: runs were polled with a key that does not know them",
    "each run is polled with the account that it was sent with",
)
def test_runs_that_another_account_bought_are_polled_with_it(
    project: Project, instance: dg.DagsterInstance, world: World, ledger: RunLedger
) -> None:
    bought_by("east", project, instance, ledger)
    project.add("harbor", BATCH.replace("workflow:", "resource: second\n  workflow:"))
    with project.load(second=FloyoResource(api_key="another key")) as defs:
        data = tick(defs, instance, "east")
    assert asked_about(world) == 3
    assert asked(data) == [("harbor/images", NIGHT)]
