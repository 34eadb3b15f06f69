from __future__ import annotations

from decimal import Decimal
from typing import Any

import dagster as dg
import pandas as pd
import pytest

from flow_pipelines.ledger import RunLedger
from flow_pipelines.model import Night, SubmissionState
from flow_pipelines_tests.dagster.conftest import BATCH, NIGHT, Project, World, materialize

GENERATION = ("harbor/prompts", "harbor/provider_runs")
WHOLE = (*GENERATION, "harbor/images", "harbor/contact_sheet")
HARBOR = Night("harbor", NIGHT)


def metadata_of(result: dg.ExecuteInProcessResult, asset: str) -> dict[str, Any]:
    [event] = result.asset_materializations_for_node(asset.replace("/", "__"))
    return {name: value.value for name, value in event.metadata.items()}


def config(**values: Any) -> dict[str, Any]:
    return {"ops": {"harbor__provider_runs": {"config": values}}}


def failure_of(result: dg.ExecuteInProcessResult) -> str:
    [event] = [event for event in result.all_events if event.is_step_failure]
    error = event.step_failure_data.error
    assert error is not None
    return error.to_string() + str(event.step_failure_data.user_failure_data)


def test_a_night_selected_whole_is_bought_collected_and_drawn_in_one_run(
    project: Project, instance: dg.DagsterInstance, world: World
) -> None:
    project.add("harbor")
    with project.load() as defs:
        result = materialize(defs, instance, *WHOLE)

    assert result.success
    facts = metadata_of(result, "harbor/images")
    assert (facts["rows"], facts["succeeded"], facts["in_flight"], facts["images"]) == (3, 3, 0, 3)
    assert facts["cost_usd"] == 0.06
    assert facts["manifest"].endswith(f"/harbor/{NIGHT}/manifest.parquet")
    assert "data:image/webp" in facts["preview"]
    assert world.bought() == 3
    assert len(world.images()) == 3
    assert (world.bucket / "harbor" / NIGHT / "contact_sheet.jpg").is_file()
    gallery = (world.bucket / "harbor" / NIGHT / "gallery.html").read_bytes()
    assert gallery.count(b'<img src="data:image/webp') == 3
    assert "data:image/webp" in metadata_of(result, "harbor/contact_sheet")["pictures"]


def test_every_check_is_evaluated_for_the_partition(
    project: Project, instance: dg.DagsterInstance, world: World
) -> None:
    project.add("harbor")
    with project.load() as defs:
        result = materialize(defs, instance, *WHOLE)

    evaluations = result.get_asset_check_evaluations()
    assert {one.check_name: one.passed for one in evaluations} == dict.fromkeys(
        (
            "complete",
            "no_failed_runs",
            "no_unresolved_runs",
            "images_decodable",
            "no_duplicate_images",
            "within_budget",
            "prompts_current",
        ),
        True,
    )
    assert {one.partition for one in evaluations} == {NIGHT}


def test_materializing_again_buys_nothing_and_stores_nothing_new(
    project: Project, instance: dg.DagsterInstance, world: World
) -> None:
    project.add("harbor")
    with project.load() as defs:
        first = materialize(defs, instance, *WHOLE)
        images = world.images()
        again = materialize(defs, instance, *WHOLE)

    assert first.success
    assert again.success
    assert world.bought() == 3
    assert world.images() == images
    assert metadata_of(again, "harbor/provider_runs")["submitted"] == 0


def test_a_materialization_has_as_many_events_for_many_images_as_for_few(
    project: Project, instance: dg.DagsterInstance, world: World
) -> None:
    project.add("harbor", BATCH + "  runs_per_prompt: 6\n")
    with project.load() as defs:
        result = materialize(defs, instance, *WHOLE)

    assert metadata_of(result, "harbor/images")["images"] == 18
    assert len(result.asset_materializations_for_node("harbor__images")) == 1


def test_images_alone_store_what_has_ended_and_do_not_wait(
    project: Project, instance: dg.DagsterInstance, world: World
) -> None:
    project.add("harbor")
    world.control.configure(time_scale=0.001)
    try:
        with project.load() as defs:
            assert materialize(defs, instance, *GENERATION).success
            result = materialize(defs, instance, "harbor/images")
    finally:
        world.control.configure(time_scale=100.0)

    facts = metadata_of(result, "harbor/images")
    assert (facts["rows"], facts["in_flight"], facts["images"]) == (3, 3, 0)
    complete = {one.check_name: one for one in result.get_asset_check_evaluations()}["complete"]
    assert not complete.passed
    assert complete.severity is dg.AssetCheckSeverity.WARN


