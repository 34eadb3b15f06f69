from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
import yaml
from dagster.components.core.component_tree import ComponentTree, ComponentTreeException
from dagster.components.testing.utils import create_defs_folder_sandbox

import flow_pipelines.defs
from flow_pipelines import PromptBatchComponent, default_resources
from flow_pipelines.assets import columns
from flow_pipelines.definitions import defs as own_definitions
from flow_pipelines.providers import provider_names
from flow_pipelines.reports.comparison import COMPARISON_SCHEMA
from flow_pipelines.reports.cost_report import COST_SCHEMA
from flow_pipelines.storage.tables import MANIFEST_SCHEMA, RUNS_SCHEMA
from flow_pipelines_tests.dagster.conftest import BATCH, Project, causes


def test_the_own_location_loads_with_nothing_set() -> None:
    repository = own_definitions().get_repository_def()

    assert "night_market_generation" in {job.name for job in repository.get_all_jobs()}
    sensors = {sensor.name for sensor in repository.sensor_defs}
    files = Path(flow_pipelines.defs.__file__).parent.glob("*/defs.yaml")
    samples = {yaml.safe_load(file.read_text())["attributes"]["provider"] for file in files}
    assert sensors == {f"{provider}_runs_sensor" for provider in samples}
    assert samples <= set(provider_names())


def test_a_batch_becomes_its_assets_job_schedule_and_sensor(project: Project) -> None:
    project.add("harbor", BATCH + '  schedule: "0 2 * * *"\n')
    with project.load() as defs:
        repository = defs.get_repository_def()

    keys = {key.to_user_string() for key in repository.asset_graph.get_all_asset_keys()}
    parts = ("workflow", "prompt_table", "prompts", "provider_runs", "images", "contact_sheet")
    assert keys == {"cost_report", *(f"harbor/{part}" for part in parts)}
    job = repository.get_job("harbor_generation")
    assert {key.path[-1] for key in job.asset_layer.selected_asset_keys} == {
        "workflow",
        "prompts",
        "provider_runs",
    }
    [schedule] = repository.schedule_defs
    assert (schedule.name, schedule.default_status.value) == ("harbor_schedule", "RUNNING")
    [sensor] = repository.sensor_defs
    assert (sensor.name, sensor.default_status.value) == ("floyo_runs_sensor", "RUNNING")
    assert repository.asset_graph.get(dg.AssetKey(["harbor", "provider_runs"])).pools == {"floyo"}


def test_edges_lead_from_the_table_to_the_report(project: Project) -> None:
    project.add("harbor")
    with project.load() as defs:
        graph = defs.resolve_asset_graph()

    def parents(asset: str) -> set[str]:
        node = graph.get(dg.AssetKey(asset.split("/")))
        return {key.to_user_string() for key in node.parent_keys}

    assert parents("harbor/prompts") == {"harbor/workflow", "harbor/prompt_table"}
    assert parents("harbor/provider_runs") == {"harbor/prompts"}
    assert parents("harbor/images") == {"harbor/provider_runs"}
    assert parents("harbor/contact_sheet") == {"harbor/images"}
    assert parents("cost_report") == {"harbor/images"}


def test_images_have_the_seven_partitioned_checks(project: Project) -> None:
    project.add("harbor")
    with project.load() as defs:
        graph = defs.resolve_asset_graph()
        images = graph.get(dg.AssetKey(["harbor", "images"]))

    assert {key.name for key in images.check_keys} == {
        "complete",
        "no_failed_runs",
        "no_unresolved_runs",
        "images_decodable",
        "no_duplicate_images",
        "within_budget",
        "prompts_current",
    }
    specs = [graph.get_check_spec(key) for key in images.check_keys]
    assert all(spec.partitions_def == images.partitions_def for spec in specs)
    assert not any(spec.blocking for spec in specs)


def test_two_batches_share_the_sensor_and_the_report(project: Project) -> None:
    project.add("harbor")
    project.add("alley", BATCH.replace("harbor", "alley") + "  resource: floyo_second\n")
    with project.load(floyo_second=dg.ResourceDefinition.none_resource()) as defs:
        repository = defs.get_repository_def()

    [sensor] = repository.sensor_defs
    assert {"floyo", "floyo_second"} <= sensor.required_resource_keys
    report = repository.asset_graph.get(dg.AssetKey("cost_report"))
    assert {key.path[0] for key in report.parent_keys} == {"harbor", "alley"}


