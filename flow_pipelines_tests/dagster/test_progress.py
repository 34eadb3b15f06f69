"""While a night is being made, the UI says how far it is: a line a tick, ten observations."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

import dagster as dg
import pytest

from flow_pipelines.assets.observations import MOST, last_observed_tenth, observation
from flow_pipelines.ledger import RunLedger
from flow_pipelines.ledger.contract import MAX_COLLECTIONS
from flow_pipelines.lifecycle import NightProgress, night_progress
from flow_pipelines.model import Night, RunReport, Submission, SubmissionState
from flow_pipelines_tests.dagster.conftest import CLOCK, NIGHT, Project, World, materialize
from flow_pipelines_tests.dagster.test_sensor import tick

GENERATION = ("harbor/prompts", "harbor/provider_runs")
HARBOR = Night("harbor", NIGHT)
ROWS = 25
TABLE = "prompt_id,prompt\n" + "".join(f"p{number},boat {number}\n" for number in range(ROWS))
RUNS = dg.AssetKey(["harbor", "provider_runs"])


def end(ledger: RunLedger, submission: Submission) -> None:
    """Let a run end, as a poll by another process would."""
    report = RunReport(
        provider_run_id=submission.provider_run_id or "",
        state=SubmissionState.SUCCEEDED,
        provider_status="done",
    )
    ledger.record_poll(
        submission.submission_key,
        report,
        next_poll_at=None,
        cost_usd=Decimal("0.02"),
        cost_basis="estimated",
    )


def observed(data: Any) -> list[dict[str, Any]]:
    return [
        {name: value.value for name, value in event.metadata.items()}
        for event in data.asset_events
        if isinstance(event, dg.AssetObservation)
    ]


def report_all(instance: dg.DagsterInstance, data: Any) -> None:
    """Store a tick's events, as the daemon does."""
    for event in data.asset_events:
        instance.report_runless_asset_event(event)


@pytest.fixture
def slow(world: World) -> World:
    """Runs that do not end by themselves."""
    world.control.configure(time_scale=0.0001)
    return world


@pytest.fixture(autouse=True)
def usual_speed(world: World) -> Any:
    yield
    world.control.configure(time_scale=100.0)


def test_a_night_is_observed_at_most_ten_times_however_often_a_tick_looks(
    project: Project, instance: dg.DagsterInstance, slow: World, ledger: RunLedger
) -> None:
    project.add("harbor", prompts__csv=TABLE)
    told, lines, cursor = [], set(), None
    with project.load() as defs:
        assert materialize(defs, instance, *GENERATION).success
        for submission in ledger.submissions(HARBOR):
            CLOCK.advance(1)
            end(ledger, submission)
            data = tick(defs, instance, cursor)
            report_all(instance, data)
            told += observed(data)
            lines.add((data.skip_message or "").split(";")[0])
            cursor = data.cursor

    assert [one["percent"] // 10 for one in told] == list(range(1, MOST + 1))
    assert told[4]["rows"] == ROWS
    assert told[4]["done"] + told[4]["in_flight"] == ROWS
    assert told[4]["cost_usd"] == pytest.approx(told[4]["done"] * 0.02)
    assert told[4]["expected_end"] > CLOCK.now().timestamp() - ROWS
    assert f"harbor/{NIGHT}: 12 of 25 done, 13 in flight, $0.24 so far" in "".join(lines)


def test_a_cursor_that_was_lost_does_not_tell_a_tenth_again(
    project: Project, instance: dg.DagsterInstance, slow: World, ledger: RunLedger
) -> None:
    project.add("harbor")
    with project.load() as defs:
        assert materialize(defs, instance, *GENERATION).success
        end(ledger, ledger.submissions(HARBOR)[0])
        first = tick(defs, instance)
        report_all(instance, first)
        second = tick(defs, instance, None)
        end(ledger, ledger.submissions(HARBOR)[1])
        third = tick(defs, instance, second.cursor)

    assert [one["percent"] for one in observed(first)] == [33]
    assert observed(second) == []
    assert [one["percent"] for one in observed(third)] == [66]


def test_a_regeneration_begins_to_count_anew(instance: dg.DagsterInstance) -> None:
    first = progress_of(generation=0, percent=80)
    instance.report_runless_asset_event(observation(first, NIGHT))
    instance.report_runless_asset_event(dg.AssetObservation(RUNS, partition=NIGHT))

    assert last_observed_tenth(instance, first, NIGHT) == 8
    assert last_observed_tenth(instance, first, "2026-11-03") == 0
    assert last_observed_tenth(instance, progress_of(generation=1, percent=10), NIGHT) == 0


def test_a_night_that_is_only_planned_is_not_observed(
    project: Project, instance: dg.DagsterInstance, world: World
) -> None:
    project.add("harbor")
    with project.load() as defs:
        assert materialize(defs, instance, "harbor/prompts").success
        data = tick(defs, instance)

    assert observed(data) == []
    assert json.loads(data.cursor or "")["told"] == {}


def test_a_tick_says_that_submitting_is_paused_and_by_whom(
    project: Project, instance: dg.DagsterInstance, world: World, ledger: RunLedger
) -> None:
    ledger.pause("ana", "invoices first")
    project.add("harbor")
    with project.load() as defs:
        said = tick(defs, instance).skip_message

    assert said == "submitting is paused by ana: invoices first (`flow-pipelines resume`)"


def test_a_tick_gives_up_asking_and_says_so(
    project: Project, instance: dg.DagsterInstance, world: World
) -> None:
    project.add("harbor")
    with project.load() as defs:
        assert materialize(defs, instance, *GENERATION).success
        said = ""
        for _ in range(MAX_COLLECTIONS + 12):
            CLOCK.advance(7 * 3600)
            said = tick(defs, instance).skip_message or ""
            if "in vain" in said:
                break

    assert f"harbor/{NIGHT}: {MAX_COLLECTIONS} runs to collect were asked for in vain" in said
    assert "materialize harbor/images" in said


def progress_of(*, generation: int, percent: int) -> NightProgress:
    progress = night_progress(HARBOR, [], CLOCK.now())
    fields = {**vars(progress), "generation": generation, "rows": 100, "succeeded": percent}
    return NightProgress(**fields)
