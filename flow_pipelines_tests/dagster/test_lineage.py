"""The lineage explains itself: what each asset is, whose, and what is out of step."""

from __future__ import annotations

from pathlib import Path

import dagster as dg
import pyarrow as pa
import pyarrow.parquet as pq
from dagster._core.definitions.data_version import CachingStaleStatusResolver, StaleStatus
from dagster._core.loader import LoadingContextForTest

from flow_pipelines.assets.columns import DESCRIPTIONS, OF_PLANNING
from flow_pipelines.storage.tables import MANIFEST_SCHEMA, RUNS_SCHEMA
from flow_pipelines_tests.dagster.conftest import (
    BATCH,
    GRAPH,
    NIGHT,
    Project,
    World,
    materialize,
)

OWNED = BATCH + "  owners: [team:pictures, ana@example.com]\n"
CHAIN = ("prompts", "provider_runs", "images", "contact_sheet")
EVERYTHING = [f"harbor/{name}" for name in CHAIN]
PROMPTS_SCHEMA = pa.schema([RUNS_SCHEMA.field(name) for name in OF_PLANNING])
TABLES = {"prompts": PROMPTS_SCHEMA, "provider_runs": RUNS_SCHEMA, "images": MANIFEST_SCHEMA}
FILES = {"images": "manifest.parquet"}


def node(defs: dg.Definitions, name: str) -> dg.AssetSpec:
    return defs.resolve_asset_graph().get(dg.AssetKey(["harbor", name])).to_asset_spec()


def test_every_asset_says_what_it_is_and_whom_to_ask(project: Project) -> None:
    project.add("harbor", OWNED)
    with project.load() as defs:
        specs = {name: node(defs, name) for name in ("workflow", "prompt_table", *CHAIN)}

    for spec in specs.values():
        assert [*spec.owners] == ["team:pictures", "ana@example.com"]
        assert (spec.group_name, bool(spec.description), bool(spec.kinds)) == ("harbor", True, True)
    assert specs["workflow"].kinds == {"floyo", "json"}
    assert specs["provider_runs"].kinds == {"floyo", "parquet", "s3"}
    assert specs["images"].kinds == {"image", "parquet", "s3"}
    assert all(specs[name].code_version for name in TABLES)


def test_provider_and_workflow_link_to_the_providers_pages(project: Project) -> None:
    project.add("harbor")
    with project.load() as defs:
        for name in ("workflow", "provider_runs"):
            link = node(defs, name).metadata["floyo_documentation"]
            assert link == dg.MetadataValue.url("https://docs.floyo.ai")


def test_a_change_of_the_templates_is_a_new_version_of_the_code_that_plans(
    project: Project,
) -> None:
    project.add("harbor")
    project.add("alley", BATCH.replace("harbor", "alley").replace("{prompt}", "{prompt}, dusk"))
    with project.load() as defs:
        graph = defs.resolve_asset_graph()
        versions = {
            graph.get(dg.AssetKey([batch, "prompts"])).code_version for batch in ("harbor", "alley")
        }

    assert len(versions) == 2


def test_the_columns_shown_are_those_of_the_files_each_with_its_meaning(
    project: Project, instance: dg.DagsterInstance, world: World
) -> None:
    project.add("harbor")
    with project.load() as defs:
        result = materialize(defs, instance, *EVERYTHING)
        shown = {name: node(defs, name).metadata["dagster/column_schema"] for name in TABLES}

    assert result.success
    for name in TABLES:
        path = world.bucket / "harbor" / NIGHT / FILES.get(name, f"{name}.parquet")
        stored = pq.read_table(path)
        assert [(c.name, c.type) for c in shown[name].columns] == [
            (field.name, str(field.type)) for field in stored.schema
        ]
        assert all(column.description for column in shown[name].columns)
        [event] = result.asset_materializations_for_node(f"harbor__{name}")
        assert event.metadata["dagster/partition_row_count"].value == stored.num_rows
        assert str(event.metadata["dagster/uri"].value).endswith("/harbor")
    columns = {field.name for schema in TABLES.values() for field in schema}
    assert set(DESCRIPTIONS) == columns


class Steps:
    """Which assets of a night Dagster shows as out of step, and because of what."""

    def __init__(self, defs: dg.Definitions, instance: dg.DagsterInstance) -> None:
        self._graph, self._instance = defs.resolve_asset_graph(), instance

    def out_of_step(self) -> dict[str, set[str]]:
        resolver = CachingStaleStatusResolver(
            self._instance, self._graph, LoadingContextForTest(self._instance)
        )
        found = {}
        for name in CHAIN:
            key = dg.AssetKey(["harbor", name])
            if resolver.get_status(key, NIGHT) is not StaleStatus.FRESH:
                causes = resolver.get_stale_root_causes(key, NIGHT)
                found[name] = {f"{one.asset_key.path[-1]} {one.reason}" for one in causes}
        return found


def test_a_changed_workflow_is_new_upstream_data_of_the_nights_planned_before(
    project: Project, instance: dg.DagsterInstance, world: World
) -> None:
    project.add("harbor")
    with project.load() as defs:
        look = Steps(defs, instance).out_of_step
        assert materialize(defs, instance, "harbor/workflow", *EVERYTHING).success
        assert look() == {}
        assert materialize(defs, instance, "harbor/workflow", *EVERYTHING).success
        assert look() == {}

        graph = Path(_folder(defs)) / "graph.json"
        graph.write_text(GRAPH.replace('"steps": 4', '"steps": 5'), encoding="utf-8")
        assert materialize(defs, instance, "harbor/workflow", partition_key=None).success
        changed = look()
        assert materialize(defs, instance, "harbor/prompts").success
        planned = look()

    assert changed == {"prompts": {"workflow has a new data version"}}
    # What was bought came from the rows as they were: they are stale now, and the check says so.
    assert planned == {"provider_runs": {"prompts has a new data version"}}


def test_collecting_later_leaves_nothing_out_of_step(
    project: Project, instance: dg.DagsterInstance, world: World
) -> None:
    project.add("harbor")
    with project.load() as defs:
        assert materialize(defs, instance, "harbor/prompts", "harbor/provider_runs").success
        assert materialize(defs, instance, *EVERYTHING[1:]).success
        assert materialize(defs, instance, *EVERYTHING[2:]).success
        assert Steps(defs, instance).out_of_step() == {}


def _folder(defs: dg.Definitions) -> str:
    from flow_pipelines.cli.location import batches_of

    [batch] = batches_of(defs)
    return batch.settings.base_dir