def test_a_downstream_asset_gets_the_manifest_as_a_frame(
    project: Project, instance: dg.DagsterInstance, world: World
) -> None:
    seen: list[Any] = []
    daily = dg.DailyPartitionsDefinition("2026-11-01")

    @dg.asset(ins={"images": dg.AssetIn(["harbor", "images"])}, partitions_def=daily)
    def poster(images: pd.DataFrame) -> None:
        seen.append(images)

    @dg.asset(ins={"runs": dg.AssetIn(["harbor", "provider_runs"])}, partitions_def=daily)
    def bill(runs: pd.DataFrame) -> None:
        seen.append(runs)

    project.add("harbor")
    with project.load(poster, bill) as defs:
        assert materialize(defs, instance, *WHOLE).success
        assert materialize(defs, instance, "poster").success
        assert materialize(defs, instance, "bill").success

    manifest, runs = seen
    assert list(manifest["prompt_id"]) == ["a", "b", "c"]
    assert sum(manifest["cost_usd"]) == Decimal("0.06")
    assert all(uri.startswith("s3://") for uri in manifest["s3_uri"])
    assert str(runs["seed"].dtype) == "UInt64"
    assert len(runs) == 3


def test_several_partitions_load_as_a_frame_each(
    project: Project, instance: dg.DagsterInstance, world: World
) -> None:
    seen: list[dict[str, pd.DataFrame]] = []
    nights = dg.TimeWindowPartitionMapping(start_offset=-1)

    @dg.asset(
        ins={"images": dg.AssetIn(["harbor", "images"], partition_mapping=nights)},
        partitions_def=dg.DailyPartitionsDefinition("2026-11-01"),
    )
    def album(images: dict[str, pd.DataFrame]) -> None:
        seen.append(images)

    project.add("harbor")
    with project.load(album) as defs:
        for night in ("2026-11-02", "2026-11-03"):
            assert materialize(defs, instance, *WHOLE, partition_key=night).success
        assert materialize(defs, instance, "album", partition_key="2026-11-03").success

    assert {night: len(frame) for night, frame in seen[0].items()} == {
        "2026-11-02": 3,
        "2026-11-03": 3,
    }


def test_prompts_may_come_from_an_asset(
    project: Project, instance: dg.DagsterInstance, world: World
) -> None:
    @dg.asset(
        key=["marketing", "captions"], partitions_def=dg.DailyPartitionsDefinition("2026-11-01")
    )
    def captions() -> pd.DataFrame:
        return pd.DataFrame({"prompt_id": ["x", "y"], "prompt": ["gulls", "nets"]})

    project.add("harbor", BATCH.replace("prompts.csv", "{asset: marketing/captions}"))
    with project.load(captions) as defs:
        assert materialize(defs, instance, "marketing/captions").success
        assert materialize(defs, instance, *WHOLE).success

    assert world.bought() == 2


def test_a_batch_without_partitions_is_one_night_called_all(
    project: Project, instance: dg.DagsterInstance, world: World
) -> None:
    lines = [line for line in BATCH.splitlines() if "partitions_def" not in line]
    project.add("harbor", "\n".join(lines))
    with project.load() as defs:
        result = materialize(defs, instance, *WHOLE, partition_key=None)

    assert result.success
    assert (world.bucket / "harbor" / "all" / "manifest.parquet").is_file()
    assert {one.partition for one in result.get_asset_check_evaluations()} == {None}


def test_a_limit_leaves_the_other_rows_planned(
    project: Project, instance: dg.DagsterInstance, world: World
) -> None:
    project.add("harbor")
    with project.load() as defs:
        result = materialize(defs, instance, *GENERATION, run_config=config(limit=1))

    assert result.success
    facts = metadata_of(result, "harbor/provider_runs")
    assert (facts["submitted"], facts["left_planned"]) == (1, 2)
    assert world.bought() == 1


def test_a_regeneration_buys_the_rows_it_names_once_more(
    project: Project, instance: dg.DagsterInstance, world: World
) -> None:
    project.add("harbor")
    with project.load() as defs:
        assert materialize(defs, instance, *WHOLE).success
        named = config(regenerate={"prompt_ids": ["b"]})
        result = materialize(defs, instance, *WHOLE, run_config=named)

    assert result.success
    assert metadata_of(result, "harbor/provider_runs")["regenerated_rows"] == 1
    assert world.bought() == 4
    assert len(world.images()) == 4


