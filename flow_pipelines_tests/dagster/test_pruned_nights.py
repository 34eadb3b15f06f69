"""A night that was pruned, in Dagster: its runs end well, cost nothing, and leave all as it was."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

import dagster as dg
import pytest

from flow_pipelines.assets.last_night import Due, _judge
from flow_pipelines.cli.location import batches_of
from flow_pipelines.ledger import RunLedger
from flow_pipelines.lifecycle.progress import night_status
from flow_pipelines.lifecycle.prune import prune
from flow_pipelines.model import Night
from flow_pipelines.resources.image_store import ImageStoreResource
from flow_pipelines_tests.dagster.conftest import (
    BATCH,
    CLOCK,
    NIGHT,
    Project,
    World,
    materialize,
    tick,
)
from flow_pipelines_tests.dagster.test_comparison import COMPARISON
from flow_pipelines_tests.dagster.test_comparison import WHOLE as SIDES

HARBOR = Night("harbor", NIGHT)
WHOLE = ("harbor/prompts", "harbor/provider_runs", "harbor/images", "harbor/contact_sheet")


class Books:
    """The ledger and the bucket of a test."""

    def __init__(self, ledger: RunLedger) -> None:
        self.ledger, self.clock = ledger, CLOCK
        self.store, self.log = ImageStoreResource().get_store(), print


def prune_all(ledger: RunLedger) -> list[str | None]:
    CLOCK.advance(timedelta(days=10).total_seconds())
    books: Any = Books(ledger)
    return [one.why_not for one in prune(books, before=CLOCK.now(), owner="pruner")]


def told(result: dg.ExecuteInProcessResult, asset: str) -> Mapping[str, Any]:
    [event] = result.asset_materializations_for_node(asset.replace("/", "__"))
    return {name: value.value for name, value in event.metadata.items()}


def versions(instance: dg.DagsterInstance) -> dict[str, str]:
    found = {}
    for asset in WHOLE[:3]:
        record = instance.get_latest_data_version_record(
            dg.AssetKey(asset.split("/")), partition_key=NIGHT
        )
        assert record is not None
        assert record.asset_materialization is not None
        tags = record.asset_materialization.tags or {}
        found[asset] = tags["dagster/data_version"]
    return found


def files(world: World) -> dict[str, bytes]:
    folder = world.bucket / "harbor" / NIGHT
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and path.suffix in {".parquet", ".png", ".jpg"}
    }


@pytest.mark.case(
    "a night that was pruned is materialized again, alone or in a backfill of its range",
    "each of its runs ends well and costs nothing; tables, checks and versions stay as they were",
    area="pruning",
)
def test_materializing_a_pruned_night_changes_nothing_and_ends_well(
    project: Project, instance: dg.DagsterInstance, world: World, ledger: RunLedger
) -> None:
    project.add("harbor")
    with project.load() as defs:
        assert materialize(defs, instance, *WHOLE).success
        first = materialize(defs, instance, *WHOLE)  # values, too, are those of the end
        before, kept = versions(instance), files(world)
        assert prune_all(ledger) == [None]

        again = materialize(defs, instance, *WHOLE)
        alone = [materialize(defs, instance, asset) for asset in WHOLE]

    assert again.success
    assert [one.success for one in alone] == [True] * 4
    assert world.bought() == 3
    assert files(world) == kept
    assert versions(instance) == before
    for asset in WHOLE[:3]:
        assert "is closed: it was pruned" in told(again, asset)["closed"]
    was, now = told(first, "harbor/images"), told(again, "harbor/images")
    assert {**now, **was} == now
    checks = {one.check_name: one.passed for one in again.get_asset_check_evaluations()}
    assert checks == {one.check_name: one.passed for one in first.get_asset_check_evaluations()}
    assert told(again, "harbor/contact_sheet")["rows"] == 3
    assert ledger.submissions(HARBOR) == []


def test_a_pruned_night_is_not_regenerated(
    project: Project, instance: dg.DagsterInstance, world: World, ledger: RunLedger
) -> None:
    project.add("harbor")
    with project.load() as defs:
        assert materialize(defs, instance, *WHOLE).success
        prune_all(ledger)
        config = {"ops": {"harbor__provider_runs": {"config": {"regenerate": "all"}}}}
        asked = materialize(defs, instance, "harbor/provider_runs", run_config=config)
    [failed] = [event for event in asked.all_events if event.is_step_failure]
    assert "is closed: it was pruned" in str(failed.step_failure_data)
    assert world.bought() == 3


def test_a_sensor_has_nothing_to_do_with_a_pruned_night(
    project: Project, instance: dg.DagsterInstance, world: World, ledger: RunLedger
) -> None:
    yaml = BATCH + '  schedule: "0 2 * * *"\n'
    project.add("harbor", yaml)
    with project.load() as defs:
        assert materialize(defs, instance, *WHOLE).success
        prune_all(ledger)
        data = tick(defs, instance)
        assert [request for request in data.run_requests or [] if request.partition_key] == []
        [batch] = batches_of(defs)
        # As if its schedule had been due for this very night.
        verdict = _judge(
            batch.name,
            [Due(partition_key=NIGHT, scheduled_at=CLOCK.now(), deadline_at=CLOCK.now())],
            lambda night: night_status(ledger.night(night), night, ledger),
            CLOCK.now(),
        )
    assert verdict.passed
    assert "3 of 3 done" in verdict.describe()


def test_the_cost_report_has_pruned_nights_whether_it_is_rebuilt_or_not(
    project: Project, instance: dg.DagsterInstance, world: World, ledger: RunLedger
) -> None:
    project.add("harbor")
    with project.load() as defs:
        assert materialize(defs, instance, *WHOLE).success

        def report(**config: Any) -> Mapping[str, Any]:
            run_config = {"ops": {"cost_report": {"config": config}}}
            result = materialize(
                defs, instance, "cost_report", partition_key=None, run_config=run_config
            )
            return told(result, "cost_report")

        before = report()
        prune_all(ledger)
        after, rebuilt = report(), report(rebuild=True)
    for name in ("cost_usd", "images", "provider_runs", "flotime_ms", "nights", "costs"):
        assert before[name] == after[name] == rebuilt[name], name


def test_a_comparison_shows_a_pruned_side_as_before(
    project: Project, instance: dg.DagsterInstance, world: World, ledger: RunLedger
) -> None:
    project.add("best", COMPARISON)
    page = world.bucket / "best" / NIGHT / "comparison.html"
    with project.load() as defs:
        assert materialize(defs, instance, *SIDES, "best/comparison").success
        before = page.read_bytes()
        assert prune_all(ledger) == [None, None]
        assert materialize(defs, instance, "best/comparison").success
    assert page.read_bytes() == before
