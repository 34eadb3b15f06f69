"""The same prompts on several sides: what a comparison becomes, shows and asks for."""

from __future__ import annotations

import re
from typing import Any

import dagster as dg
import pandas as pd
import pytest
from dagster.components.core.component_tree import ComponentTreeException

from flow_pipelines.assets.comparison import SENSOR
from flow_pipelines.cli.location import batches_of
from flow_pipelines.model.errors import InvalidBatch
from flow_pipelines_tests.dagster.conftest import BATCH, NIGHT, Project, World, materialize

COMPARISON = """\
type: flow_pipelines.PromptComparisonComponent
attributes:
  name: best
  prompts: prompts.csv
  partitions_def: {type: daily, start_date: "2026-11-01", timezone: UTC}
  budget_usd: 1.00
  sides:
    - provider: floyo
      workflow: graph.json
      parameters: {"text::text": "{prompt}", "draw::seed": "{seed}"}
      price_usd_per_run: 0.02
    - provider: flora
      name: cards
      workflow: postcard-pair
      parameters: {prompt: "{prompt}"}
"""
SIDES = ("best_floyo", "best_cards")
PARTS = ("prompts", "provider_runs", "images")
WHOLE = [f"{side}/{part}" for part in PARTS for side in SIDES]


def facts_of(result: dg.ExecuteInProcessResult, asset: str = "best/comparison") -> dict[str, Any]:
    assert result.success
    [event] = result.asset_materializations_for_node(asset.replace("/", "__"))
    return {name: value.value for name, value in event.metadata.items()}


def test_every_side_is_a_batch_with_all_that_belongs_to_one(project: Project) -> None:
    project.add("best", COMPARISON + '  schedule: "0 2 * * *"\n')
    with project.load() as defs:
        repository = defs.get_repository_def()
        batches = batches_of(defs)

    keys = {key.to_user_string() for key in repository.asset_graph.get_all_asset_keys()}
    parts = ("workflow", "prompt_table", *PARTS, "contact_sheet")
    assert keys == {
        "cost_report",
        "best/comparison",
        *(f"{side}/{part}" for side in SIDES for part in parts),
    }
    assert {schedule.name for schedule in repository.schedule_defs} == {
        f"{side}_schedule" for side in SIDES
    }
    sensors = {sensor.name: sensor.default_status.value for sensor in repository.sensor_defs}
    assert sensors == dict.fromkeys((SENSOR, "flora_runs_sensor", "floyo_runs_sensor"), "RUNNING")
    assert [batch.name for batch in batches] == sorted(SIDES)
    assert [str(batch.settings.budget_usd) for batch in batches] == ["1.0", "1.0"]
    for key in ("best/comparison", "cost_report"):
        node = repository.asset_graph.get(dg.AssetKey(key.split("/")))
        images = {f"{side}/images" for side in SIDES}
        assert {key.to_user_string() for key in node.parent_keys} == images


def test_a_comparison_shows_the_sides_beside_each_other(
    project: Project, instance: dg.DagsterInstance, world: World
) -> None:
    project.add("best", COMPARISON)
    with project.load() as defs:
        result = materialize(defs, instance, *WHOLE, "best/comparison")

    facts = facts_of(result)
    assert (facts["rows"], facts["waiting"], facts["images_floyo"]) == (3, 0, 3)
    assert facts["cost_usd_floyo"] == 0.06
    assert facts["median_cost_usd_floyo"] == 0.02
    assert facts["images_cards"] == 6
    page = (world.bucket / "best" / NIGHT / "comparison.html").read_text()
    assert "best, 2026-11-02" in page
    frame = pd.read_parquet(world.bucket / "best" / NIGHT / "comparison.parquet")
    assert list(zip(frame["prompt_id"], frame["side"], strict=True)) == [
        (prompt_id, side) for prompt_id in "abc" for side in ("floyo", "cards")
    ]
    assert set(frame["status"]) == {"succeeded"}
