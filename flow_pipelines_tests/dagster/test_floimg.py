"""FloImg from `defs.yaml` to the bucket, and what its resource can be told."""

from __future__ import annotations

from typing import Any

import dagster as dg
import pytest

from flow_pipelines import FloImgResource
from flow_pipelines.model import Night, OutputRef, SubmissionState
from flow_pipelines.model.errors import OutputRefused
from flow_pipelines.provider import Purpose, TurnRequest
from flow_pipelines.transport import MemoryPaceStore
from flow_pipelines_tests.dagster.conftest import (
    CLOCK,
    NIGHT,
    ManualLedgerResource,
    Project,
    World,
    materialize,
)
from flow_pipelines_tests.fakes import ManualClock
from flow_pipelines_tests.unit.transport.wire import Wire, answer

BATCH = """\
type: flow_pipelines.PromptBatchComponent
attributes:
  name: posters
  provider: floimg
  workflow: wf_city_poster
  prompts: prompts.csv
  parameters:
    prompt: "{prompt}"
    width: "64"
    height: 64
  partitions_def: {type: daily, start_date: "2026-11-01", timezone: UTC}
  price_usd_per_run: 0.02
"""
POSTERS = Night("posters", NIGHT)
WHOLE = ("posters/prompts", "posters/provider_runs", "posters/images")


def buy(project: Project, instance: dg.DagsterInstance) -> dict[str, Any]:
    project.add("posters", BATCH)
    with project.load() as defs:
        result = materialize(defs, instance, *WHOLE)
    assert result.success
    [event] = result.asset_materializations_for_node("posters__images")
    return {name: value.value for name, value in event.metadata.items()}


def test_a_night_is_bought_once_and_every_output_is_stored(
    project: Project, instance: dg.DagsterInstance, world: World
) -> None:
    facts = buy(project, instance)
    assert (facts["rows"], facts["succeeded"], facts["images"]) == (3, 3, 3)
    assert (facts["cost_usd"], facts["runs_cost_unknown"], facts["flotime_ms"]) == (0.06, 0, 0)
    assert len(world.images()) == 3
    meter = world.control.state()["floimg"]
    assert (meter.runs_billed, meter.duplicate_bills, meter.rate_limited) == (3, 0, 0)


@pytest.mark.parametrize("error", ["workflow_failed", "out_of_memory"])
def test_a_failed_execution_is_a_failed_row_however_it_is_told(
    project: Project, instance: dg.DagsterInstance, world: World, error: str
) -> None:
    world.control.add_fault("floimg", "execute_workflow", "run_fails", error=error)
    facts = buy(project, instance)
    assert (facts["succeeded"], facts["failed"], facts["unresolved"]) == (2, 1, 0)
    assert (facts["cost_usd"], facts["runs_cost_unknown"]) == (0.04, 1)
    with ManualLedgerResource().get_ledger() as ledger:
        (row,) = ledger.submissions(POSTERS, states={SubmissionState.FAILED})
    assert row.error_code == "workflow_failed"
    assert world.control.state()["floimg"].runs_billed == 3


def test_an_output_that_is_told_late_is_stored_by_a_later_collection(
    project: Project, instance: dg.DagsterInstance, world: World
) -> None:
    world.control.add_fault("floimg", "get_execution", "empty_outputs", count=None)
    project.add("posters", BATCH)
    with project.load() as defs:
        materialize(defs, instance, *WHOLE)
        assert world.images() == []
        world.control.clear_faults()
        materialize(defs, instance, "posters/images")
    assert len(world.images()) == 3
    assert world.control.state()["floimg"].runs_billed == 3


class _Paces(MemoryPaceStore):
    interval_seconds = 0.0

    def reserve(self, key: str, ask: TurnRequest) -> float | None:
        self.interval_seconds = ask.interval_seconds
        return super().reserve(key, ask)


@pytest.mark.parametrize(("told", "limit"), [({}, 60), ({"requests_per_minute": 300}, 300)])
def test_turns_come_as_the_account_s_plan_allows(told: dict[str, int], limit: int) -> None:
    clock = ManualClock()
    paces = _Paces(clock)
    resource = FloImgResource(api_key="fsk_live_key", **told)
    resource.get_provider(paces, clock).take_turn(Purpose.SUBMIT)
    assert 60 / limit <= paces.interval_seconds <= 60 / limit / 0.95


def test_outputs_come_from_floimg_s_storage_and_from_hosts_that_a_person_adds() -> None:
    with Wire() as api, Wire(answer(200, b"picture")) as storage:
        ref = OutputRef(output_id="output", url=f"{storage.url}/1.png")

        def fetch(**told: Any) -> bytes:
            resource = FloImgResource(api_key="fsk_live_key", base_url=api.url, **told)
            provider = resource.get_provider(MemoryPaceStore(CLOCK), CLOCK)
            with provider.fetch(ref, max_bytes=100) as download:
                return download.read()

        with pytest.raises(OutputRefused, match="not among the hosts"):
            fetch()
        assert storage.connections == 0
        assert fetch(output_hosts=["127.0.0.1"]) == b"picture"
