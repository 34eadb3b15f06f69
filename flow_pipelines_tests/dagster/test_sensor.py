from __future__ import annotations

import json
from datetime import timedelta
from decimal import Decimal
from typing import Any

import dagster as dg
import pytest

from flow_pipelines.ledger import RunLedger
from flow_pipelines.model import Night, SubmissionState
from flow_pipelines_tests.dagster.conftest import (
    BATCH,
    CLOCK,
    NIGHT,
    Project,
    World,
    materialize,
    tick,
)

GENERATION = ("harbor/prompts", "harbor/provider_runs")
HARBOR = Night("harbor", NIGHT)


def run_asked_for(
    defs: dg.Definitions, instance: dg.DagsterInstance, request: Any
) -> dg.ExecuteInProcessResult:
    assets = [key.to_user_string() for key in request.asset_selection]
    return materialize(
        defs,
        instance,
        *assets,
        partition_key=request.partition_key,
        run_config=request.run_config,
        tags=dict(request.tags),
    )


def asked(data: Any) -> list[tuple[str, str | None]]:
    return [
        (request.asset_selection[0].to_user_string(), request.partition_key)
        for request in data.run_requests
    ]


def rest() -> None:
    """Let leases run out and polls fall due."""
    CLOCK.advance(130)


def test_with_nothing_bought_a_tick_says_so_and_asks_for_nothing(
    project: Project, instance: dg.DagsterInstance, world: World
) -> None:
    project.add("harbor")
    with project.load() as defs:
        data = tick(defs, instance)

    assert data.run_requests == []
    assert data.skip_message == "nothing is waiting"


