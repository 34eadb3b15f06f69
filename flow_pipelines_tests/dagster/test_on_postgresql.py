"""Dagster's own storage on PostgreSQL, by the locked drivers, in each documented form."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

import dagster as dg
import pytest
import yaml
from sqlalchemy import URL, make_url

from flow_pipelines_tests.dagster.conftest import Project, World, materialize
from flow_pipelines_tests.databases import PostgresServer, postgres_server

__all__ = ["postgres_server"]

WHOLE = ("harbor/prompts", "harbor/provider_runs", "harbor/images", "harbor/contact_sheet")


def _by_url(address: URL) -> Mapping[str, object]:
    return {"postgres_url": address.render_as_string(hide_password=False)}


def _by_parts(address: URL) -> Mapping[str, object]:
    return {
        "postgres_db": {
            "hostname": "localhost",
            "username": address.username,
            "password": "not asked for",
            "db_name": address.database,
            "params": dict(address.query),  # the folder of the server's socket
        }
    }


@pytest.fixture(params=[_by_url, _by_parts], ids=["postgres_url", "postgres_db"])
def postgres_instance(
    request: pytest.FixtureRequest,
    postgres_server: PostgresServer,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> Iterator[dg.DagsterInstance]:
    home = tmp_path / "home"
    home.mkdir()
    url = postgres_server.empty_database()
    written = {
        "storage": {"postgres": request.param(make_url(url))},
        "telemetry": {"enabled": False},
    }
    (home / "dagster.yaml").write_text(yaml.safe_dump(written), encoding="utf-8")
    monkeypatch.setenv("DAGSTER_HOME", str(home))
    with dg.DagsterInstance.from_config(str(home)) as instance:
        yield instance
    postgres_server.drop(url)


@pytest.mark.case(
    "SQLAlchemy 2.1 reads postgresql:// as psycopg 3, for which dagster-postgres is not made: "
    "every run failed",
    "flow-pipelines[cluster] holds SQLAlchemy below 2.1, and a night runs on such an instance",
)
def test_a_night_runs_with_dagster_on_postgresql(
    project: Project, postgres_instance: dg.DagsterInstance, world: World
) -> None:
    project.add("harbor")
    with project.load() as defs:
        result = materialize(defs, postgres_instance, *WHOLE)

    assert result.success
    run = postgres_instance.get_run_by_id(result.run_id)
    assert run is not None
    assert run.status is dg.DagsterRunStatus.SUCCESS
    images = dg.AssetKey(["harbor", "images"])
    assert postgres_instance.get_latest_materialization_event(images) is not None
    assert len(world.images()) == world.control.state()["floyo"].runs_billed > 0
