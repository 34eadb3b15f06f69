"""A restored ledger in Dagster: a materialization, and a sensor's tick, buy nothing again."""

from __future__ import annotations

import shutil
from pathlib import Path

import dagster as dg
import pytest

from flow_pipelines.ledger import open_ledger
from flow_pipelines.model import Night
from flow_pipelines_tests.dagster.conftest import CLOCK, NIGHT, Project, World, materialize, tick

HARBOR = Night("harbor", NIGHT)
GENERATION = ("harbor/prompts", "harbor/provider_runs")


def states(home: Path) -> list[str]:
    with open_ledger(f"sqlite:///{home / 'flow_pipelines_ledger.sqlite'}", CLOCK) as ledger:
        return [one.state.value for one in ledger.submissions(HARBOR)]


def forget_the_night(home: Path) -> None:
    """Put an empty ledger of the same id in the place of the one that bought the night."""
    file = home / "flow_pipelines_ledger.sqlite"
    for leftover in home.glob(f"{file.name}*"):
        leftover.unlink()
    shutil.copyfile(home / "backup.sqlite", file)


@pytest.fixture
def home(project: Project, instance: dg.DagsterInstance, world: World, tmp_path: Path) -> Path:
    project.add("harbor")
    file = tmp_path / "flow_pipelines_ledger.sqlite"
    open_ledger(f"sqlite:///{file}", CLOCK).close()
    shutil.copyfile(file, tmp_path / "backup.sqlite")
    with project.load() as defs:
        assert materialize(defs, instance, *GENERATION).success
    forget_the_night(tmp_path)
    return tmp_path


def test_a_materialization_takes_the_night_in_and_buys_nothing(
    project: Project, instance: dg.DagsterInstance, world: World, home: Path
) -> None:
    with project.load() as defs:
        first = materialize(defs, instance, *GENERATION)
        second = materialize(defs, instance, *GENERATION)
    failed = [event for event in first.all_events if event.is_step_failure]
    assert "is an older copy of itself" in str(failed[0].step_failure_data)
    assert second.success
    assert world.bought() == 3
    # Each is found by the name that its label bears.
    assert states(home) == ["submitted"] * 3


def test_a_sensor_takes_the_night_in_at_its_first_tick(
    project: Project,
    instance: dg.DagsterInstance,
    world: World,
    home: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # How long a bucket may take is another test's; a busy machine takes its time.
    monkeypatch.setattr("flow_pipelines.assets.journal_rounds.LONGEST_SECONDS", 300.0)
    monkeypatch.setattr("flow_pipelines.assets.journal_rounds.SECONDS", 300.0)
    with project.load() as defs:
        data = tick(defs, instance)
    assert "is an older copy of itself" in str(data.cursor)
    assert len(states(home)) == 3
    assert world.bought() == 3
