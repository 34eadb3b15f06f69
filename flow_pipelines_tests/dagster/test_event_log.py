"""What a night writes into Dagster's event log does not grow with its pictures."""

from __future__ import annotations

from collections import Counter

import dagster as dg

from flow_pipelines.definitions import defs as own_definitions
from flow_pipelines_tests.dagster.conftest import Project, World, materialize

WHOLE = ("prompts", "provider_runs", "images", "contact_sheet")
FEW, MANY = 2, 48
LINE = "a line of text"
TENTHS = 12


def night_of(
    project: Project, instance: dg.DagsterInstance, rows: int, partition_key: str
) -> tuple[object, Counter[str]]:
    """Run a night whole; give its number of images, and its entries in the log by kind."""
    table = "prompt_id,prompt\n" + "".join(f"p{row},boat {row}\n" for row in range(rows))
    project.add("harbor", prompts__csv=table)
    with project.load() as defs:
        assets = [f"harbor/{asset}" for asset in WHOLE]
        result = materialize(defs, instance, *assets, partition_key=partition_key)
    assert result.success
    [event] = result.asset_materializations_for_node("harbor__images")
    kinds = [entry.dagster_event_type for entry in instance.all_logs(result.run_id)]
    return event.metadata["images"].value, Counter(kind.value if kind else LINE for kind in kinds)


def test_a_night_of_many_images_has_the_entries_of_one_of_few(
    project: Project, instance: dg.DagsterInstance, world: World
) -> None:
    few_images, few = night_of(project, instance, FEW, "2026-11-02")
    many_images, many = night_of(project, instance, MANY, "2026-11-03")

    assert (few_images, many_images) == (FEW, MANY)
    # A step that waits says so at each tenth of the night, and at its beginning and end.
    assert 0 < few.pop(LINE) <= TENTHS
    assert 0 < many.pop(LINE) <= TENTHS
    assert many == few
    assert many["ASSET_MATERIALIZATION"] == len(WHOLE)


def test_jobs_of_the_own_location_stay_in_their_process() -> None:
    jobs = own_definitions().get_repository_def().get_all_jobs()

    assert len(jobs) > 1
    assert {job.executor_def.name for job in jobs} == {"in_process"}
