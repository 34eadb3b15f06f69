"""A wrong checkpoint on a real Dagster: the night stops, is mended, and ends whole."""

from __future__ import annotations

from collections.abc import Iterator

import dagster as dg
import pytest

from flow_pipelines.assets.batch import GOES_ON_TAG, asker_of
from flow_pipelines.ledger import RunLedger
from flow_pipelines.model import SubmissionState
from flow_pipelines_tests.dagster.conftest import (
    BATCH,
    GRAPH,
    NIGHT,
    Project,
    World,
    materialize,
    tick,
)
from flow_pipelines_tests.dagster.test_materializing import HARBOR, failure_of
from flow_pipelines_tests.dagster.test_sensor import asked, rest, run_asked_for

GENERATION = ("harbor/prompts", "harbor/provider_runs")
TABLE = "prompt_id,prompt\n" + "".join(f"p{n},boat {n}\n" for n in range(6))
FALSE_GRAPH = GRAPH.replace("a.safetensors", "wrong.safetensors")


@pytest.fixture
def one_model(world: World) -> Iterator[World]:
    world.control.configure(checkpoints=["a.safetensors"])
    yield world
    world.control.configure(checkpoints=None)


def posts(world: World) -> int:
    return sum(one.operation == "create_run" for one in world.control.requests())


@pytest.mark.case(
    "the graph names a checkpoint that the host does not have (30 requests, 30 rows failed, green)",
    "three requests, one failed run with the message; mended, the night is bought whole",
    area="shared faults",
)
def test_a_wrong_checkpoint_stops_the_night_and_a_mended_graph_completes_it(
    project: Project, instance: dg.DagsterInstance, one_model: World, ledger: RunLedger
) -> None:
    project.add("harbor", graph__json=FALSE_GRAPH, prompts__csv=TABLE)
    with project.load() as defs:
        first = materialize(defs, instance, *GENERATION)
        rest()
        data = tick(defs, instance)

    assert not first.success
    told = failure_of(first)
    assert "3 rows were refused alike and none was accepted" in told
    assert "node ckpt: Value not in list: ckpt_name: 'wrong.safetensors' not in" in told
    assert "then materialize harbor/prompts, and after it harbor/provider_runs" in told
    assert posts(one_model) == 3
    assert ("harbor/provider_runs", NIGHT) not in asked(data)
    assert "stopped: 3 rows were refused alike" in (data.cursor or "")
    assert {one.state for one in ledger.submissions(HARBOR)} == {SubmissionState.PLANNED}

    project.add("harbor", graph__json=GRAPH, prompts__csv=TABLE)
    with project.load() as defs:
        assert materialize(defs, instance, "harbor/prompts").success
        rest()
        waits = tick(defs, instance)
        assert materialize(defs, instance, *GENERATION, "harbor/images").success

    assert ("harbor/provider_runs", NIGHT) not in asked(waits)
    found = ledger.submissions(HARBOR)
    assert [(one.state, one.generation) for one in found] == [(SubmissionState.SUCCEEDED, 0)] * 6
    assert one_model.bought() == 6
    assert len(one_model.images()) == 6


def test_the_checks_of_a_stopped_night_say_why_and_that_time_does_not_mend_it(
    project: Project, instance: dg.DagsterInstance, one_model: World
) -> None:
    project.add("harbor", graph__json=FALSE_GRAPH, prompts__csv=TABLE)
    with project.load() as defs:
        materialize(defs, instance, *GENERATION)
        result = materialize(defs, instance, "harbor/images")

    found = {one.check_name: one for one in result.get_asset_check_evaluations()}
    for name in ("complete", "no_failed_runs"):
        assert "3 rows were refused alike" in (found[name].description or "")
    assert not found["complete"].passed
    assert found["complete"].severity is dg.AssetCheckSeverity.ERROR


def test_a_sensor_s_run_counts_on(
    project: Project, instance: dg.DagsterInstance, one_model: World, ledger: RunLedger
) -> None:
    project.add("harbor", graph__json=FALSE_GRAPH, prompts__csv=TABLE)
    with project.load() as defs:
        one_model.control.add_fault("floyo", "create_run", "status", status=429, count=None)
        assert not materialize(defs, instance, *GENERATION).success
        one_model.control.clear_faults()
        rest()
        [request] = tick(defs, instance).run_requests or []
        for _ in range(2):
            assert not run_asked_for(defs, instance, request).success

    record = ledger.night(HARBOR)
    assert record is not None
    assert (record.asks, record.counts) == (1, {SubmissionState.PLANNED: 6})


SENSOR = {GOES_ON_TAG: "true"}
RETRY = {"dagster/retry_number": "1"}


@pytest.mark.parametrize(
    ("chain", "asker"),
    [
        pytest.param([{}], "0", id="a person's, a schedule's or a backfill's run"),
        pytest.param([SENSOR], None, id="a sensor's run"),
        pytest.param([{}, RETRY, RETRY], "0", id="retried by Dagster"),
        pytest.param([SENSOR, SENSOR | RETRY], None, id="a sensor's, retried by Dagster"),
        pytest.param([{}, {}], "1", id="executed again by a person"),
        pytest.param([SENSOR, SENSOR], "1", id="a sensor's, executed again by a person"),
        pytest.param([SENSOR, SENSOR, SENSOR | RETRY], "1", id="and that retried by Dagster"),
    ],
)
def test_who_asked_for_a_run(
    instance: dg.DagsterInstance, chain: list[dict[str, str]], asker: str | None
) -> None:
    runs = [
        dg.DagsterRun(
            job_name="any",
            run_id=str(number),
            tags=tags,
            parent_run_id=str(number - 1) if number else None,
            root_run_id="0" if number else None,
        )
        for number, tags in enumerate(chain)
    ]
    for run in runs:
        instance.add_run(run)

    assert asker_of(instance, runs[-1]) == asker


def test_runs_that_all_failed_stop_the_night(
    project: Project, instance: dg.DagsterInstance, world: World, ledger: RunLedger
) -> None:
    world.control.configure(failure_rate=1.0)
    config = {"ops": {"harbor__provider_runs": {"config": {"limit": 2}}}}
    project.add("harbor", BATCH + "  stop_after_failures: 2\n", prompts__csv=TABLE)
    try:
        with project.load() as defs:
            assert materialize(defs, instance, *GENERATION, run_config=config).success
            rest()
            data = tick(defs, instance)
            result = materialize(defs, instance, "harbor/images")
    finally:
        world.control.configure(failure_rate=0.0)

    record = ledger.night(HARBOR)
    assert record is not None
    assert "the first 2 runs that ended all failed" in (record.stopped or "")
    assert ("harbor/provider_runs", NIGHT) not in asked(data)
    found = {one.check_name: one for one in result.get_asset_check_evaluations()}
    assert "the first 2 runs that ended all failed" in (found["no_failed_runs"].description or "")
