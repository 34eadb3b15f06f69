"""A Dagster project of a user's own, on the wheel: loaded, materialized, backfilled, next door."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import dagster as dg
import pyarrow.parquet as pq
import pytest

from flow_pipelines.cli.home import Home
from flow_pipelines.cli.services import clean_environment
from flow_pipelines.model import Night
from flow_pipelines_tests.dagster.backfills import backfill_status, start_backfill
from flow_pipelines_tests.dagster.own_project.installed import Installed, install
from flow_pipelines_tests.dagster.own_project.two_locations import TwoLocations, running_estate

pytestmark = pytest.mark.end_to_end

NIGHTS = ("2026-01-05", "2026-01-06")
PICTURES = 2
"""Rows of each batch."""

LOOK_AROUND = """
import importlib, json, pkgutil, flow_pipelines
from flow_pipelines.ledger import open_ledger
walked = pkgutil.walk_packages(flow_pipelines.__path__, "flow_pipelines.")
names = [module.name for module in walked if not module.name.endswith(("__main__", ".env"))]
places = sorted({str(importlib.import_module(name).__file__) for name in names})
with open_ledger("sqlite:///ledger.sqlite") as ledger:
    assert ledger.ledger_id
print(json.dumps(places))
"""

TELL_OF_JOBS = """
import json
from gallery.definitions import defs
repository = defs().get_repository_def()
graph = repository.asset_graph
managers = {
    key.to_user_string(): graph.get(key).assets_def.get_io_manager_key_for_asset_key(key)
    for key in graph.materializable_asset_keys
}
executors = {job.name: job.executor_def.name for job in repository.get_all_jobs()}
print(json.dumps({"managers": managers, "executors": executors}))
"""


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Installed:
    return install(tmp_path_factory.mktemp("wheel"))


@pytest.fixture(scope="module")
def two_locations(
    tmp_path_factory: pytest.TempPathFactory, installed: Installed
) -> Iterator[TwoLocations]:
    with running_estate(tmp_path_factory.mktemp("two_locations"), installed) as running:
        yield running


@dataclass(frozen=True)
class Evening:
    """What the people of both projects started, all at once."""

    backfill: str
    covers: Night
    covers_run: str
    stamps: Night


@pytest.fixture(scope="module")
def evening(two_locations: TwoLocations) -> Evening:
    chain = [("posters", name) for name in ("prompts", "provider_runs", "images", "contact_sheet")]
    covers, stamps = Night("covers", NIGHTS[0]), Night("stamps", NIGHTS[0])
    assets = [("marketing", "captions"), *chain, ("print_list",)]
    backfill = start_backfill(two_locations.webserver, assets, NIGHTS)
    two_locations.launch("annex", stamps)
    return Evening(backfill, covers, two_locations.launch("gallery", covers), stamps)


@pytest.fixture
def nothing_set(tmp_path: Path) -> dict[str, str]:
    """An environment with a home and nothing else of ours."""
    home = Home(tmp_path / "home")
    home.prepare()
    return clean_environment(home, {"GALLERY": str(tmp_path / "gallery")})


def test_the_wheel_holds_what_code_alone_does_not(installed: Installed) -> None:
    names = set(zipfile.ZipFile(installed.wheel).namelist())
    assert {"flow_pipelines/py.typed", "flow_pipelines/ledger/migrations/env.py"} <= names
    assert "flow_pipelines/ledger/migrations/versions/v0001_first.py" in names
    assert not [name for name in names if not name.startswith("flow_pipelines")]
    assert not [name for name in names if "tests" in name or "__pycache__" in name]


def test_every_module_imports_from_the_wheel_alone(
    installed: Installed, nothing_set: dict[str, str]
) -> None:
    ended = installed.run("", nothing_set, "-c", LOOK_AROUND)
    assert ended.returncode == 0, ended.stderr
    places = json.loads(ended.stdout.splitlines()[-1])
    assert len(places) > 100
    assert [place for place in places if not place.startswith(f"{installed.site}/")] == []


def test_a_project_loads_with_nothing_set(
    installed: Installed, nothing_set: dict[str, str]
) -> None:
    where = ("definitions", "validate", "-m", "gallery.definitions")
    ended = installed.run("gallery", nothing_set, "-m", "dagster", *where)
    assert ended.returncode == 0, ended.stdout + ended.stderr


def test_the_projects_io_manager_and_executor_stay_its_own(
    installed: Installed, nothing_set: dict[str, str]
) -> None:
    ended = installed.run("gallery", nothing_set, "-c", TELL_OF_JOBS)
    assert ended.returncode == 0, ended.stderr
    told = json.loads(ended.stdout.splitlines()[-1])
    theirs = {key for key, manager in told["managers"].items() if manager == "io_manager"}
    assert {"marketing/captions", "print_list"} <= theirs
    assert "posters/prompts" not in theirs
    assert told["managers"]["posters/images"] == "flow_pipelines_io_manager"
    assert {"covers_generation", "posters_generation", "__ASSET_JOB"} <= set(told["executors"])
    assert set(told["executors"].values()) == {"gallery_executor"}


def test_a_neighbours_own_batch_is_bought_and_collected_by_the_neighbour(
    evening: Evening, two_locations: TwoLocations
) -> None:
    night = evening.stamps
    two_locations.wait_until(lambda: two_locations.is_collected(night), str(night))
    assert len(two_locations.images(night)) == PICTURES
    assert two_locations.askers(night) == {"annex"}
    assert two_locations.ledger.batch_locations(["stamps"]) == {"stamps": "annex"}


def test_a_neighbours_batch_of_the_same_name_is_refused_before_money_is_spent(
    evening: Evening, two_locations: TwoLocations
) -> None:
    assert two_locations.ended(evening.covers_run).status is dg.DagsterRunStatus.SUCCESS
    wanted = Night("covers", NIGHTS[1])

    refused = two_locations.ended(two_locations.launch("annex", wanted))

    assert refused.status is dg.DagsterRunStatus.FAILURE
    said = two_locations.what_failed(refused)
    assert "'covers' belongs to the code location 'gallery'" in said
    assert "flow-pipelines ledger adopt covers --location annex" in said
    assert two_locations.ledger.night(wanted) is None
    two_locations.wait_until(
        lambda: two_locations.is_collected(evening.covers), str(evening.covers)
    )
    assert len(two_locations.images(evening.covers)) == PICTURES
    assert two_locations.askers(evening.covers) == {"gallery"}


def test_a_backfill_from_the_projects_own_captions_ends_in_its_own_list(
    evening: Evening, two_locations: TwoLocations
) -> None:
    backfill = evening.backfill
    two_locations.wait_until(
        lambda: backfill_status(two_locations.webserver, backfill).startswith("COMPLETED"), backfill
    )
    assert backfill_status(two_locations.webserver, backfill) == "COMPLETED_SUCCESS"
    for key in NIGHTS:
        night = Night("posters", key)
        assert len(two_locations.images(night)) == PICTURES
        assert (two_locations.folder(night) / "contact_sheet.jpg").exists()
        assert pq.read_table(two_locations.folder(night) / "manifest.parquet").num_rows == PICTURES
        rows = two_locations.own_table(f"print_list-{key}")
        assert list(rows["prompt"]) == [f"harbour on {key}", f"market on {key}"]
        assert all(uri.startswith("s3://") and f"/posters/{key}/" in uri for uri in rows["s3_uri"])
    assert not [one for one in two_locations.home.bucket.rglob("*") if "captions" in one.name]


def test_two_locations_bought_each_picture_once(
    evening: Evening, two_locations: TwoLocations
) -> None:
    lines = two_locations.ledger.cost_lines()
    assert {line.night.batch for line in lines} == {"covers", "posters", "stamps"}
    assert two_locations.billed() == (sum(line.runs for line in lines), 0)
    assert sum(line.images for line in lines) == PICTURES * 4
