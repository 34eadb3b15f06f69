from __future__ import annotations

from typing import Any

import dagster as dg

from flow_pipelines_tests.dagster.conftest import NIGHT, Project, World, materialize

GENERATION = ("harbor/prompts", "harbor/provider_runs")
EVERYTHING = (*GENERATION, "harbor/images", "harbor/contact_sheet", "cost_report")


def metadata_of(result: dg.ExecuteInProcessResult, asset: str) -> dict[str, Any]:
    [event] = result.asset_materializations_for_node(asset.replace("/", "__"))
    return {name: value.value for name, value in event.metadata.items()}


def test_a_night_selected_whole_is_bought_collected_and_drawn_in_one_run(
    project: Project, instance: dg.DagsterInstance, world: World
) -> None:
    project.add("harbor")
    with project.load() as defs:
        result = materialize(defs, instance, *GENERATION, "harbor/images", "harbor/contact_sheet")

    assert result.success
    facts = metadata_of(result, "harbor/images")
    assert (facts["rows"], facts["succeeded"], facts["in_flight"], facts["images"]) == (3, 3, 0, 3)
    assert facts["cost_usd"] == 0.06
    assert world.bought() == 3
    assert len(world.images()) == 3