def test_without_a_key_a_tick_names_the_variable_instead_of_failing(
    project: Project,
    instance: dg.DagsterInstance,
    world: World,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("FLOYO_API_KEY")
    project.add("harbor")
    with project.load() as defs:
        data = tick(defs, instance)

    assert data.run_requests == []
    assert "FLOYO_API_KEY is not set" in (data.skip_message or "")


@pytest.mark.case(
    "each part of a tick tried the ledger anew, and reported the same error",
    "the ledger is opened first; where it cannot be, the tick says why once",
)
def test_with_nothing_configured_at_all_a_tick_says_what_is_missing_once(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FLOYO_API_KEY", "any")
    project.add("harbor")
    with project.load() as defs, dg.DagsterInstance.ephemeral() as instance:
        data = tick(defs, instance)

    assert (data.skip_message or "").count("DAGSTER_HOME is not set") == 1


def test_a_night_that_ended_is_asked_for_once_and_its_run_stores_it(
    project: Project, instance: dg.DagsterInstance, world: World
) -> None:
    project.add("harbor")
    with project.load() as defs:
        assert materialize(defs, instance, *GENERATION).success
        rest()
        first = tick(defs, instance)
        [request] = first.run_requests or []
        again = tick(defs, instance, first.cursor)
        assert run_asked_for(defs, instance, request).success
        rest()
        after = tick(defs, instance, again.cursor)

    assert [key.path[-1] for key in request.asset_selection] == ["images", "contact_sheet"]
    assert request.partition_key == NIGHT
    assert request.run_key.startswith(f"harbor/{NIGHT}/0/collect/")
    assert again.run_requests == []
    assert "was asked for" in (again.skip_message or "")
    assert len(world.images()) == 3
    assert ("harbor/images", NIGHT) not in asked(after)


def test_while_runs_are_under_way_a_tick_says_what_it_waits_for(
    project: Project, instance: dg.DagsterInstance, world: World
) -> None:
    world.control.configure(time_scale=0.001)
    try:
        project.add("harbor")
        with project.load() as defs:
            assert materialize(defs, instance, *GENERATION).success
            rest()
            data = tick(defs, instance)
    finally:
        world.control.configure(time_scale=100.0)

    assert data.run_requests == []
    said = f"harbor/{NIGHT}: 0 of 3 done, 3 in flight, $0.00 so far"
    assert said in (data.skip_message or "")


@pytest.mark.case(
    "a Retry-After of days used up the sensor's attempts, and the night waited for a person",
    "no run is asked for while the account is held, and the sensor goes on after it",
)
def test_a_night_refused_for_days_goes_on_once_they_are_over(
    project: Project, instance: dg.DagsterInstance, world: World
) -> None:
    project.add("harbor")
    told = {"retry-after": "172800"}
    with project.load() as defs:
        world.control.add_fault("floyo", "create_run", "status", status=429, headers=told)
        result = materialize(defs, instance, *GENERATION)
        until = f"{CLOCK.now() + timedelta(days=2):%Y-%m-%d %H:%M}"
        assert not result.success
        for _ in range(20):
            rest()
            data = tick(defs, instance)
            assert data.run_requests == []
            assert f"floyo: nothing is sent before {until}" in (data.skip_message or "")
        CLOCK.advance(172_800)
        [request] = tick(defs, instance).run_requests or []
        assert run_asked_for(defs, instance, request).success

    assert world.bought() == 3
    posts = [one for one in world.control.requests() if one.operation == "create_run"]
    assert [one.status for one in posts] == [429, 200, 200, 200]


def test_a_night_that_was_cut_short_goes_on_by_itself(
    project: Project, instance: dg.DagsterInstance, world: World, ledger: RunLedger
) -> None:
    project.add("harbor")
    with project.load() as defs:
        world.control.add_fault("floyo", "create_run", "status", status=429, count=None)
        assert not materialize(defs, instance, *GENERATION).success
        world.control.clear_faults()
        rest()
        data = tick(defs, instance)
        [request] = data.run_requests or []
        assert run_asked_for(defs, instance, request).success

    assert asked(data) == [("harbor/provider_runs", NIGHT)]
    assert world.bought() == 3
    planned = ledger.submissions(HARBOR, states={SubmissionState.PLANNED})
    assert planned == []


def test_a_limit_that_was_asked_for_is_not_gone_beyond(
    project: Project, instance: dg.DagsterInstance, world: World
) -> None:
    project.add("harbor")
    config = {"ops": {"harbor__provider_runs": {"config": {"limit": 1}}}}
    with project.load() as defs:
        assert materialize(defs, instance, *GENERATION, run_config=config).success
        rest()
        data = tick(defs, instance)

    assert asked(data) == [("harbor/images", NIGHT)]
    assert world.bought() == 1


def test_a_night_of_a_backfill_is_collected_in_that_backfill(
    project: Project, instance: dg.DagsterInstance, world: World
) -> None:
    project.add("harbor")
    tags = {"dagster/backfill": "bf-7"}
    with project.load() as defs:
        assert materialize(defs, instance, *GENERATION, tags=tags).success
        rest()
        [request] = tick(defs, instance).run_requests or []

    assert request.tags["dagster/backfill"] == "bf-7"


def test_a_night_outside_the_partitions_does_not_stop_the_others(
    project: Project, instance: dg.DagsterInstance, world: World
) -> None:
    project.add("harbor")
    with project.load() as defs:
        assert materialize(defs, instance, *GENERATION).success
        assert materialize(defs, instance, *GENERATION, partition_key="2026-11-10").success
    rest()
    project.batches["harbor"] = BATCH.replace("2026-11-01", "2026-11-05")
    with project.load() as defs:
        data = tick(defs, instance)

    assert asked(data) == [("harbor/images", "2026-11-10")]
    assert f"harbor/{NIGHT} is no partition" in " ".join(json.loads(data.cursor or "")["waiting"])


def test_a_batch_of_another_location_is_left_alone(
    project: Project, instance: dg.DagsterInstance, world: World
) -> None:
    project.add("harbor")
    with project.load() as defs:
        assert materialize(defs, instance, *GENERATION).success
    rest()
    elsewhere = Project()
    elsewhere.add("alley", BATCH.replace("harbor", "alley"))
    with elsewhere.load() as defs:
        data = tick(defs, instance)

    assert data.run_requests == []


def test_after_a_change_the_cost_report_is_asked_for_once(
    project: Project, instance: dg.DagsterInstance, world: World
) -> None:
    project.add("harbor")
    with project.load() as defs:
        assert materialize(defs, instance, *GENERATION).success
        rest()
        first = tick(defs, instance)
        for request in first.run_requests or []:
            assert run_asked_for(defs, instance, request).success
        rest()
        second = tick(defs, instance, first.cursor)
        third = tick(defs, instance, second.cursor)

    assert asked(second) == [("cost_report", None)]
    assert third.run_requests == []


def test_a_cursor_that_somebody_edited_is_read_as_a_new_one(
    project: Project, instance: dg.DagsterInstance, world: World
) -> None:
    project.add("harbor")
    with project.load() as defs:
        for cursor in (
            "not json",
            "[]",
            '{"changed_at": "soon"}',
            '{"changed_at": "2026-11-02T00:00:00"}',
            '{"told": {"harbor/2026-11-02": 3}}',
            '{"expected_since": {"harbor": "yesterday"}}',
        ):
            assert tick(defs, instance, cursor).skip_message == "nothing is waiting"


def test_what_metrics_need_to_know_is_left_in_the_ledger(
    project: Project,
    instance: dg.DagsterInstance,
    world: World,
    ledger: RunLedger,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("FLOW_PIPELINES_DAILY_BUDGET_USD", "2.50")
    project.add("harbor")
    with project.load() as defs:
        assert materialize(defs, instance, *GENERATION).success
        rest()
        tick(defs, instance)

    assert ledger.daily_budgets() == [("floyo", "floyo", Decimal("2.50"))]
    (last,) = ledger.last_ticks()
    assert (last.provider, last.at) == ("floyo", CLOCK.now())
