"""A whole night on a provider that wants a token, gives only signed links and names no price."""

from __future__ import annotations

import dagster as dg

from flow_pipelines.ledger import RunLedger
from flow_pipelines.model import ENDED, Night, SubmissionState
from flow_pipelines_tests.dagster.conftest import (
    CLOCK,
    NIGHT,
    Project,
    World,
    materialize,
    tick,
)

WHOLE = ("pier/prompts", "pier/provider_runs", "pier/images", "pier/contact_sheet")
BATCH = """\
type: flow_pipelines.PromptBatchComponent
attributes:
  name: pier
  provider: comflowy
  workflow: 3fef208b-7d25-4d9a-8ec9-c79eb2153234
  prompts: prompts.csv
  parameters: {"6::text": "{prompt}", "3::seed": "{seed}", "5::width": 64}
  partitions_def: {type: daily, start_date: "2026-11-01", timezone: UTC}
  price_usd_per_run: 0.02
"""


def test_a_night_on_comflowy_is_bought_once_and_stored_through_a_lost_token_and_a_lost_link(
    project: Project, instance: dg.DagsterInstance, world: World, ledger: RunLedger
) -> None:
    world.control.add_fault("comflowy", "run", "status", status=401, after=1)
    world.control.add_fault("comflowy", "open_link", "status", status=403)
    project.add("pier", BATCH)
    with project.load() as defs:
        result = materialize(defs, instance, *WHOLE)

    assert result.success
    submissions = ledger.submissions(Night("pier", NIGHT))
    assert [one.state for one in submissions] == [SubmissionState.SUCCEEDED] * 3
    assert {(str(one.cost_usd), str(one.cost_basis)) for one in submissions} == {
        ("0.020000", "estimated")
    }
    meter = world.control.state()["comflowy"]
    assert (meter.runs_billed, meter.duplicate_bills) == (3, 0)
    assert len(world.images()) == 3


def test_a_run_that_collects_asks_for_no_link_that_a_tick_was_given(
    project: Project, instance: dg.DagsterInstance, world: World, ledger: RunLedger
) -> None:
    pier = Night("pier", NIGHT)
    project.add("pier", BATCH)
    with project.load() as defs:
        materialize(defs, instance, *WHOLE[:2])
        for _ in range(40):
            CLOCK.advance(60)
            tick(defs, instance, provider="comflowy")
            if {one.state for one in ledger.submissions(pier)} <= ENDED:
                break
        asked = world.control.state()["comflowy"].requests["check"]
        sealed = [one.sealed_link for found in ledger.outputs(pier).values() for one in found]
        materialize(defs, instance, "pier/images")

    assert len(world.images()) == len(sealed) == 3
    assert all(sealed)
    assert not any("Signature" in link for link in sealed if link)
    assert world.control.state()["comflowy"].requests["check"] == asked


def test_a_wrong_parameter_name_is_told_before_anything_is_bought(
    project: Project, instance: dg.DagsterInstance, world: World
) -> None:
    project.add("pier", BATCH.replace("6::text", "text"))
    with project.load() as defs:
        result = materialize(defs, instance, *WHOLE[:2])

    assert not result.success
    [event] = [event for event in result.all_events if event.is_step_failure]
    shown = str(event.step_failure_data.error) + str(event.step_failure_data.user_failure_data)
    assert "is not written" in shown
    assert world.control.state()["comflowy"].requests == {}
