"""Faults of a prompt table are told when it is written: in a check, or when the location starts."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import dagster as dg
import pytest
from dagster._core.definitions.definitions_load_context import (
    DefinitionsLoadContext,
    DefinitionsLoadType,
)
from dagster.components.core.component_tree import ComponentTreeException

from flow_pipelines.component.table_check import faults_of_table
from flow_pipelines.model import BatchSettings
from flow_pipelines.resources.environment import VALIDATING
from flow_pipelines_tests.dagster.conftest import BATCH, Project
from flow_pipelines_tests.fakes import ManualClock

EMPTY_CELL = "prompt_id,prompt\na,boats\nb,\n"
TOLD = "prompts.csv:3, column 'prompt': text::text uses an empty cell"
FLORA = BATCH.replace("provider: floyo", "provider: flora").replace("graph.json", "poster")


@contextmanager
def loading(kind: DefinitionsLoadType) -> Iterator[None]:
    with DefinitionsLoadContext.scoped(DefinitionsLoadContext(kind)):
        yield


def description(project: Project) -> str:
    with project.load() as defs:
        graph = defs.resolve_asset_graph()
        return graph.get(dg.AssetKey(["harbor", "prompts"])).description or ""


@pytest.fixture
def faulty(project: Project) -> Project:
    project.add("harbor", prompts__csv=EMPTY_CELL)
    project.add("alley", BATCH.replace("harbor", "alley"))
    return project


@pytest.mark.case(
    "an empty cell, a missing column, a number out of range were found at 02:00, by the night",
    "`dg check defs` reads the tables that are files here, and renders every row",
)
@pytest.mark.parametrize(
    ("table", "told"),
    [
        (EMPTY_CELL, TOLD),
        ("id,promt\na,boats\n", "uses the column 'prompt', which prompts.csv does not have"),
        ("prompt;Seed\nboats;1\n", "the column 'Seed' is not 'seed'"),
        ("prompt,seed\nboats,-1\n", "prompts.csv:2, column 'seed'"),
        ("prompt\n" + "boats\n" * 1500, "prompts.csv:3: gives the same request as line 2"),
    ],
)
def test_a_check_of_definitions_renders_every_row(
    project: Project, monkeypatch: pytest.MonkeyPatch, table: str, told: str
) -> None:
    monkeypatch.setenv(VALIDATING, "1")
    yaml = BATCH.replace('    "draw::seed": "{seed}"\n', "") if "same" in told else BATCH
    yaml = yaml.replace("partitions_def: {type", "runs_per_prompt: 1 # {type")
    project.add("harbor", yaml, prompts__csv=table)
    with pytest.raises(ComponentTreeException) as caught, project.load():
        pass
    assert told in str(caught.value.__cause__)


def test_a_batch_whose_workflow_only_the_provider_knows_is_rendered_too(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(VALIDATING, "1")
    project.add("harbor", FLORA, prompts__csv=EMPTY_CELL)
    with pytest.raises(ComponentTreeException) as caught, project.load():
        pass
    assert TOLD in str(caught.value.__cause__)


def test_a_location_that_starts_tells_and_loads_all_batches(faulty: Project) -> None:
    with loading(DefinitionsLoadType.INITIALIZATION):
        text = description(faulty)
    assert "Nothing can be bought as the table was when this code location started" in text
    assert TOLD in text


def test_a_run_worker_reads_no_table(faulty: Project) -> None:
    with loading(DefinitionsLoadType.RECONSTRUCTION):
        assert TOLD not in description(faulty)
    with DefinitionsLoadContext.scoped(None):  # type: ignore[arg-type]  # as where none was set
        assert not DefinitionsLoadContext.is_set()
        assert TOLD not in description(faulty)


def settings(folder: Path, text: str, name: str = "p.csv") -> BatchSettings:
    (folder / name).write_text(text)
    return BatchSettings(
        name="harbor",
        provider="flora",
        resource="flora",
        workflow="poster",
        base_dir=str(folder),
        prompts=name,
        parameters={"prompt": "{prompt}, {style}"},
    )


def test_a_table_of_more_than_a_thousand_rows_waits_for_the_night(tmp_path: Path) -> None:
    rows = "".join(f"p{number},\n" for number in range(1001))
    long = settings(tmp_path, "prompt,style\n" + rows)
    short = settings(tmp_path, "prompt,style\n" + rows.removesuffix("p1000,\n"), "q.csv")
    with loading(DefinitionsLoadType.INITIALIZATION):
        assert len(faults_of_table(short, None)) == 1000
        assert faults_of_table(long, None) == []


class SlowClock(ManualClock):
    """On which each look takes a second."""

    def monotonic(self) -> float:
        self.advance(1.0)
        return super().monotonic()


def test_two_seconds_are_spent_on_the_tables_of_a_location(tmp_path: Path) -> None:
    faulty, clock = settings(tmp_path, "prompt,style\nboats,\n"), SlowClock()
    for _ in range(2):  # each start has its own
        with loading(DefinitionsLoadType.INITIALIZATION):
            told = [len(faults_of_table(faulty, None, clock)) for _ in range(4)]
        assert told == [1, 1, 0, 0]


def test_of_a_table_a_partition_the_last_ones_are_looked_at(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(VALIDATING, "1")
    named = settings(tmp_path, "", "x")
    named = replace(named, prompts="{partition_key}.csv")
    for day in range(1, 9):
        (tmp_path / f"2026-11-0{day}.csv").write_text("prompt,style\nboats,\n")
    told = [problem.file for problem in faults_of_table(named, None)]
    assert told == ["2026-11-06.csv", "2026-11-07.csv", "2026-11-08.csv"]
    assert faults_of_table(replace(named, prompts="s3://bucket/{partition_key}.csv"), None) == []