def test_a_table_from_an_asset_is_an_edge_and_no_file(project: Project) -> None:
    project.add("harbor", BATCH.replace("prompts.csv", "{asset: marketing/captions}"))

    @dg.asset(key=["marketing", "captions"])
    def captions() -> None: ...

    with project.load(captions) as defs:
        graph = defs.resolve_asset_graph()

    parents = graph.get(dg.AssetKey(["harbor", "prompts"])).parent_keys
    assert parents == {dg.AssetKey(["harbor", "workflow"]), dg.AssetKey(["marketing", "captions"])}


def test_prompts_and_parameters_arrive_as_they_are_written() -> None:
    component = PromptBatchComponent.resolve_from_yaml(
        """\
        name: harbor
        provider: floyo
        workflow: graph.json
        prompts: "{partition_key}.csv"
        parameters:
          "a::braces": "{prompt} {{literal}} {% raw {# no comment"
          "a::number_as_text": "768"
          "a::json": '{"a": [1, null]}'
          "a::integer": 18446744073709551615
          "a::newline": "two\\n"
        budget_usd: 0.1
        """
    )
    assert component.prompts == "{partition_key}.csv"
    assert component.parameters == {
        "a::braces": "{prompt} {{literal}} {% raw {# no comment",
        "a::number_as_text": "768",
        "a::json": '{"a": [1, null]}',
        "a::integer": 18446744073709551615,
        "a::newline": "two\n",
    }
    assert str(component.budget_usd) == "0.1"


def test_a_scaffolded_batch_loads_as_it_is() -> None:
    with create_defs_folder_sandbox() as sandbox:
        path = sandbox.scaffold_component(
            component_cls=PromptBatchComponent, defs_path="evening-walk"
        )
        with sandbox.load_component_and_build_defs(defs_path=path) as (component, defs):
            whole = dg.Definitions.merge(defs, dg.Definitions(resources=default_resources()))
            graph = whole.resolve_asset_graph()

    assert isinstance(component, PromptBatchComponent)
    assert dg.AssetKey(["evening_walk", "images"]) in graph.get_all_asset_keys()


def test_a_batch_is_scaffolded_for_a_saved_workflow() -> None:
    with create_defs_folder_sandbox() as sandbox:
        path = sandbox.scaffold_component(
            component_cls=PromptBatchComponent,
            defs_path="cards",
            scaffold_params={"provider": "flora", "workflow": "postcard-pair"},
        )
        with sandbox.load_component_and_build_defs(defs_path=path) as (component, _):
            assert isinstance(component, PromptBatchComponent)
            assert component.provider == "flora"
            assert component.workflow == "postcard-pair"
        assert not (path / "workflow.json").exists()


def test_a_saved_workflow_has_to_be_named() -> None:
    with (
        create_defs_folder_sandbox() as sandbox,
        pytest.raises(Exception, match="flow-pipelines workflows flora"),
    ):
        sandbox.scaffold_component(
            component_cls=PromptBatchComponent,
            defs_path="cards",
            scaffold_params={"provider": "flora"},
        )


@pytest.mark.case(
    "`budget_usd: '{{ env.NOPE }}'` with the variable unset meant \"no cap\"",
    "a budget or price that is written and resolves to nothing is an error at load",
    area="costs",
)
@pytest.mark.parametrize("field", ["budget_usd", "price_usd_per_run"])
@pytest.mark.parametrize(
    "written", ["'{{ env.NOPE }}'", "'{{ env.EMPTY }}'", "", "null", "''", "x"]
)
def test_an_amount_that_is_written_and_is_nothing_does_not_load(
    project: Project, monkeypatch: pytest.MonkeyPatch, field: str, written: str
) -> None:
    monkeypatch.delenv("NOPE", raising=False)
    monkeypatch.setenv("EMPTY", "")
    lines = [line for line in BATCH.splitlines() if f"{field}:" not in line]
    project.add("harbor", "\n".join([*lines, f"  {field}: {written}", ""]))
    with pytest.raises(ComponentTreeException) as caught, project.load():
        pass
    said = "".join(str(one) for one in causes(caught.value))
    assert f"attributes.{field}" in said
    assert ("resolves to nothing" in said) == (written != "x")


