"""The same prompts on several sides: what a comparison becomes, shows and asks for."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import dagster as dg
import pandas as pd
import pytest
from dagster.components.core.component_tree import ComponentTreeException

from flow_pipelines.assets.shared_definitions import SENSOR, when_collected
from flow_pipelines.cli.location import batches_of
from flow_pipelines_tests.dagster.conftest import BATCH, GRAPH, NIGHT, Project, World, materialize

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


def test_the_page_finds_the_pictures_of_a_downloaded_folder(
    project: Project, instance: dg.DagsterInstance, world: World
) -> None:
    project.add("best", COMPARISON)
    with project.load() as defs:
        facts_of(materialize(defs, instance, *WHOLE, "best/comparison"))

    page = world.bucket / "best" / NIGHT / "comparison.html"
    linked = set(re.findall(r'"(\.\./[^"]+)"', page.read_text()))
    assert len(linked) == 6
    assert all((page.parent / href).is_file() for href in linked)


def test_what_a_side_has_not_got_is_said_and_hides_no_row(
    project: Project, instance: dg.DagsterInstance, world: World
) -> None:
    """One side is bought but for a row that fails; the other has nothing yet."""
    world.control.add_fault(
        "floyo", "create_run", "status", count=1, status=400, body={"error": "no boats today"}
    )
    project.add("best", COMPARISON)
    with project.load() as defs:
        floyo = [f"best_floyo/{part}" for part in PARTS]
        assert materialize(defs, instance, *floyo).success
        facts = facts_of(materialize(defs, instance, "best/comparison"))

    assert (facts["rows"], facts["images_floyo"], facts["failed_floyo"]) == (3, 2, 1)
    assert (facts["images_cards"], facts["cost_usd_cards"]) == (0, 0.0)
    assert (facts["cheapest"], facts["fastest"]) == ("not known", "not known")
    assert "cannot be compared" in facts["preview"]
    page = (world.bucket / "best" / NIGHT / "comparison.html").read_text()
    assert "no boats today" in page


def test_every_comparison_has_the_same_numbers_for_plots(
    project: Project, instance: dg.DagsterInstance, world: World
) -> None:
    project.add("best", COMPARISON)
    with project.load() as defs:
        before = facts_of(materialize(defs, instance, "best/comparison"))
        after = facts_of(materialize(defs, instance, *WHOLE, "best/comparison"))

    assert list(before) == list(after)
    assert [type(value) for value in before.values()] == [type(value) for value in after.values()]
    assert len(after["preview"]) < 1000
    assert "data:image/webp" in after["preview"]


def test_batches_and_comparisons_of_a_location_share_what_spans_them(project: Project) -> None:
    project.add("best", COMPARISON)
    project.add("other", COMPARISON.replace("best", "other").replace("name: cards", "name: post"))
    project.add("alley", BATCH.replace("harbor", "alley"))
    project.add("pier", BATCH.replace("harbor", "pier") + "  resource: floyo_second\n")
    with project.load(floyo_second=dg.ResourceDefinition.none_resource()) as defs:
        repository = defs.get_repository_def()
        batches = batches_of(defs)

    names = sorted(sensor.name for sensor in repository.sensor_defs)
    assert names == [SENSOR, "flora_runs_sensor", "floyo_runs_sensor"]
    floyo = repository.get_sensor_def("floyo_runs_sensor")
    assert {"floyo", "floyo_second"} <= floyo.required_resource_keys
    named = ["alley", *SIDES[::-1], "other_floyo", "other_post", "pier"]
    assert [batch.name for batch in batches] == named
    report = repository.asset_graph.get(dg.AssetKey("cost_report"))
    assert {key.path[0] for key in report.parent_keys} == set(named)
    targets = repository.get_sensor_def(SENSOR).asset_selection
    assert targets is not None
    assert targets.resolve(repository.asset_graph) == {
        dg.AssetKey([name, "comparison"]) for name in ("best", "other")
    }


CARDS = COMPARISON[COMPARISON.index("    - provider: flora") :]
WRONG = {
    "one side": (CARDS, "", r":7:3: a comparison has two to four sides, not 1"),
    "five sides": (CARDS, CARDS * 4, r":7:3: a comparison has two to four sides, not 5"),
    "two sides of one name": (
        "name: cards",
        "name: floyo",
        r":13:7: another side is called like this one; give one of them a name: best_floyo",
    ),
    "a side that is a batch": ("name: cards", "name: twin", r":13:7: .* prompt batch 'best_twin'"),
    "a name that is a batch": ("name: best", "name: alley", r":3:3: .* name of a prompt batch"),
    "a name that is no name": ("name: best", "name: be-st", r":3:3: 'be-st' is no name"),
    "a side's name that is no name": ("name: cards", "name: Ca", r":13:7: 'best_Ca' is no name"),
    "an unknown provider": ("provider: flora", "provider: flara", r":12:7: unknown .* 'flara'"),
    "a missing workflow": ("graph.json", "none.json", r":9:7: the workflow none\.json"),
    "an unknown node": ('"text::text"', '"txt::text"', r":10:20: .*no node"),
    "nights that send the same": ("{seed}", "7", r":10:7: no parameter uses \{seed\}"),
    "a negative price": ("price_usd_per_run: 0.02", "price_usd_per_run: -1", r":11:7: must be"),
    "a negative budget": ("budget_usd: 1.00", "budget_usd: -1", r":6:3: must be an amount"),
    "a field that is none": (
        "price_usd_per_run",
        "price_usd_per_rum",
        r"sides[^\n]*\.0\.price_usd_per_rum at \S*defs.yaml:7.*not permitted",
    ),
}


@pytest.mark.parametrize(("before", "after", "message"), WRONG.values(), ids=WRONG)
def test_what_is_wrong_is_told_with_its_place_before_anything_runs(
    project: Project, before: str, after: str, message: str
) -> None:
    assert before in COMPARISON
    project.add("best", COMPARISON.replace(before, after, 1))
    project.add("alley", BATCH.replace("harbor", "alley"))
    project.add("twin", BATCH.replace("harbor", "best_twin"))
    with pytest.raises(ComponentTreeException) as caught, project.load():
        pass
    assert re.search(message, chain_of(caught.value), re.DOTALL)


def test_what_the_sides_share_is_told_once(project: Project) -> None:
    project.add("best", COMPARISON.replace("prompts.csv", "none.csv"))
    with pytest.raises(ComponentTreeException) as caught, project.load():
        pass
    assert "has 1 problem(s)" in chain_of(caught.value)
    assert ":4:3: none.csv does not exist" in chain_of(caught.value)


def test_two_comparisons_of_one_name_are_refused(project: Project) -> None:
    project.add("best", COMPARISON)
    project.add("again", COMPARISON)
    with pytest.raises(ComponentTreeException) as caught, project.load():
        pass
    assert ":3:3: two comparisons are called 'best'" in chain_of(caught.value)


def chain_of(error: BaseException | None) -> str:
    found = []
    while error is not None:
        found.append(str(error))
        error = error.__cause__ or error.__context__
    return "\n".join(found)


# -- when it is asked for -----------------------------------------------------------------------


class Watch:
    """Dagster's automation, evaluated as its daemon does, over stand-ins of the images assets."""

    def __init__(self, instance: dg.DagsterInstance) -> None:
        self.instance = instance
        self.fails = False
        self.cursor: Any = None
        daily = dg.DailyPartitionsDefinition("2026-11-01")

        def asset(*key: str, **more: Any) -> dg.AssetsDefinition:
            @dg.asset(key=key, partitions_def=daily, **more)
            def made() -> None:
                if self.fails:
                    raise dg.Failure("no picture")

            return made

        keys = [dg.AssetKey(["a", "images"]), dg.AssetKey(["b", "images"])]
        self.assets = [
            asset("a", "images"),
            asset("b", "images"),
            asset("best", "comparison", deps=keys, automation_condition=when_collected()),
        ]

    def make(self, *keys: str, night: str = NIGHT) -> None:
        dg.materialize(
            self.assets,
            selection=[dg.AssetKey(key.split("/")) for key in keys],
            partition_key=night,
            instance=self.instance,
            raise_on_error=False,
        )

    def asks_for(self) -> set[str]:
        found = dg.evaluate_automation_conditions(
            dg.Definitions(self.assets), self.instance, cursor=self.cursor
        )
        self.cursor = found.cursor
        return set(found.get_requested_partitions(dg.AssetKey(["best", "comparison"])) or ())


