"""What `cost_report` says, keeps and reads again."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import dagster as dg
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from flow_pipelines.ledger import RunLedger, open_ledger
from flow_pipelines.providers import provider_names
from flow_pipelines_tests.dagster.conftest import (
    BATCH,
    CLOCK,
    NIGHT,
    ManualLedgerResource,
    Project,
    World,
    materialize,
)
from flow_pipelines_tests.fakes import ManualClock

WHOLE = ("harbor/prompts", "harbor/provider_runs", "harbor/images")
NUMBERS = {
    "cost_usd",
    "month_to_date_usd",
    "cost_per_image_usd",
    "estimated_share",
    "unknown_share",
    "runs_cost_unknown",
    "images",
    "provider_runs",
    "flotime_ms",
    "nights",
    *(f"{name}_{provider}" for name in ("cost_usd", "month_to_date_usd")
      for provider in provider_names()),
}  # fmt: skip


def report(defs: dg.Definitions, instance: dg.DagsterInstance, **config: Any) -> dict[str, Any]:
    run_config = {"ops": {"cost_report": {"config": config}}} if config else None
    result = materialize(defs, instance, "cost_report", partition_key=None, run_config=run_config)
    assert result.success
    [event] = result.asset_materializations_for_node("cost_report")
    return dict(event.metadata)


def value(facts: dict[str, Any], name: str) -> Any:
    return facts[name].value


def table(world: World) -> list[dict[str, Any]]:
    return pq.read_table(world.bucket / "cost_report" / "cost_report.parquet").to_pylist()


def test_every_report_has_the_same_numbers_for_plots(
    project: Project, instance: dg.DagsterInstance, world: World
) -> None:
    project.add("harbor")
    with project.load() as defs:
        before = report(defs, instance)
        assert materialize(defs, instance, *WHOLE).success
        after = report(defs, instance)

    for facts in (before, after):
        plotted = {
            name
            for name, entry in facts.items()
            if isinstance(entry, (dg.IntMetadataValue, dg.FloatMetadataValue))
        }
        assert plotted == NUMBERS
    assert value(before, "cost_usd") == 0
    assert value(after, "cost_usd") == value(after, "cost_usd_floyo") == 0.06
    assert value(after, "month_to_date_usd") == value(after, "month_to_date_usd_floyo") == 0.06
    assert (value(after, "estimated_share"), value(after, "cost_per_image_usd")) == (1.0, 0.02)


def test_the_chart_is_in_the_bucket_and_in_the_materialization(
    project: Project, instance: dg.DagsterInstance, world: World
) -> None:
    project.add("harbor")
    with project.load() as defs:
        assert materialize(defs, instance, *WHOLE).success
        facts = report(defs, instance)

    chart = world.bucket / "cost_report" / "cost_report.png"
    assert chart.read_bytes().startswith(b"\x89PNG")
    assert value(facts, "chart").endswith("/cost_report/cost_report.png")
    assert "data:image/png;base64," in value(facts, "report")
    assert "$0.06" in value(facts, "preview")
    assert "data:image/png;base64," in value(facts, "preview")
    assert len(value(facts, "preview")) < 1000
    [row] = [record.data for record in facts["costs"].records]
    assert (row["night"], row["batch"], row["provider"]) == (NIGHT, "harbor", "floyo")
    assert (row["images"], row["cost_usd"], row["cost_per_image_usd"]) == (3, 0.06, 0.02)


def test_only_what_changed_is_summed_up_again_and_gives_what_all_would_give(
    project: Project, instance: dg.DagsterInstance, world: World
) -> None:
    project.add("harbor")
    project.add("alley", BATCH.replace("harbor", "alley"))
    alley = [asset.replace("harbor", "alley") for asset in WHOLE]
    buying_again = {"ops": {"harbor__provider_runs": {"config": {"regenerate": "all"}}}}
    with project.load() as defs:
        assert materialize(defs, instance, *WHOLE, *alley).success
        CLOCK.advance(7200)
        report(defs, instance)
        tell_of_alley(world, images=99)
        assert materialize(defs, instance, *WHOLE, run_config=buying_again).success
        assert materialize(defs, instance, *WHOLE, partition_key="2026-11-03").success
        bounded = report(defs, instance)
        rows = table(world)
        whole = report(defs, instance, rebuild=True)

    assert [(row["night"], row["batch"], row["images"], row["cost_usd"]) for row in rows] == [
        (NIGHT, "alley", 99, Decimal("0.06")),
        (NIGHT, "harbor", 6, Decimal("0.12")),
        ("2026-11-03", "harbor", 3, Decimal("0.06")),
    ]
    assert (value(bounded, "images"), value(whole, "images")) == (108, 12)
    assert [row | {"images": 3} for row in table(world)] == [row | {"images": 3} for row in rows]


def tell_of_alley(world: World, **facts: int) -> None:
    """Change the report that is in the bucket: who reads the night again would see it."""
    path = world.bucket / "cost_report" / "cost_report.parquet"
    found = pq.read_table(path)
    rows = [row | facts if row["batch"] == "alley" else row for row in found.to_pylist()]
    pq.write_table(pa.Table.from_pylist(rows, schema=found.schema), path)


def test_a_table_that_cannot_be_read_is_made_anew(
    project: Project, instance: dg.DagsterInstance, world: World
) -> None:
    project.add("harbor")
    with project.load() as defs:
        assert materialize(defs, instance, *WHOLE).success
        report(defs, instance)
        (world.bucket / "cost_report" / "cost_report.parquet").write_bytes(b"no table")
        assert value(report(defs, instance), "images") == 3


class NextMonth(ManualLedgerResource):
    """The same ledger, forty days on."""

    def _open(self, url: str) -> RunLedger:
        return open_ledger(url, ManualClock(CLOCK.now() + timedelta(days=40)))


def test_a_new_month_begins_at_nothing(
    project: Project, instance: dg.DagsterInstance, world: World
) -> None:
    project.add("harbor")
    with project.load() as defs:
        assert materialize(defs, instance, *WHOLE).success
    with project.load(run_ledger=NextMonth()) as defs:
        facts = report(defs, instance)

    assert (value(facts, "month_to_date_usd"), value(facts, "cost_usd")) == (0, 0.06)


@pytest.mark.case(
    "two ledgers under one bucket and prefix: each cost_report overwrote the other's, green",
    "the report belongs to the ledger that wrote it; another ledger's goes beside it and says so",
    area="costs",
)
def test_each_ledger_keeps_its_own_report(
    project: Project, instance: dg.DagsterInstance, world: World, tmp_path: Path
) -> None:
    loaded: list[list[str]] = []

    @dg.asset
    def reader(cost_report: pd.DataFrame) -> None:
        loaded.append(list(cost_report["batch"]))

    def night(name: str, **resources: Any) -> dict[str, Any]:
        project.batches.clear()
        project.files.clear()
        project.add(name, BATCH.replace("harbor", name))
        with project.load(reader, **resources) as defs:
            assets = [asset.replace("harbor", name) for asset in WHOLE]
            assert materialize(defs, instance, *assets).success
            facts = report(defs, instance)
            assert materialize(defs, instance, "reader", partition_key=None).success
            return facts

    second = ManualLedgerResource(url=f"sqlite:///{tmp_path / 'second.db'}")
    first = night("harbor")
    beside = night("alley", run_ledger=second)
    again = night("harbor")

    ledger_id = second.get_ledger().ledger_id
    assert loaded == [["harbor"], ["alley"], ["harbor"]]
    assert [row["batch"] for row in table(world)] == ["harbor"]
    folder = world.bucket / "cost_report" / ledger_id
    [row] = pq.read_table(folder / "cost_report.parquet").to_pylist()
    assert (row["batch"], row["cost_usd"]) == ("alley", Decimal("0.06"))
    assert (folder / "cost_report.png").is_file()
    assert value(beside, "chart").endswith(f"/cost_report/{ledger_id}/cost_report.png")
    assert "Two ledgers report here" in value(beside, "preview")
    for facts in (first, again):
        assert "Two ledgers" not in value(facts, "preview")
        assert value(facts, "cost_usd") == 0.06