def test_an_amount_may_come_from_the_environment_and_is_exact_or_be_left_out(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CAP", "0.1")
    lines = [line for line in BATCH.splitlines() if "_usd" not in line]
    project.add("harbor", "\n".join([*lines, "  budget_usd: '{{ env.CAP }}'", ""]))
    with create_defs_folder_sandbox() as sandbox:
        folder = sandbox.defs_folder_path / "harbor"
        folder.mkdir(parents=True)
        for name, text in {**project.files, "harbor/defs.yaml": project.batches["harbor"]}.items():
            (sandbox.defs_folder_path / name).write_text(text, encoding="utf-8")
        with sandbox.load_component_and_build_defs(defs_path=folder) as (component, _):
            assert isinstance(component, PromptBatchComponent)
            (batch,) = component.built
    assert batch.settings.budget_usd == Decimal("0.1")
    assert batch.settings.price_usd_per_run is None


def names(tree: ComponentTree) -> tuple[list[str], set[str]]:
    """Return what the cost report comes after, and what the sensor of Floyo works with."""
    own = dg.Definitions(
        resources={**default_resources(), "second": dg.ResourceDefinition.none_resource()}
    )
    repository = dg.Definitions.merge(tree.build_defs(), own).get_repository_def()
    report = repository.asset_graph.get(dg.AssetKey("cost_report"))
    sensor = repository.get_sensor_def("floyo_runs_sensor")
    return sorted(key.path[0] for key in report.parent_keys), set(sensor.required_resource_keys)


@pytest.mark.case(
    "each of 1,000 batches asked Dagster for all components: most of the time of loading them",
    "all batches are read once for a location, whatever their number",
)
@pytest.mark.parametrize("batches", [2, 9])
def test_what_spans_batches_is_read_once_and_not_by_each(
    project: Project, monkeypatch: pytest.MonkeyPatch, batches: int
) -> None:
    asked: Counter[str] = Counter()
    every, own = ComponentTree.get_all_components, PromptBatchComponent.purchases

    def all_components(tree: ComponentTree, of_type: type[Any]) -> list[Any]:
        asked["all components"] += 1
        return every(tree, of_type)

    def purchases(component: PromptBatchComponent) -> Sequence[Any]:
        asked["a batch"] += 1
        return own(component)

    monkeypatch.setattr(ComponentTree, "get_all_components", all_components)
    monkeypatch.setattr(PromptBatchComponent, "purchases", purchases)
    for number in range(batches):
        project.add(f"b{number}", BATCH.replace("harbor", f"b{number}"))
    with project.load() as defs:
        [sensor] = defs.get_repository_def().sensor_defs

    assert sensor.name == "floyo_runs_sensor"
    assert asked == {"all components": 1, "a batch": 2 * batches}


def test_what_spans_batches_is_read_anew_when_a_file_has_changed(project: Project) -> None:
    project.add("alley", BATCH.replace("harbor", "alley"))
    project.add("harbor")
    with create_defs_folder_sandbox() as sandbox:
        files = {f"{name}/defs.yaml": text for name, text in project.batches.items()}
        for name, text in {**project.files, **files}.items():
            (sandbox.defs_folder_path / name).parent.mkdir(parents=True, exist_ok=True)
            (sandbox.defs_folder_path / name).write_text(text, encoding="utf-8")
        with sandbox.build_component_tree() as tree:
            before, accounts = names(tree)
        file = sandbox.defs_folder_path / "harbor" / "defs.yaml"
        file.write_text(BATCH.replace("name: harbor", "name: pier\n  resource: second"))
        with sandbox.build_component_tree() as tree:
            after, more = names(tree)

    assert (before, after) == (["alley", "harbor"], ["alley", "pier"])
    assert more - accounts == {"second"}


def test_a_table_s_columns_are_those_that_are_stored() -> None:
    stored = {
        "prompts": (columns.PROMPTS_COLUMNS, [RUNS_SCHEMA.field(n) for n in columns.OF_PLANNING]),
        "provider_runs": (columns.RUNS_COLUMNS, RUNS_SCHEMA),
        "images": (columns.MANIFEST_COLUMNS, MANIFEST_SCHEMA),
        "comparison": (columns.COMPARISON_COLUMNS, COMPARISON_SCHEMA),
        "cost_report": (columns.COST_COLUMNS, COST_SCHEMA),
    }
    for told, schema in stored.values():
        shown = told["dagster/column_schema"].columns
        assert [(one.name, one.type) for one in shown] == [(f.name, str(f.type)) for f in schema]