@pytest.fixture
def watch(instance: dg.DagsterInstance) -> Watch:
    return Watch(instance)


def test_a_comparison_is_asked_for_once_when_every_side_is_collected(watch: Watch) -> None:
    assert watch.asks_for() == set()
    watch.make("a/images")
    assert watch.asks_for() == set()
    watch.make("b/images")
    assert watch.asks_for() == {NIGHT}
    assert watch.asks_for() == set()
    watch.make("best/comparison")
    assert watch.asks_for() == set()


def test_a_comparison_is_asked_for_again_when_a_side_has_changed(watch: Watch) -> None:
    watch.make("a/images", "b/images", "best/comparison")
    assert watch.asks_for() == set()
    watch.make("b/images")
    assert watch.asks_for() == {NIGHT}


def test_nights_from_before_are_asked_for_too(watch: Watch) -> None:
    nights = {"2026-11-02", "2026-11-03"}
    for night in nights:
        watch.make("a/images", "b/images", night=night)
    watch.make("a/images", night="2026-11-04")
    assert watch.asks_for() == nights


def test_a_comparison_that_failed_waits_for_a_change(watch: Watch) -> None:
    watch.make("a/images", "b/images")
    assert watch.asks_for() == {NIGHT}
    watch.fails = True
    watch.make("best/comparison")
    assert watch.asks_for() == set()
    watch.fails = False
    watch.make("a/images")
    assert watch.asks_for() == {NIGHT}


def test_the_documented_comparison_loads(project: Project) -> None:
    page = (Path(__file__).parents[2] / "docs" / "COMPARING.md").read_text(encoding="utf-8")
    [yaml] = re.findall(r"```yaml\n(.*?)```", page, re.DOTALL)
    graph = GRAPH
    for mine, theirs in (('"text": {', '"6": {'), ('"draw": {', '"3": {')):
        graph = graph.replace(mine, theirs)
    graph = graph.replace('["text", 0]', '["6", 0]').replace('["draw", 0]', '["3", 0]')
    project.add("best", yaml, sd15__json=graph, sdxl__json=graph)
    with project.load(floyo_studio=dg.ResourceDefinition.none_resource()) as defs:
        names = [batch.name for batch in batches_of(defs)]

    assert names == [f"which_is_best_{side}" for side in ("flora", "floyo", "studio")]