def test_two_runs_of_one_backfill_regenerate_once(
    project: Project, instance: dg.DagsterInstance, world: World
) -> None:
    project.add("harbor")
    asked = {"run_config": config(regenerate="all"), "tags": {"dagster/backfill": "bf-1"}}
    with project.load() as defs:
        assert materialize(defs, instance, *WHOLE).success
        assert materialize(defs, instance, *GENERATION, **asked).success
        assert materialize(defs, instance, *GENERATION, **asked).success

    assert world.bought() == 6


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"regenerate": "everything"}, "regenerate must be one of none, failed, changed, all"),
        ({"regenerate": {"prompt_ids": []}}, "with at least one id"),
        ({"regenerate": {"rows": ["a"]}}, "regenerate must be one of"),
        ({"limit": 0}, "greater than or equal to 1"),
    ],
)
def test_a_run_config_that_is_wrong_buys_nothing(
    values: dict[str, Any],
    message: str,
    project: Project,
    instance: dg.DagsterInstance,
    world: World,
) -> None:
    project.add("harbor")
    with project.load() as defs:
        result = materialize(defs, instance, *GENERATION, run_config=config(**values))

    assert not result.success
    assert message in failure_of(result)
    assert world.bought() == 0


def test_planning_needs_no_key_and_buying_names_the_one_that_is_missing(
    project: Project,
    instance: dg.DagsterInstance,
    world: World,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("FLOYO_API_KEY")
    project.add("harbor")
    with project.load() as defs:
        result = materialize(defs, instance, *GENERATION)

    assert not result.success
    assert metadata_of(result, "harbor/prompts")["planned"] == 3
    assert "FLOYO_API_KEY is not set" in failure_of(result)


def test_an_account_that_is_refused_fails_the_run_once_and_leaves_the_rest_planned(
    project: Project, instance: dg.DagsterInstance, world: World, ledger: RunLedger
) -> None:
    project.add("harbor")
    world.control.add_fault("floyo", "create_run", "status", status=402)
    with project.load() as defs:
        result = materialize(defs, instance, *GENERATION)

    assert not result.success
    assert result.asset_materializations_for_node("harbor__provider_runs") == []
    told = failure_of(result)
    assert f"harbor/{NIGHT} stopped early" in told
    assert "A person has to act" in told
    assert world.bought() == 0
    states = {submission.state for submission in ledger.submissions(HARBOR)}
    assert states == {SubmissionState.PLANNED}


def test_a_budget_that_is_too_small_is_said_and_not_exceeded(
    project: Project, instance: dg.DagsterInstance, world: World
) -> None:
    project.add("harbor", BATCH + "  budget_usd: 0.05\n")
    with project.load() as defs:
        result = materialize(defs, instance, *GENERATION)
        images = materialize(defs, instance, "harbor/images")

    assert result.success
    facts = metadata_of(result, "harbor/provider_runs")
    assert (facts["submitted"], facts["skipped"]) == (2, 1)
    assert "budget" in facts["stopped"]
    assert world.bought() == 2
    checks = {one.check_name: one.passed for one in images.get_asset_check_evaluations()}
    assert not checks["within_budget"]


def test_the_daily_budget_of_the_account_counts_over_all_batches(
    project: Project,
    instance: dg.DagsterInstance,
    world: World,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("FLOW_PIPELINES_DAILY_BUDGET_USD", "0.08")
    project.add("harbor")
    project.add("alley", BATCH.replace("harbor", "alley"))
    with project.load() as defs:
        assert materialize(defs, instance, *GENERATION).success
        second = materialize(defs, instance, "alley/prompts", "alley/provider_runs")

    facts = metadata_of(second, "alley/provider_runs")
    assert (facts["submitted"], facts["skipped"]) == (1, 2)
    assert world.bought() == 4


def test_a_prompt_that_is_wrong_is_told_with_its_line_before_anything_is_bought(
    project: Project, instance: dg.DagsterInstance, world: World
) -> None:
    project.add("harbor", prompts__csv="prompt_id,prompt,seed\na,boats,1\nb,cranes,often\n")
    with project.load() as defs:
        result = materialize(defs, instance, *GENERATION)

    assert not result.success
    assert "prompts.csv:3" in failure_of(result)
    assert world.bought() == 0


def test_the_cost_report_sums_up_what_was_bought(
    project: Project, instance: dg.DagsterInstance, world: World
) -> None:
    project.add("harbor")
    with project.load() as defs:
        assert materialize(defs, instance, *WHOLE).success
        result = materialize(defs, instance, "cost_report", partition_key=None)

    facts = metadata_of(result, "cost_report")
    assert (facts["cost_usd"], facts["images"], facts["provider_runs"]) == (0.06, 3, 3)
    frame = pd.read_parquet(world.bucket / "cost_report" / "cost_report.parquet")
    assert list(frame["cost_usd"]) == [Decimal("0.060000")]


def test_the_generation_job_observes_the_workflow_and_buys(
    project: Project, instance: dg.DagsterInstance, world: World
) -> None:
    project.add("harbor")
    with project.load() as defs:
        job = defs.resolve_job_def("harbor_generation")
        result = job.execute_in_process(instance=instance, partition_key=NIGHT)

    assert result.success
    [seen] = result.asset_observations_for_node("harbor__workflow")
    assert seen.tags["dagster/data_version"]
    assert world.bought() == 3
