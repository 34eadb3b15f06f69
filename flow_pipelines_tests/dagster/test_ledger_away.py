"""Runs that failed before they bought anything since the ledger was away: requested again."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from flow_pipelines.assets.asked_again import ATTEMPT_TAG, LEDGER_AWAY_TAG, runs_again
from flow_pipelines.ledger import RunLedger
from flow_pipelines.ledger.contract import MAX_ATTEMPTS
from flow_pipelines.model.errors import LedgerAway
from flow_pipelines.resources import failures
from flow_pipelines_tests.dagster.conftest import (
    NIGHT,
    ManualLedgerResource,
    Project,
    World,
    tick,
)
from flow_pipelines_tests.dagster.in_process import (
    LOCATION,
    InProcessDagster,
    in_process_dagster,
    recommended_instance,
)
from flow_pipelines_tests.dagster.test_sensor import rest

PLANNED = ("harbor/prompts",)
SENT = ("harbor/provider_runs",)
BOUGHT = (*PLANNED, *SENT)
NIGHTS = ("2026-11-02", "2026-11-03")
ROWS = 3
TAG = f"{LEDGER_AWAY_TAG}floyo"
_away: list[str] = []


class UnreachableLedgerResource(ManualLedgerResource):
    """Its database cannot be reached while `_away` says so."""

    def _open(self, url: str) -> RunLedger:
        if _away:
            raise LedgerAway(_away[-1])
        return super()._open(url)


@pytest.fixture(autouse=True)
def reachable(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(failures, "SECONDS_TO_WAIT", 0.0)
    yield
    _away.clear()


@pytest.fixture
def instance(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[dg.DagsterInstance]:
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path))
    with recommended_instance(tmp_path / "dagster_home") as instance:
        yield instance


@pytest.fixture
def here(
    project: Project, instance: dg.DagsterInstance, world: World
) -> Iterator[InProcessDagster]:
    project.add("harbor")
    with (
        project.load(run_ledger=UnreachableLedgerResource()) as defs,
        in_process_dagster(defs, instance) as here,
    ):
        yield here


def run(here: InProcessDagster, assets: Sequence[str], **more: Any) -> dg.DagsterRun:
    """Launch a run as a person does, and see it through."""
    keys = [dg.AssetKey(asset.split("/")) for asset in assets]
    request = dg.RunRequest(asset_selection=keys, partition_key=NIGHT, **more)
    run_id = here.launch(request)
    here.queue_turn()
    found = here.instance.get_run_by_id(run_id)
    assert found is not None
    return found


def while_away(here: InProcessDagster, assets: Sequence[str], **more: Any) -> dg.DagsterRun:
    _away.append("connection refused")
    failed = run(here, assets, **more)
    _away.clear()
    assert failed.status is dg.DagsterRunStatus.FAILURE
    return failed


def requested(here: InProcessDagster) -> list[dg.RunRequest]:
    """Return what the sensor requests for what had failed."""
    ledger = UnreachableLedgerResource()
    found = tick(here.definitions, here.instance, run_ledger=ledger).run_requests or []
    return [request for request in found if ATTEMPT_TAG in request.tags]


def selected(request: dg.RunRequest) -> tuple[str, ...]:
    return tuple(key.to_user_string() for key in request.asset_selection or ())


def billed(world: World) -> tuple[int, int]:
    meter = world.control.state()["floyo"]
    return meter.runs_billed, meter.duplicate_bills


@pytest.mark.case(
    "a night of a backfill whose `prompts` met no ledger was lost until a person found it",
    "its run says so, and once the ledger is back a sensor requests the rest of it",
)
def test_nights_of_a_backfill_that_met_no_ledger_are_bought_later(
    here: InProcessDagster, world: World
) -> None:
    backfill = here.backfill(BOUGHT, NIGHTS)
    here.backfill_turn()
    _away.append("connection refused")
    here.queue_turn()
    failed = here.runs(backfill)
    assert {one.tags.get(TAG) for one in failed} == {"waiting"}
    assert requested(here) == []
    _away.clear()

    requests = requested(here)
    assert sorted(str(one.partition_key) for one in requests) == list(NIGHTS)
    assert {selected(one) for one in requests} == {BOUGHT}
    assert {one.tags["dagster/backfill"] for one in requests} == {backfill}
    assert {one.run_key for one in requested(here)} == {one.run_key for one in requests}
    for request in requests:
        here.launch(request)
    assert requested(here) == []
    here.queue_turn()
    here.backfill_turn()

    assert billed(world) == (2 * ROWS, 0)
    assert {one.tags[TAG] for one in here.runs(backfill) if TAG in one.tags} == {"settled"}
    assert here.counts(backfill)["harbor/provider_runs"][2] == 2
    rest()
    assert requested(here) == []


@pytest.mark.parametrize("assets", [PLANNED, BOUGHT, (*BOUGHT, "harbor/images")])
def test_no_more_is_requested_than_the_run_was_to_make(
    here: InProcessDagster, assets: tuple[str, ...]
) -> None:
    config = {"ops": {"harbor__provider_runs": {"config": {"limit": 1}}}}
    given = config if "harbor/provider_runs" in assets else {}
    while_away(here, assets, run_config=given)
    (request,) = requested(here)
    assert selected(request) == assets
    assert request.run_config == given


def test_a_planned_night_whose_submitting_run_met_no_ledger_is_bought(
    here: InProcessDagster, world: World
) -> None:
    run(here, PLANNED)
    while_away(here, SENT)
    (request,) = requested(here)
    assert selected(request) == SENT
    here.launch(request)
    here.queue_turn()
    assert billed(world) == (ROWS, 0)


def test_a_night_that_was_begun_is_left_to_whoever_began_it(here: InProcessDagster) -> None:
    while_away(here, BOUGHT)
    run(here, BOUGHT)
    assert requested(here) == []


def test_a_run_that_a_person_started_again_is_left_to_them(here: InProcessDagster) -> None:
    failed = while_away(here, BOUGHT)
    here.reexecute_failed_run(failed.run_id)
    assert requested(here) == []


def test_a_run_of_another_code_location_is_left_to_that(
    here: InProcessDagster, ledger: RunLedger
) -> None:
    failed = while_away(here, BOUGHT)
    context = dg.build_sensor_context(instance=here.instance)
    for location, expected in (("elsewhere", 0), (LOCATION, 1)):
        found = list(runs_again(context, "floyo", {"harbor": True}, ledger, location))
        assert len(found) == expected
    again = here.instance.get_run_by_id(failed.run_id)
    assert again is not None
    assert again.tags[TAG] == "waiting"


def test_attempts_are_bounded(here: InProcessDagster) -> None:
    while_away(here, BOUGHT, tags={ATTEMPT_TAG: str(MAX_ATTEMPTS - 1)})
    (request,) = requested(here)
    assert request.tags[ATTEMPT_TAG] == str(MAX_ATTEMPTS)
    _away.append("connection refused")
    here.launch(request)
    here.queue_turn()
    _away.clear()
    assert requested(here) == []


def test_what_failed_of_itself_is_not_requested(
    here: InProcessDagster, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as unset:
        unset.setenv("FLOW_PIPELINES_BUCKET", "")
        failed = run(here, BOUGHT)
    assert failed.status is dg.DagsterRunStatus.FAILURE
    assert TAG not in failed.tags
    assert requested(here) == []
