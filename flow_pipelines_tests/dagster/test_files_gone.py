"""A night whose files somebody took out of the bucket."""

from __future__ import annotations

import dagster as dg
import pytest

from flow_pipelines_tests.dagster.conftest import Project, World, materialize

WHOLE = ("harbor/prompts", "harbor/provider_runs", "harbor/images")


@pytest.mark.case(
    "a picture was deleted from the bucket, and its night is materialized again",
    "the check `complete` fails and names `flow-pipelines verify --repair`",
    area="which bucket",
)
def test_a_night_is_complete_only_while_its_files_are_in_the_bucket(
    project: Project, instance: dg.DagsterInstance, world: World
) -> None:
    project.add("harbor")
    with project.load() as defs:
        materialize(defs, instance, *WHOLE)
        next(iter(world.bucket.rglob("images/*"))).unlink()
        again = materialize(defs, instance, "harbor/images")

    [complete] = [
        one for one in again.get_asset_check_evaluations() if one.check_name == "complete"
    ]
    assert not complete.passed
    assert "flow-pipelines verify harbor" in str(complete.description)
