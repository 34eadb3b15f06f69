"""Dagster repeats runs in many ways; none of them asks for more than the first did."""

from __future__ import annotations

from typing import Any

import dagster as dg
import pytest

from flow_pipelines.ledger import RunLedger
from flow_pipelines.model import Night
from flow_pipelines_tests.dagster.conftest import (
    BATCH,
    CLOCK,
    NIGHT,
    Project,
    World,
    materialize,
    tick,
)

BUY = ("harbor/prompts", "harbor/provider_runs")
HARBOR = Night("harbor", NIGHT)


def config(**values: Any) -> dict[str, Any]:
    return {"ops": {"harbor__provider_runs": {"config": values}}}


def retry_of(result: dg.ExecuteInProcessResult, number: int = 1) -> dict[str, str]:
    """Return the tags of the run that Dagster's run retries start in the place of this one."""
    run = result.dagster_run
    return {
        "dagster/parent_run_id": run.run_id,
        "dagster/root_run_id": run.root_run_id or run.run_id,
        "dagster/retry_number": str(number),
    }


def test_a_retried_run_goes_on_with_its_limit_instead_of_beginning_it_anew(
    project: Project,
    instance: dg.DagsterInstance,
    world: World,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    rows = "".join(f"p{number},a cat {number}\n" for number in range(8))
    project.add("harbor", prompts__csv=f"prompt_id,prompt\n{rows}")
    receipts = iter(range(99))

    def record_receipt(self: RunLedger, key: str, *rest: Any, **named: Any) -> Any:
        if next(receipts) == 2:
            raise SystemExit  # the process dies in the middle of its limit
        return plain(self, key, *rest, **named)

    plain = RunLedger.record_receipt
    monkeypatch.setattr(RunLedger, "record_receipt", record_receipt)
    with project.load() as defs:
        asked = config(limit=4)
        died = materialize(defs, instance, *BUY, run_config=asked)
        assert (died.success, world.bought()) == (False, 3)
        CLOCK.advance(60)
        materialize(defs, instance, *BUY, run_config=asked, tags=retry_of(died))
    assert world.bought() == 4


def test_a_retried_run_does_not_go_on_where_a_person_has_to_look(
    project: Project, instance: dg.DagsterInstance, world: World
) -> None:
    rows = "".join(f"p{number},a cat {number}\n" for number in range(9))
    project.add("harbor", prompts__csv=f"prompt_id,prompt\n{rows}")
    world.control.add_fault("floyo", "create_run", "drop_after_accept", count=3)
    with project.load() as defs:
        first = materialize(defs, instance, *BUY)
        assert world.bought() == 3
        second = materialize(defs, instance, *BUY, tags=retry_of(first))
        assert (second.success, world.bought()) == (False, 3)
        assert materialize(defs, instance, *BUY).success  # a person asks
    assert world.bought() == 9


def test_runs_that_we_define_are_not_retried_whole_for_a_step_that_failed(
    project: Project, instance: dg.DagsterInstance, world: World
) -> None:
    project.add("harbor")
    name = "dagster/retry_on_asset_or_op_failure"
    with project.load() as defs:
        assert defs.resolve_job_def("harbor_generation").tags[name] == "false"
        assert materialize(defs, instance, *BUY).success
        CLOCK.advance(300)
        [request] = tick(defs, instance).run_requests
    assert request.tags[name] == "false"


def test_a_person_who_asks_again_gets_a_limit_of_their_own(
    project: Project, instance: dg.DagsterInstance, world: World
) -> None:
    project.add("harbor")
    with project.load() as defs:
        for bought in (1, 2, 3, 3):
            assert materialize(defs, instance, *BUY, run_config=config(limit=1)).success
            assert world.bought() == bought


@pytest.mark.parametrize(
    "tags",
    [
        [{"dagster/backfill": "bf-1"}, {"dagster/backfill": "bf-1"}],
        [
            {"dagster/backfill": "bf-1"},
            {"dagster/backfill": "bf-2", "dagster/root_backfill_id": "bf-1"},
            {"dagster/backfill": "bf-3", "dagster/root_backfill_id": "bf-1"},
        ],
    ],
    ids=["the same backfill", "re-executions of a backfill"],
)
def test_a_backfill_that_is_repeated_regenerates_once(
    tags: list[dict[str, str]], project: Project, instance: dg.DagsterInstance, world: World
) -> None:
    project.add("harbor")
    with project.load() as defs:
        assert materialize(defs, instance, *BUY).success
        for one in tags:
            asked = config(regenerate="all")
            assert materialize(defs, instance, *BUY, run_config=asked, tags=one).success
    assert world.bought() == 6


def test_a_sensor_does_not_hand_a_regeneration_on(
    project: Project, instance: dg.DagsterInstance, world: World
) -> None:
    project.add("harbor")
    with project.load() as defs:
        assert materialize(defs, instance, *BUY).success
        asked = config(regenerate="all", limit=1)
        world.control.add_fault("floyo", "create_run", "status", status=429, count=None)
        assert not materialize(defs, instance, *BUY, run_config=asked).success
        world.control.clear_faults()
        CLOCK.advance(600)
        [request] = [
            one
            for one in tick(defs, instance).run_requests
            if one.asset_selection[0].path[-1] == "provider_runs"
        ]
        assert request.run_config == config(limit=1)
        materialize(defs, instance, "harbor/provider_runs", run_config=request.run_config)
        CLOCK.advance(600)
        kinds = [one.asset_selection[0].path[-1] for one in tick(defs, instance).run_requests]
    assert "provider_runs" not in kinds
    assert world.bought() == 4


def test_a_partition_called_all_is_a_partition(
    project: Project, instance: dg.DagsterInstance, world: World, ledger: RunLedger
) -> None:
    daily = BATCH[BATCH.index("  partitions_def") : BATCH.index("  price")]
    static = "  partitions_def: {type: static, partition_keys: [all, some]}\n"
    project.add("harbor", BATCH.replace(daily, static))
    with project.load() as defs:
        assert materialize(defs, instance, *BUY, partition_key="all").success
        CLOCK.advance(300)
        [request] = tick(defs, instance).run_requests
        assert request.partition_key == "all"
        names = [key.to_user_string() for key in request.asset_selection]
        assert materialize(defs, instance, *names, partition_key="all").success
    assert len(world.images()) == 3


def test_a_range_of_partitions_in_one_run_buys_nothing(
    project: Project, instance: dg.DagsterInstance, world: World
) -> None:
    project.add("harbor")
    tags = {
        "dagster/asset_partition_range_start": "2026-11-02",
        "dagster/asset_partition_range_end": "2026-11-04",
    }
    with project.load() as defs:
        result = materialize(defs, instance, *BUY, partition_key=None, tags=tags)
    assert not result.success
    assert world.bought() == 0
